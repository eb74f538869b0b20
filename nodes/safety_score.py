"""Safety Score: what the gate thinks of a prompt, before anything is sampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..safety_steer.choices import THEMES
from ..safety_steer.errors import DataError
from .inputs import CATEGORY, AlignedDirectionSocket, checked_choice, clip_input, prompt_input, search_aliases, theme_input

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ..adapters.sampling.entries import Conditioning
    from ..safety_steer.directions.aligned import AlignedDirection

LOWEST = -1000.0  # for a prompt without any text, whose score has no lower bound


class SafetyScoreNode(io.ComfyNode):
    """Measure a CONDITIONING and change nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="SafetyScore",
            display_name="Safety Score",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "classifier", "detector", "moderation", "check prompt"),
            description="Ask the gate about a prompt before sampling. It changes nothing. Of several prompts, the most unsafe "
            "one decides.",
            inputs=[
                AlignedDirectionSocket.Input(
                    "direction", tooltip="The direction, fitted with Align Direction to the CLIP that encoded this prompt."
                ),
                io.Conditioning.Input("conditioning", tooltip="The encoded prompt."),
                theme_input(),
                clip_input(),
                prompt_input(),
            ],
            outputs=[
                io.Float.Output(
                    display_name="score",
                    tooltip="How far the prompt is beyond the limit of the gate. Above 0 it is flagged; at 0, it is as unusual "
                    "as 1 in 200 harmless prompts; every step of 1 down is about 2.7 times as common.",
                ),
                io.Boolean.Output(display_name="flagged", tooltip="Whether Apply Safety Steer would steer this prompt."),
                io.String.Output(display_name="category", tooltip="The likeliest category, whether flagged or not."),
                io.Image.Output(display_name="image", tooltip="The picture of the score."),
                io.String.Output(display_name="text", tooltip="The score in words."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        direction: AlignedDirection,
        conditioning: Conditioning,
        theme: str = "dark",
        clip: CLIP | None = None,
        prompt: str = "",
    ) -> io.NodeOutput:
        """Measure every prompt as it is, and answer for the most unsafe one."""
        from ..adapters import queued_prompt
        from ..adapters.node_image import as_image
        from ..adapters.report_prompts import report_prompts
        from ..adapters.run_log import finished
        from ..adapters.sampling.entries import entry_of, scored
        from ..safety_steer.reports.picture import draw_reports
        from ..safety_steer.reports.text import as_text, verdict
        from ..safety_steer.steering.steer_pictures import require_text

        require_text(direction, "direction of Safety Score")
        outcomes = scored([entry_of(*pair) for pair in conditioning], direction)
        queued = cls.hidden.prompt or {}
        nearest = queued_prompt.before(queued, cls.hidden.unique_id, ("conditioning",))
        texts = [prompt, *queued_prompt.typed_texts(queued, nearest)] if clip is not None else []
        reports = report_prompts(finished(outcomes, direction, ""), None, clip, texts)
        if not reports:
            raise DataError("This conditioning has no text to score. Connect the output of CLIP Text Encode to Safety Score.")
        worst = max(reports, key=lambda one: one.before.score)
        beyond = worst.before.score - worst.threshold
        text = "\n".join(as_text(one, verdict(one)) for one in reports)
        image = as_image(draw_reports(reports, checked_choice("theme", theme, THEMES, "Safety Score"), headline=verdict))
        score = beyond if math.isfinite(beyond) else LOWEST
        return io.NodeOutput(score, worst.flagged, worst.category, image, text, ui=ui.PreviewImage(image, cls=cls))
