"""Pictures through a ComfyUI CLIP_VISION: which of its weights answer to the unsafe ones, and a clone with these negated."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import comfy.model_management
from torch import Tensor

from ..safety_steer.errors import DataError
from ..safety_steer.extraction.text_model import Progress
from ..safety_steer.negation.collect import Rows, record_pairs
from ..safety_steer.negation.models import check_pairs
from ..safety_steer.negation.patch import WeightPatch, choose_weights
from . import negated_weights

if TYPE_CHECKING:
    from comfy.clip_vision import ClipVisionModel


def choose(
    vision: ClipVisionModel,
    safe: Tensor,
    unsafe: Tensor,
    which: str,
    tau: float,
    weighted: bool,
    progress: Progress | None = None,
) -> WeightPatch:
    """Choose weights of a CLIP_VISION; picture k of `safe` and of `unsafe` (N, H, W, 3) are a pair.

    Raises EncoderError for one without layers of that kind, DataError for too few or unequally many pictures.
    """
    if len(safe) != len(unsafe):
        raise DataError(
            f"Expected as many safe as unsafe pictures, each beside its twin, but got {len(safe)} and {len(unsafe)}. Change "
            "the pictures at safe and unsafe."
        )
    check_pairs(len(safe))
    layers = negated_weights.layers_of(vision.patcher, which)
    weights = negated_weights.weights_of(vision.patcher, layers, patched=True)

    def read(picture: Tensor) -> Rows:
        comfy.model_management.throw_exception_if_processing_interrupted()
        vision.encode_image(picture[None])
        return lambda inputs: inputs.reshape(-1, inputs.shape[-1])

    recorded = record_pairs(layers, list(zip(safe, unsafe, strict=True)), read, progress)
    return choose_weights(recorded, weights, type(vision.model).__name__, which, tau, weighted)


def clone(vision: ClipVisionModel) -> ClipVisionModel:
    """Return a CLIP_VISION that shares its weights and can be patched apart: ComfyUI has no clone of its own for it."""
    made = copy.copy(vision)
    made.patcher = vision.patcher.clone()
    return made
