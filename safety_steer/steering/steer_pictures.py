"""Steering of pictures that come in: what CLIP vision says of them, by a direction fitted to it.

The gate, the operators and what they promise are those of text: a picture is a prompt whose tokens are its patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..directions import vision_spaces
from ..directions.aligned import AlignedDirection
from ..directions.pooling import read_prompts
from ..errors import MismatchError
from .steer_conditioning import Outcome, SteerSettings, as_tokens, steer_conditioning

ADVICE = "Align the direction again with Align Direction (Vision), with the CLIP vision model that looks at the picture"


def steer_output(
    output: Any, aligned: AlignedDirection, settings: SteerSettings | None = None, check: bool = True
) -> tuple[Any, Outcome]:
    """Steer what CLIP vision says of B pictures; return a copy, and what was done. The very object where nothing moved.

    The outcome's prompts are the pictures. Raises MismatchError as `steer_pictures` does.
    """
    tensors = vision_spaces.take(output)
    outcome = steer_pictures(tensors, aligned, settings, check)
    moved = {name: tensor for name, tensor in outcome.tensors.items() if tensor is not tensors[name]}
    return vision_spaces.put_back(output, moved) if moved else output, outcome


def steer_pictures(
    tensors: Mapping[str, Tensor], aligned: AlignedDirection, settings: SteerSettings | None = None, check: bool = True
) -> Outcome:
    """Steer the vision spaces of B pictures, (B, T, D) or (B, D) each; the gate is decided once, in the first one there is.

    Raises MismatchError when the direction is one for text, when no space is aligned or, with `check`, when a tensor has
    another width, holds NaN, or lies farther from the pictures of the alignment than any of them.
    """
    require_vision(aligned)
    known = [name for name in aligned.spaces if name in tensors]
    if not known:
        raise MismatchError(
            f"This direction is fitted to {', '.join(aligned.spaces)} of '{aligned.encoder}', but this picture has "
            f"{', '.join(tensors) or 'none of the states of CLIP vision'}. {ADVICE}."
        )
    for name in known:
        _check(as_tokens(tensors[name]), name, aligned, far=check)
    return steer_conditioning(tensors, aligned, settings, check=False)


def require_vision(aligned: AlignedDirection, name: str = "this direction") -> None:
    """Raise MismatchError for a direction that is fitted to a text encoder; `name` is the input it came in by."""
    if not vision_spaces.is_vision(aligned):
        raise MismatchError(
            f"Expected a direction for pictures, but {name} is fitted to the text encoder '{aligned.encoder}' "
            f"({', '.join(aligned.spaces)}). Connect one from Align Direction (Vision)."
        )


def require_text(aligned: AlignedDirection, name: str) -> None:
    """Raise MismatchError for a direction that is fitted to CLIP vision; `name` is the input it came in by."""
    if vision_spaces.is_vision(aligned):
        raise MismatchError(
            f"Expected a direction for text, but {name} is fitted to pictures ('{aligned.encoder}': "
            f"{', '.join(aligned.spaces)}). Connect one from Align Direction; that for pictures belongs to vision_direction."
        )


def _check(states: Tensor, name: str, aligned: AlignedDirection, far: bool) -> None:
    """Raise MismatchError for states of another encoder."""
    space, width = aligned.spaces[name], states.shape[-1]
    if width != space.width:
        raise MismatchError(
            f"This direction is fitted to {name} of width {space.width} ('{aligned.encoder}'), but that of this "
            f"picture has width {width}: another CLIP vision model looked at it. {ADVICE}."
        )
    if not far:
        return
    reading = read_prompts(space, states)
    if not bool(reading.finite.all()):
        raise MismatchError(f"What CLIP vision says of this picture holds NaN or Inf ({name}). Look at the node that made it.")
    farthest = float(space.encoder.distance(reading.pooled, reading.real.sum(-1)).max())
    if not farthest <= (limit := float(space.encoder.fit_limit)):
        raise MismatchError(
            f"This picture lies {farthest:.1f} deviations from those of the alignment ({name}, limit {limit:.1f}). "
            f"Another CLIP vision model looked at it, or it is unlike all of them. {ADVICE}, and with a folder of pictures "
            "like those you use."
        )
