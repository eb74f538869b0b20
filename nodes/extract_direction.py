"""Extract Safety Direction: learn a direction from pairs of prompts, with a language model the user already has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
from comfy_api.latest import io, ui

from ..adapters import folders, node_text
from ..adapters.clip import hidden_layers
from ..adapters.kept_text import kept_text
from ..safety_steer.directions.source import SafetyDirection
from ..safety_steer.errors import DataError
from ..safety_steer.extraction.estimators import ESTIMATORS
from ..safety_steer.extraction.extract_direction import check_settings, extract, extract_with
from ..safety_steer.extraction.text_model import load_text_model
from ..safety_steer.storage.bundled import BENIGN, bundled
from ..safety_steer.storage.prompt_files import clean_prompts, read_pairs, read_prompts
from .inputs import CATEGORY, SafetyDirectionSocket, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ..safety_steer.storage.prompt_files import Pair

CLIP_INPUT = "the clip input"


class ExtractSafetyDirection(io.ComfyNode):
    """Encode pairs and benign prompts with a language model and fit a direction in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="ExtractSafetyDirection",
            display_name="Extract Safety Direction",
            category=CATEGORY,
            **search_aliases("safety", "learn direction", "train direction", "concept direction"),
            **kept_text(),
            description="Learn a safety direction of your own from pairs of prompts, one safe and one unsafe. The text encoder "
            "of Qwen-Image, Flux.2, Wan or HunyuanVideo can be the language model it is learned in. You need this only "
            "when the bundled directions do not cover what you want to steer.",
            inputs=[
                io.Combo.Input(
                    "pairs",
                    options=folders.pair_names(),
                    tooltip="A file in models/safety_pairs: JSON lines or CSV with safe, unsafe and category. The more alike "
                    "the two prompts of a pair, the better. A few hundred pairs are good, 8 the least.",
                ),
                io.Combo.Input(
                    "model",
                    options=[CLIP_INPUT, *folders.language_models()],
                    default=CLIP_INPUT,
                    tooltip="The language model to learn in: that of the clip input, or a Hugging Face folder or GGUF file in "
                    "models/LLM or models/text_encoders.",
                ),
                io.String.Input(
                    "layer",
                    default="auto",
                    tooltip="Which layers to read: 'auto' takes the most safety-aware one and two below it. Or numbers, like "
                    "0,8,18.",
                ),
                io.Combo.Input(
                    "estimator",
                    options=list(ESTIMATORS),
                    default="mean",
                    tooltip="How pairs become a direction. 'mean' is the average difference, and a good start.",
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="A CLIP with a language model in it. Not needed with a model folder."
                ),
                io.String.Input(
                    "anchors",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="Optional: harmless prompts, one per line, 64 or more",
                    tooltip="Harmless prompts the direction carries along for Align Direction. Empty takes the bundled ones.",
                ),
            ],
            outputs=[
                SafetyDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The new direction. Connect it to Align Direction, and to Save Safety Direction to keep it.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, pairs: str, model: str, layer: str, estimator: str, clip: CLIP | None = None, anchors: str = ""
    ) -> io.NodeOutput:
        """Return the direction, and show how well each layer tells safe from unsafe."""
        made = read_pairs(folders.pair_path(pairs))
        benign = clean_prompts(anchors.splitlines(), "The anchors input") if anchors.strip() else read_prompts(bundled(BENIGN))
        check_settings(made, benign, estimator)
        if model == CLIP_INPUT:
            direction = _from_clip(clip, made, benign, layer, estimator)
        else:
            direction = _from_folder(model, made, benign, layer, estimator)
        text = _summary(direction, len(made))
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(direction, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, pairs: str, **_: object) -> str:
        """Change when the file of pairs changes, so that ComfyUI extracts again."""
        return folders.fingerprint(folders.pair_path(pairs)) if pairs in folders.pair_names() else ""


def _from_clip(clip: CLIP | None, pairs: list[Pair], benign: list[str], layer: str, estimator: str) -> SafetyDirection:
    if clip is None:
        raise DataError("Connect a CLIP to the clip input of Extract Safety Direction, or choose a model folder.")
    source = hidden_layers.find(clip)
    bar = comfy.utils.ProgressBar(2 * len(pairs) + len(benign))
    encode = partial(hidden_layers.pooled_activations, source, advance=bar.update)
    return extract_with(encode, source.identity, source.last_layer, pairs, benign, layer, estimator=estimator)


def _from_folder(model: str, pairs: list[Pair], benign: list[str], layer: str, estimator: str) -> SafetyDirection:
    bar = comfy.utils.ProgressBar(2 * len(pairs) + len(benign))

    def progress(done: int, _: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done)

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
