"""Apply Safety Steer (WanVideoWrapper): steer the text embeds of kijai's Wan nodes, which have a sampler of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters.kept_text import kept_text
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, report_output, search_aliases

if TYPE_CHECKING:
    from ..safety_steer.directions.aligned import AlignedDirection

TextEmbeds = io.Custom("WANVIDEOTEXTEMBEDS")


class ApplySafetySteerWanVideo(io.ComfyNode):
    """Steer the positive prompts of a WANVIDEOTEXTEMBEDS."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        shared = [item for item in settings.inputs() if item.id not in ("start_percent", "end_percent")]
        return io.Schema(
            node_id="ApplySafetySteerWanVideo",
            display_name="Apply Safety Steer (WanVideoWrapper)",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "safe", "censor", "filter", "moderation", "guard", "wan"),
            **kept_text(),
            description="For workflows with the WanVideo nodes of ComfyUI-WanVideoWrapper: put it between their text encoder "
            "and their sampler. Align the direction with the UMT5 text encoder, loaded with Load CLIP (type wan).",
            inputs=[
                TextEmbeds.Input("text_embeds", tooltip="The text embeds of WanVideo TextEncode."),
                AlignedDirectionSocket.Input(
                    "direction", tooltip="The direction, fitted with Align Direction to the same UMT5 text encoder."
                ),
                *shared,
                settings.preset_input(),
            ],
            outputs=[
                TextEmbeds.Output(display_name="text_embeds", tooltip="Steered text embeds for the WanVideo Sampler."),
                report_output(later=False),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, text_embeds: dict[str, Any], direction: AlignedDirection, **values: Any) -> io.NodeOutput:
        """Return a copy with steered prompts; negative prompts and everything else stay the same objects."""
        from ..adapters import node_text, run_log
        from ..adapters.sampling.wan_embeds import steer_text_embeds
        from ..safety_steer.steering.steer_pictures import require_text

        require_text(direction, "direction of Apply Safety Steer (WanVideoWrapper)")
        steering, window = settings.read(**values, start_percent=0.0, end_percent=1.0)
        embeds, outcomes = steer_text_embeds(text_embeds, direction, steering)
        text = node_text.describe(outcomes, direction)
        node_text.show(cls.hidden.unique_id, text)
        log = run_log.finished(outcomes, direction, settings.sentence(steering, window))
        return io.NodeOutput(embeds, log, ui=ui.PreviewText(text))
