"""Apply Safety Steer (WanVideoWrapper): steer the text embeds of kijai's Wan nodes, which have a sampler of their own."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..adapters import node_text, run_log
from ..adapters.kept_text import kept_text
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.errors import MismatchError
from ..safety_steer.steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning
from ..safety_steer.steering.steer_pictures import require_text
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, report_output, search_aliases

SPACE = "cross_attn"
POSITIVE = "prompt_embeds"
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
        require_text(direction, "direction of Apply Safety Steer (WanVideoWrapper)")
        steering, window = settings.read(**values, start_percent=0.0, end_percent=1.0)
        embeds, outcomes = steer_text_embeds(text_embeds, direction, steering)
        text = node_text.describe(outcomes, direction)
        node_text.show(cls.hidden.unique_id, text)
        log = run_log.finished(outcomes, direction, settings.sentence(steering, window))
        return io.NodeOutput(embeds, log, ui=ui.PreviewText(text))


def steer_text_embeds(
    text_embeds: dict[str, Any], direction: AlignedDirection, steering: SteerSettings
) -> tuple[dict[str, Any], list[Outcome]]:
    """Steer every prompt of `prompt_embeds`; the input is not written to.

    That is a list of (T, D) without padding, or one (B, T, D) with it from the bridge between ComfyUI's prompts and these.
    Raises MismatchError when there are none, or when the direction is aligned to another encoder.
    """
    prompts = text_embeds.get(POSITIVE) if isinstance(text_embeds, dict) else None
    if _is_text(prompts, 3):
        outcome = steer_conditioning({SPACE: prompts}, direction, steering)
        return {**text_embeds, POSITIVE: outcome.tensors[SPACE]}, [outcome]
    if not isinstance(prompts, list) or not prompts or not all(_is_text(part, 2) for part in prompts):
        raise MismatchError(
            "These text embeds hold no prompt_embeds of shape (tokens, width). Connect the text_embeds of WanVideo TextEncode."
        )
    outcomes = [steer_conditioning({SPACE: part[None]}, direction, steering) for part in prompts]
    steered = [
        part if torch.equal(outcome.tensors[SPACE][0], part) else outcome.tensors[SPACE][0]
        for part, outcome in zip(prompts, outcomes, strict=True)
    ]
    return {**text_embeds, POSITIVE: steered}, outcomes


def _is_text(part: Any, axes: int) -> TypeGuard[Tensor]:
    return isinstance(part, Tensor) and part.ndim == axes and part.numel() > 0
