"""Negated weights as a patch on a clone of a ComfyUI model, beside LoRAs and through the same official way: `add_patches`.

A patch of ComfyUI's own kind "diff" would hold a whole weight for every layer. This one holds places, and multiplies what it
finds there when the model is loaded: so it takes little memory, works on what the patches before it made of a weight, gives the
weight back when it comes twice, and reads quantised weights as ComfyUI hands them to every patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import comfy.lora
import comfy.model_management
import comfy.model_patcher
import torch
from comfy.weight_adapter.base import WeightAdapterBase
from torch import Tensor

from ..safety_steer.errors import EncoderError
from ..safety_steer.negation.layers import linear_layers
from ..safety_steer.negation.patch import WeightPatch, matched, turned

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from torch import nn


class NegatedWeights(WeightAdapterBase):
    """Multiplies a weight's values at flat places by alpha; `weights` is (places as int32, alpha)."""

    name = "negated weights"

    def __init__(self, loaded_keys: set[str], weights: tuple[Tensor, float]) -> None:
        """Take what ComfyUI makes a copy with, when it moves a patch to another device."""
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(self, weight: Tensor, _key: str, strength: float, *_: Any, **__: Any) -> Tensor:
        """Return the weight with what is at the places turned."""
        places, alpha = self.weights
        return turned(weight, places, alpha, strength)


def layers_of(patcher: ModelPatcher, which: str) -> dict[str, nn.Module]:
    """Return a model's linear layers of a kind, by name; raises EncoderError when there are none."""
    return linear_layers(patcher.model, which)


def weights_of(patcher: ModelPatcher, layers: Mapping[str, nn.Module], patched: bool) -> Callable[[str], Tensor]:
    """Return what gives a layer's weight (out, in) in float32, as it is in the file or as this clone's patches make it.

    What it returns raises EncoderError for weights that are stored in a way ComfyUI itself does not read.
    """

    def read(name: str) -> Tensor:
        key = f"{name}.weight"
        weight, _, convert = comfy.model_patcher.get_key_weight(patcher.model, key)
        kept = patcher.backup.get(key)
        stored = weight if kept is None else kept.weight
        if not stored.is_floating_point() or tuple(stored.shape) != _shape(layers[name]):
            raise EncoderError(
                f"The weights of '{name}' are stored as {str(stored.dtype).removeprefix('torch.')}, which only the loader that "
                "made this model can read. Negate weights of a model in safetensors format, not GGUF."
            )
        values: Tensor = comfy.model_management.cast_to_device(stored, stored.device, torch.float32, copy=True)
        if convert is not None:
            values = convert(values, inplace=True)
        if patched and key in patcher.patches:
            values = comfy.lora.calculate_weight(patcher.patches[key], values, key)
        return values

    return read


def add(patcher: ModelPatcher, patch: WeightPatch, strength: float) -> list[str]:
    """Add a patch to a clone, and return the names of the layers it is on.

    Raises MismatchError for a patch of another model, EncoderError for weights that cannot be read.
    """
    layers = layers_of(patcher, "*")
    shapes = {name: _shape(layer) for name, layer in layers.items()}
    found = matched(patch, shapes, weights_of(patcher, layers, patched=False))
    keys = {f"{name}.weight": layer for name, layer in found.items()}
    made = {key: NegatedWeights({key}, (layer.places.to(torch.int32), patch.alpha)) for key, layer in keys.items()}
    added = patcher.add_patches(made, strength)
    if len(added) != len(made):
        raise EncoderError(f"{len(made) - len(added)} layers of this model take no patches. Load it without quantisation.")
    return list(found)


def _shape(layer: Any) -> tuple[int, int]:
    """Return a linear layer's sizes (out, in), which its stored weight may not have."""
    return layer.out_features, layer.in_features
