"""Steer a WANVIDEOTEXTEMBEDS, which the WanVideo nodes of ComfyUI-WanVideoWrapper hand on in place of a CONDITIONING."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import MismatchError
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning

SPACE = "cross_attn"
POSITIVE = "prompt_embeds"


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
