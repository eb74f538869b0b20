"""Apply Safety Steer (Conditioning): steer one prompt's conditioning, for samplers that take no MODEL wrapper."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..adapters import node_text, run_log
from ..adapters.kept_text import kept_text
from ..adapters.sampling import step_windows
from ..adapters.sampling.entries import steer_entries
from ..adapters.sampling.pictures import Pictures, chosen, require_pictures_alone, steer_pictures_of
from ..adapters.sampling.step_windows import Entry
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.steering.steer_conditioning import Outcome
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, report_output, search_aliases

Conditioning = list[list[Any]]


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
        steering, window = settings.read(**values)
        of_text, of_pictures = chosen(direction, vision_direction, "Apply Safety Steer (Conditioning)")
        cut = partial(step_windows.cut, window=window)
        entries: list[Entry] = [entry_of(*pair) for pair in conditioning]
        outcomes: list[Outcome] = []
        if of_text is not None:
            entries, outcomes = steer_entries(entries, of_text, steering, cut)
        pictures = None if of_pictures is None else Pictures(of_pictures, steering)
        if pictures is not None:
            if of_text is None:
                require_pictures_alone(entries, pictures.direction)
            entries = steer_pictures_of(entries, pictures, cut)
        text = node_text.described(outcomes, of_text, pictures)
        node_text.show(cls.hidden.unique_id, text)
        log = run_log.finished(outcomes, direction, settings.sentence(steering, window), run_log.any_step(window))
        return io.NodeOutput([_pair(entry) for entry in entries], log, ui=ui.PreviewText(text))


def entry_of(states: Tensor | None, extras: dict[str, Any]) -> Entry:
    """Return one pair of a CONDITIONING as the entry a sampler makes of it."""
    return {**extras, "cross_attn": states}


def _pair(entry: Entry) -> list[Any]:
    return [entry["cross_attn"], {name: value for name, value in entry.items() if name != "cross_attn"}]
