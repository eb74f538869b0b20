"""Apply Safety Steer (CLIP Vision Output): steer what CLIP vision says of a picture, for nodes that take it by a wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters.kept_text import kept_text
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, search_aliases

if TYPE_CHECKING:
    from ..safety_steer.directions.aligned import AlignedDirection

STEPS = ("start_percent", "end_percent")


class ApplySafetySteerVisionOutput(io.ComfyNode):
    """Steer a CLIP_VISION_OUTPUT."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="ApplySafetySteerVisionOutput",
            display_name="Apply Safety Steer (CLIP Vision Output)",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "safe", "filter", "redux", "style model", "ip-adapter", "unclip"),
            **kept_text(),
            description="Steer what CLIP vision says of a picture toward safe. Put it between CLIP Vision Encode and the node "
            "that takes its output, such as Apply Style Model (Redux): there no later node can tell the picture from the text.",
            inputs=[
                io.ClipVisionOutput.Input("clip_vision_output", tooltip="What CLIP Vision Encode says of your picture."),
                AlignedDirectionSocket.Input(
                    "direction", tooltip="The direction, fitted with Align Direction (Vision) to the same CLIP vision model."
                ),
                *(item for item in settings.inputs() if item.id not in STEPS),
                settings.preset_input(),
            ],
            outputs=[
                io.ClipVisionOutput.Output(
                    display_name="clip_vision_output",
                    tooltip="The steered picture. A harmless one is given back as it came.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip_vision_output: Any, direction: AlignedDirection, **values: Any) -> io.NodeOutput:
        """Return a steered copy, or the very object that came in where nothing moves."""
        from ..adapters import node_text
        from ..adapters.sampling.entries import STEERED
        from ..safety_steer.reports.summary import picture_summary
        from ..safety_steer.steering.steer_pictures import require_vision, steer_output

        steering, _ = settings.read(**values, start_percent=0.0, end_percent=1.0)
        require_vision(direction, "direction of Apply Safety Steer (CLIP Vision Output)")
        again = getattr(clip_vision_output, STEERED, False)
        made, outcome = steer_output(clip_vision_output, direction, steering, check=not again)
        if made is not clip_vision_output:
            setattr(made, STEERED, True)
        text = picture_summary([outcome], direction)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(made, ui=ui.PreviewText(text))
