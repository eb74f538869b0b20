"""Small random models of every family that ComfyUI runs on text, made of ComfyUI's real classes.

Each one samples two steps in a fraction of a second. What a family looks like is in the table of family_configs; a family
that the checkout under test does not have is not `available`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..comfyui import tiny  # isort: skip
import comfy.model_patcher
import comfy.supported_models
import torch

from .configs import FAMILIES
from .rows import Family, part

NAMES = tuple(name for name, row in FAMILIES.items() if row.spaces)
WITHOUT_TEXT = tuple(name for name, row in FAMILIES.items() if not row.spaces)


def available(family: str) -> bool:
    """Say whether this ComfyUI has the family."""
    row = FAMILIES[family]
    return hasattr(comfy.supported_models, row.config) and (not row.needs or part(row.needs) is not None)


def text_shapes(family: str, widths: Mapping[str, int] | None = None) -> dict[str, tuple[int, ...]]:
    """Return example shapes of the tensors that a text encoder puts into the family's CONDITIONING."""
    shapes = FAMILIES[family].text
    return {name: (*shape[:-1], (widths or {}).get(name, shape[-1])) for name, shape in shapes.items()}


def extras(family: str) -> dict[str, Any]:
    """Return what else the family's conditioning carries; a key that the text encoder gives too is better taken from it."""
    return FAMILIES[family].extras()


def latent(family: str) -> dict[str, Any]:
    """Make an empty latent for `model(family)`; video with sound is a nested tensor, as ComfyUI's own node makes it."""
    shape = FAMILIES[family].latent
    if isinstance(shape[0], int):
        return {"samples": torch.zeros(shape)}
    nested = importlib.import_module("comfy.nested_tensor")
    return {"samples": nested.NestedTensor([torch.zeros(part) for part in shape])}


def conditioning(family: str, seed: int = 0, widths: Mapping[str, int] | None = None) -> list[list[Any]]:
    """Make CONDITIONING of random text, all of whose tokens count, with the family's extras."""
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Any] = {}
    for name, shape in text_shapes(family, widths).items():
        is_mask = name.startswith("attention_mask")
        made[name] = torch.ones(shape, dtype=torch.long) if is_mask else torch.randn(shape, generator=generator)
    return [[made.pop("cross_attn"), {"pooled_output": None, **made, **extras(family)}]]


def model(family: str, widths: Mapping[str, int] | None = None) -> comfy.model_patcher.ModelPatcher:
    """Make a diffusion model that takes text of these widths, by default those of `text_shapes`.

    Text that a model pools has to be a multiple of 8 wide (Mochi, HunyuanDiT), text for video and sound of 2 (LTX-2).
    """
    row = FAMILIES[family]
    sizes = {name: shape[-1] for name, shape in text_shapes(family, widths).items()}
    chosen = _known({**row.unet, **row.sized(sizes)}, row)
    config = getattr(comfy.supported_models, row.config)(chosen)
    config.unet_config.update(chosen)  # some classes replace what they were given by the sizes of the one model there is
    config.set_inference_dtype(torch.float32, None)
    config.manual_cast_dtype = None
    with row.within():
        made = config.get_model(row.weights(), "", device=tiny.CPU)
    if row.shrink is not None:
        row.shrink(made, sizes)
    made.eval()
    tiny.randomise(made.diffusion_model, 1)
    _open_scales(made.diffusion_model)
    return comfy.model_patcher.ModelPatcher(made, tiny.CPU, tiny.CPU)


def _open_scales(module: torch.nn.Module) -> None:
    """Set the scales of normalisation that are not called "weight" to one: zero would make all attention uniform."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1 and name.endswith(("scale", "gamma")):
            parameter.data.fill_(1.0)


def _known(config: dict[str, Any], row: Family) -> dict[str, Any]:
    """Leave out the keys that this ComfyUI's class does not know yet."""
    if not row.params:
        return config
    module, _, name = row.params.rpartition(".")
    names = {"image_model", *(field.name for field in fields(getattr(importlib.import_module(module), name)))}
    return {key: value for key, value in config.items() if key in names}
