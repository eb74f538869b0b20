"""Through text to CLIP vision: where captions and pictures share one space, a direction for text holds for pictures.

Contrastive training puts what a caption means and what its picture shows into one space (arXiv 2103.00020), and other models
are built to. Whether two tensors share a space is not asked by name: a caption has to fit its own picture better than most
others, without a map between them. The direction is aligned there with the prompts it came with; harmless pictures say what is
normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.aligned_space import AlignedSpace
from ..directions.source import SafetyDirection
from ..directions.text_spaces import Place
from ..errors import AlignmentError
from . import wide
from .align_direction import MIN_OWN, AlignSettings, align, fingerprint
from .anchors import PROBE_COUNT, AnchorStates

SHARED = 0.75  # by hand; half is chance, and the demo's words and pictures have 0.997
COMPARED = 1024  # by hand; pictures, so that the comparison takes no time


@dataclass(frozen=True)
class Shared:
    """The text space whose captions agree with a vision space's pictures, and how well: `agreement` says."""

    text: str
    agreement: float


def agreement(captions: Tensor, pictures: Tensor) -> float:
    """Return of how many other pictures a caption fits less than of its own, on average; 0.5 is chance.

    Both are (N, D), row by row the same, and are compared by the cosine of what sets them apart from their own mean.
    """
    some = (rows[:COMPARED].double() for rows in (captions, pictures))
    here, there = (torch.nn.functional.normalize(rows - rows.mean(0), dim=-1) for rows in some)
    cosines = here @ there.T
    own = cosines.diagonal()[:, None]
    won = (own > cosines).double() + 0.5 * (own == cosines).double()
    return float((won.sum(1) - 0.5).mean() / (len(own) - 1))


def agreements(captions: Mapping[str, AnchorStates], pictures: Mapping[str, AnchorStates]) -> dict[str, Shared]:
    """Return for each vision space the text space of its width that agrees best with it; none where no text space is as wide.

    Both hold states of the same N captions and pictures, in order.
    """
    found: dict[str, Shared] = {}
    for name, seen in pictures.items():
        alike = [
            Shared(text, agreement(said.pooled, seen.pooled))
            for text, said in captions.items()
            if said.reduced is None and said.pooled.shape == seen.pooled.shape
        ]
        if alike:
            found[name] = max(alike, key=lambda one: one.agreement)
    return found


def shared_spaces(captions: Mapping[str, AnchorStates], pictures: Mapping[str, AnchorStates]) -> dict[str, Shared]:
    """Return those vision spaces that a text space really shares."""
    return {name: one for name, one in agreements(captions, pictures).items() if one.agreement >= SHARED}


def align_through_text(
    direction: SafetyDirection,
    captions: Sequence[str],
    said: Mapping[str, AnchorStates],
    pictures: Mapping[str, AnchorStates],
    anchors: Mapping[str, AnchorStates],
    encoder: str,
    settings: AlignSettings | None = None,
    rows: Sequence[int] | None = None,
) -> AlignedDirection:
    """Align a direction to those outputs of CLIP vision that share a space with a text encoder.

    `said` and `pictures` are what the two models say of N harmless pictures' `captions` and of the pictures, `anchors` the text
    encoder's states of the direction's anchors, or of those named by `rows`. The first pictures' captions name the probes.
    Raises AlignmentError where no space is shared, for fewer than 200 pictures, or when no map is better than chance.
    """
    shared = shared_spaces(said, pictures)
    if not shared:
        raise AlignmentError(not_shared(said, pictures))
    fewest = min(len(pictures[name].tokens) for name in shared)
    if fewest < MIN_OWN:
        raise AlignmentError(
            f"Expected at least {MIN_OWN} captioned pictures for the way through text, as harmless pictures alone say what is "
            f"normal there, but got {fewest}. Add pictures, or set way to 'pictures'."
        )
    aligned = align(
        direction,
        {name: anchors[one.text] for name, one in shared.items()},
        encoder,
        replace(settings or AlignSettings(), thresholds="own"),
        anchors=rows,
        extra_benign={name: pictures[name] for name in shared},
        places={name: Place(name) for name in shared},
    )
    spaces = {name: _known_by(space, pictures[name]) for name, space in aligned.spaces.items()}
    report: dict[str, Any] = {
        name: {**found, "agreement": shared[name].agreement} if name in spaces else found
        for name, found in aligned.report.items()
    }
    return replace(aligned, spaces=MappingProxyType(spaces), report=report, probe_prompts=tuple(captions[:PROBE_COUNT]))


def not_shared(said: Mapping[str, AnchorStates], pictures: Mapping[str, AnchorStates]) -> str:
    """Say why there is no way through text: what was compared, and what to do."""
    compared = [
        f"{name} is as wide as {one.text}, where a caption fits its own picture better than {one.agreement:.0%} of the others: "
        f"50% is chance, {SHARED:.0%} are asked for"
        for name, one in agreements(said, pictures).items()
    ]
    sides = (", ".join(f"{name} {states.pooled.shape[1]}" for name, states in part.items()) for part in (said, pictures))
    looked = "; ".join(compared) or "no two of them are equally wide: {} of the clip, {} of clip_vision".format(*sides)
    return (
        f"Expected a clip that shares a space with clip_vision, for the way through text, but it shares none ({looked}). "
        "Connect the CLIP that clip_vision was trained with, or set way to 'pictures'."
    )


def _known_by(space: AlignedSpace, pictures: AnchorStates) -> AlignedSpace:
    """Know a vision space again by its harmless pictures: their middle need not be that of text."""
    mean, scale = wide.statistics(pictures.pooled)
    return replace(space, encoder=fingerprint(pictures, mean.float(), scale.float()))
