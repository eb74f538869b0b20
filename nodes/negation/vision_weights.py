"""Negate Unsafe Weights (Vision): turn the sign of the weights of a CLIP_VISION that answer to unsafe pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ...adapters import folders
from ...adapters.kept_text import kept_text
from ...safety_steer.errors import DataError
from ..inputs import CATEGORY, search_aliases
from . import inputs as shared

if TYPE_CHECKING:
    from comfy.clip_vision import ClipVisionModel
    from torch import Tensor

NODE = "Negate Unsafe Weights (Vision)"
PICTURES = "the pictures"


class NegateUnsafeWeightsVision(io.ComfyNode):
    """Patch a clone of a CLIP_VISION, by pairs of pictures or by a patch file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="NegateUnsafeWeightsVision",
            display_name=NODE,
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "unlearn", "unsafe weights manipulation", "uwm", "clip vision"),
            **kept_text(),
            description="Turn the sign of the weights of a CLIP Vision model that answer most to unsafe pictures, for "
            "workflows that start from a picture. Needs pictures of your own in twos, or a patch file.",
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The CLIP Vision model. It is not changed: a copy comes out."),
                io.Combo.Input(
                    "source",
                    options=[PICTURES, *folders.patch_names()],
                    default=PICTURES,
                    tooltip="'the pictures' reads those at safe and unsafe. Or a patch in models/safety_patches, made with "
                    "safety-steer negate.",
                ),
                *shared.settings(shared.FEED_FORWARD, weighted=False),
                io.Image.Input("safe", optional=True, tooltip="A batch of harmless pictures, 8 or more."),
                io.Image.Input(
                    "unsafe", optional=True, tooltip="As many unsafe pictures, in the same order: each the twin of a safe one."
                ),
            ],
            outputs=[
                io.ClipVision.Output(
                    display_name="clip_vision", tooltip="The model with its weights negated. Connect it to CLIP Vision Encode."
                ),
                shared.text_output(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        clip_vision: ClipVisionModel,
        source: str,
        strength: float = 1.0,
        tau: float = shared.TAU,
        layers: str = shared.FEED_FORWARD,
        scores: str = shared.PLAIN,
        safe: Tensor | None = None,
        unsafe: Tensor | None = None,
    ) -> io.NodeOutput:
        """Return a patched clone, and list what was negated."""
        import comfy.utils

        from ...adapters import negated_weights, node_text, read_pictures
        from ...adapters.progress import moving
        from ...safety_steer.negation.patch import WeightPatch
        from ...safety_steer.negation.report import described

        shared.check(layers, scores, NODE)
        if source != PICTURES:
            patch = WeightPatch.load(folders.patch_path(source))
        elif safe is None or unsafe is None:
            raise DataError(f"Connect pictures to both safe and unsafe of {NODE}, or choose a patch file at source.")
        else:
            bar = comfy.utils.ProgressBar(len(safe))
            weighted = scores == shared.WEIGHTED
            patch = read_pictures.choose(clip_vision, safe, unsafe, layers, tau, weighted, moving(bar))
        changed = read_pictures.clone(clip_vision)
        negated_weights.add(changed.patcher, patch, strength)
        text = described(patch, type(clip_vision.model).__name__, strength)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(changed if strength else clip_vision, text, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, source: str, **_: object) -> str:
        """Change when the patch file changes, so that ComfyUI reads it again."""
        return folders.fingerprint(folders.patch_path(source)) if source in folders.patch_names() else ""
