"""One row of the families' table, and what rows are made of."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.ops
import torch

Widths = Mapping[str, int]
Shape = tuple[int, ...]
TOKENS = 6
AUDIO_FRAMES = 8


@dataclass(frozen=True)
class Family:
    """A class of comfy.supported_models, a unet_config for it, and what is expected of its text.

    `text` is what a text encoder puts into CONDITIONING; the last number of a tensor that is no mask is its width, which
    `sized` carries into unet_config. A `latent` of several shapes is a nested tensor, as for video with sound. `extras`
    makes the other keys of CONDITIONING, `weights` those beside the diffusion model without which the class cannot be made.
    `shrink` replaces parts whose size is no parameter by small ones of the same class, and gives values to what only a
    checkpoint fills. `params` names a dataclass of all keys unet_config may have: what a checkout's class lacks is left
    out. `needs` names a part of ComfyUI that checkouts with the family have, where the class is not enough to tell.

    `encoder` is the family whose text encoder it reads, if not its own; `spaces` are where its text lies; `refused` says
    why the cross-attention site does not serve it. `unread` are spaces that the model does not read, `besides` what else of
    its text carries the prompt into it: other keys, or rows that a mask hides in vain. `copies` are keys into which a node of
    the family puts cross_attn once more. A row without `spaces` is a family whose text lies in no tensor; `refused` says what
    does lie there. `within` is in place while the model is made.
    """

    config: str
    unet: Mapping[str, Any]
    text: Mapping[str, Shape]
    latent: Shape | tuple[Shape, ...]
    sized: Callable[[Widths], dict[str, Any]]
    extras: Callable[[], dict[str, Any]] = dict
    weights: Callable[[], dict[str, torch.Tensor]] = dict
    shrink: Callable[[Any, Widths], None] | None = None
    params: str = ""
    needs: str = ""
    encoder: str = ""
    spaces: tuple[str, ...] = ("cross_attn",)
    refused: str = ""
    unread: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


def part(name: str) -> Any:
    """Return a part of ComfyUI by its full name, None when this checkout has no such part."""
    try:
        return pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return None


def left_behind(found: Mapping[str, Any]) -> None:
    """Write what was found of families into the folder SAFETY_STEER_FAMILIES, beside what the file there says of others."""
    folder = os.environ.get("SAFETY_STEER_FAMILIES")
    if folder:
        path = Path(folder) / f"families-{importlib.import_module('comfyui_version').__version__}.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **found}, indent=1))


def noise(*shape: int) -> torch.Tensor:
    """Return random numbers, the same ones for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def text(width: int = 32, tokens: int = TOKENS, mask: bool = False, **more: Shape) -> dict[str, Shape]:
    """Return the shapes of a CONDITIONING entry."""
    return {"cross_attn": (1, tokens, width), **more, **({"attention_mask": (1, tokens)} if mask else {})}


def clip_vision() -> SimpleNamespace:
    """Stand in for the output of CLIP vision."""
    # Wan takes the one, HunyuanVideo 1.5 the other.
    return SimpleNamespace(penultimate_hidden_states=noise(1, 5, 1280), last_hidden_state=noise(1, 5, 1152))


def start_frames() -> dict[str, Any]:
    """Return what an image-to-video node of Wan adds."""
    mask = torch.ones(1, 1, 2, 8, 8)
    mask[:, :, :1] = 0.0
    return {"concat_latent_image": noise(1, 16, 2, 8, 8), "concat_mask": mask}


def context(key: str, pooled: str = "") -> Callable[[Widths], dict[str, Any]]:
    """Say which keys of unet_config hold the widths of cross_attn and pooled_output."""
    return lambda widths: {key: widths["cross_attn"], **({pooled: widths["pooled_output"]} if pooled else {})}


IMAGE, VIDEO = (1, 16, 8, 8), (1, 16, 2, 8, 8)
SIZE = {"width": 64, "height": 64}
POOLED = {"pooled_output": (1, 32)}
POOLED_UNREAD = {"spaces": ("cross_attn", "pooled_output"), "unread": ("pooled_output",)}
HIDDEN = ("hidden rows of cross_attn",)
BOTH = ("cross_attn", "pooled_output")
MADE = {"dtype": torch.float32, "operations": comfy.ops.disable_weight_init}
