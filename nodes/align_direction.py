"""Align Direction: fit a safety direction to the text encoder of a workflow, with benign prompts only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..adapters.kept_text import kept_text
from ..safety_steer.choices import MAPS, THRESHOLDS
from .inputs import CATEGORY, AlignedDirectionSocket, SafetyDirectionSocket, checked_choice, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ..safety_steer.directions.source import SafetyDirection


class AlignSafetyDirection(io.ComfyNode):
    """Encode benign prompts with a CLIP and fit the direction to it; a fit made before is read from disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="AlignSafetyDirection",
            display_name="Align Direction",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "fit direction", "calibrate", "transfer"),
            **kept_text(),
            description="Fit a safety direction to the text encoder of your model. It uses harmless prompts only. The "
            "first time takes a while; after that the fit is read from disk.",
            inputs=[
                SafetyDirectionSocket.Input("direction", tooltip="The direction from Load Safety Direction."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP that encodes your prompts, after any LoRA or clip skip.",
                ),
                io.Combo.Input(
                    "map",
                    options=list(MAPS),
                    default="ridge",
                    tooltip="How the direction is carried over. 'ridge' works best in most cases. 'svd' only turns it, "
                    "and suits few prompts. 'mlp' trains a small network, which is slower.",
                ),
                io.Int.Input(
                    "max_anchors",
                    default=3072,
                    min=64,
                    max=8192,
                    step=64,
                    tooltip="How many harmless prompts to fit with. Fewer is faster and less exact.",
                ),
                io.String.Input(
                    "anchors",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="Optional: your own harmless prompts, one per line",
                    tooltip="Harmless prompts in your own style, one per line. They teach the fit what is normal for "
                    "you, so that such prompts are left alone. May stay empty.",
                ),
                io.Combo.Input(
                    "thresholds",
                    options=list(THRESHOLDS),
                    default="all",
                    optional=True,
                    tooltip="What counts as normal. 'all': the bundled harmless prompts and yours. 'own': only yours, 200 "
                    "or more; stricter, and right when your prompts are all of one kind.",
                ),
            ],
            outputs=[
                AlignedDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The direction, fitted to this CLIP. Connect it to Apply Safety Steer or Category Mixer.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, direction: SafetyDirection, clip: CLIP, map: str, max_anchors: int, anchors: str = "", thresholds: str = "all"
    ) -> io.NodeOutput:
        """Return a kept fit when the encoder still behaves like it, or make and keep a new one."""
        from ..adapters import memory, node_text
        from ..adapters.clip.fit_direction import fit_direction

        checked_choice("map", map, MAPS, "Align Direction")
        with memory.told("Align Direction", "Lower max_anchors, or free memory: close what else uses it, and queue again."):
            aligned, text = fit_direction(direction, clip, map, max_anchors, anchors, thresholds)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(aligned, ui=ui.PreviewText(text))
