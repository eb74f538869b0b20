"""Apply Safety Steer (Conditioning): steer one prompt's conditioning, for samplers that take no MODEL wrapper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters.kept_text import kept_text
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, report_output, search_aliases

if TYPE_CHECKING:
    from ..adapters.sampling.entries import Conditioning
    from ..safety_steer.directions.aligned import AlignedDirection
    from ..safety_steer.steering.steer_conditioning import Outcome


class ApplySafetySteerConditioning(io.ComfyNode):
    """Steer the entries of a CONDITIONING."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="ApplySafetySteerConditioning",
            display_name="Apply Safety Steer (Conditioning)",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "safe", "censor", "filter", "moderation", "guard", "nudity"),
            **kept_text(),
            description="Steer one encoded prompt toward safe. Use it on the positive prompt, in place of Apply "
            "Safety Steer, when you want to steer a single prompt or your sampler has no MODEL input.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The encoded positive prompt."),
                AlignedDirectionSocket.Input(
                    "direction",
                    tooltip="The direction, fitted with Align Direction to the CLIP that encoded this prompt.",
                ),
                *settings.inputs(),
                settings.preset_input(),
                settings.vision_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="The steered prompt. Connect it to the positive input of your sampler.",
                ),
                report_output(later=False),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        conditioning: Conditioning,
        direction: AlignedDirection,
        vision_direction: AlignedDirection | None = None,
        **values: Any,
    ) -> io.NodeOutput:
        """Return steered copies; entries that need no steering are given back as they are."""
        from ..adapters import node_text, run_log
        from ..adapters.sampling import entries, pictures, prompts_in_model, step_windows

        steering, window = settings.read(**values)
        of_text, of_pictures = pictures.chosen(direction, vision_direction, "Apply Safety Steer (Conditioning)")
        cut = partial(step_windows.cut, window=window)
        outcomes: list[Outcome] = []
        steered = [entries.entry_of(*pair) for pair in conditioning]
        if of_text is not None:
            steered, outcomes = entries.steer_entries(steered, of_text, steering, cut)
        seen = None if of_pictures is None else pictures.Pictures(of_pictures, steering)
        if seen is not None:
            if of_text is None:
                pictures.require_pictures_alone(steered, seen.direction)
            steered = pictures.steer_pictures_of(steered, seen, cut)
        notices = prompts_in_model.left_alone(steered)
        text = node_text.described({"positive": outcomes}, of_text, seen, notices)
        node_text.show(cls.hidden.unique_id, text)
        used = run_log.any_step(window)
        reports = [] if seen is None else seen.reports(used)
        log = run_log.finished(outcomes, direction, settings.sentence(steering, window), used, notices, reports)
        return io.NodeOutput([entries.pair_of(entry) for entry in steered], log, ui=ui.PreviewText(text))
