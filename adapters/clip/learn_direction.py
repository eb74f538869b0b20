"""Learn a direction from a file of pairs, in the language model of a CLIP or in one from a folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils

from ...safety_steer.directions.source import SafetyDirection
from ...safety_steer.errors import DataError
from ...safety_steer.extraction.extract_direction import check_settings, extract, extract_with
from ...safety_steer.extraction.text_model import load_text_model
from ...safety_steer.storage.bundled import BENIGN, bundled
from ...safety_steer.storage.prompt_files import Pair, clean_prompts, read_pairs, read_prompts
from .. import folders
from ..progress import moving
from . import hidden_layers

if TYPE_CHECKING:
    from comfy.sd import CLIP


def learn_direction(
    pairs: str, model: str | None, clip: CLIP | None, layer: str, estimator: str, anchors: str
) -> tuple[SafetyDirection, str]:
    """Return the direction of the pairs in this file, and what to say about it.

    `model` is a listed language model, None for that of the CLIP. `anchors` are harmless prompts in lines; without any, the
    bundled ones are taken. Raises DataError and EncoderError.
    """
    made = read_pairs(pairs)
    benign = clean_prompts(anchors.splitlines(), "The anchors input") if anchors.strip() else read_prompts(bundled(BENIGN))
    check_settings(made, benign, estimator)
    if model is None:
        direction = _from_clip(clip, made, benign, layer, estimator)
    else:
        direction = _from_folder(model, made, benign, layer, estimator)
    return direction, _summary(direction, len(made))


def _from_clip(clip: CLIP | None, pairs: list[Pair], benign: list[str], layer: str, estimator: str) -> SafetyDirection:
    if clip is None:
        raise DataError("Connect a CLIP to the clip input of Extract Safety Direction, or choose a model folder.")
    source = hidden_layers.find(clip)
    bar = comfy.utils.ProgressBar(2 * len(pairs) + len(benign))
    encode = partial(hidden_layers.pooled_activations, source, progress=moving(bar))
    return extract_with(encode, source.identity, source.last_layer, pairs, benign, layer, estimator=estimator)


def _from_folder(model: str, pairs: list[Pair], benign: list[str], layer: str, estimator: str) -> SafetyDirection:
    move = moving(comfy.utils.ProgressBar(2 * len(pairs) + len(benign)))

    def progress(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        move(done, total)

    path = folders.language_model_path(model)
    # Left to itself, transformers would want accelerate, which ComfyUI does not bring, and memory that ComfyUI holds.
    comfy.model_management.unload_all_models()
    loaded = load_text_model(path, device=str(comfy.model_management.text_encoder_device()))
    return extract(loaded, pairs, benign, layer, estimator=estimator, progress=progress)


def _summary(direction: SafetyDirection, count: int) -> str:
    """Say what was learned from what."""
    curve = {layer: separation for layer, _, separation in direction.report["layer_curve"]}
    layers = ", ".join(f"{layer} (AUROC {curve[layer]:.2f})" for layer in direction.layers)
    return (
        f"{count:,} pairs, {len(direction.anchors):,} harmless prompts, {direction.source.name}\n"
        f"layers {layers}\ncategories {', '.join(direction.categories)}"
    )
