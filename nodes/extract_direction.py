"""Extract Safety Direction: learn a direction from pairs of prompts, with a language model the user already has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..adapters import folders
from ..adapters.kept_text import kept_text
from ..safety_steer.choices import ESTIMATORS
from .inputs import CATEGORY, SafetyDirectionSocket, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

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
        from ..adapters import node_text
        from ..adapters.clip.learn_direction import learn_direction

        path = folders.pair_path(pairs)
        direction, text = learn_direction(path, None if model == CLIP_INPUT else model, clip, layer, estimator, anchors)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(direction, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, pairs: str, **_: object) -> str:
        """Change when the file of pairs changes, so that ComfyUI extracts again."""
        return folders.fingerprint(folders.pair_path(pairs)) if pairs in folders.pair_names() else ""
