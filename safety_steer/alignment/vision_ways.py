"""The ways by which a direction comes to CLIP vision: by a map fitted on captioned pictures, through text, or either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from ..directions.aligned import AlignedDirection
from ..directions.source import SafetyDirection
from ..errors import AlignmentError
from .align_direction import AlignSettings
from .anchors import AnchorStates
from .through_text import align_through_text
from .vision import align_pictures, captions_in_source

REVERSE_ANCHORS = 1536  # by hand; of the direction's own prompts, for the way from the text encoder to its source


@dataclass(frozen=True, eq=False)
class Captioned:
    """N harmless pictures with `captions`, as two models know them: what CLIP vision says of the `pictures`, by vision space,
    and what a text encoder has `said` of the captions and of the direction's first `anchors`, by text space.
    """

    captions: Sequence[str]
    pictures: Mapping[str, AnchorStates]
    said: Mapping[str, AnchorStates]
    anchors: Mapping[str, AnchorStates]

    @property
    def rows(self) -> range:
        """Which of the direction's anchors were read."""
        return range(len(next(iter(self.anchors.values()))))


class Way(Protocol):
    """Aligns a direction to CLIP vision; raises AlignmentError where it cannot."""

    def __call__(
        self, direction: SafetyDirection, known: Captioned, encoder: str, settings: AlignSettings | None = None
    ) -> AlignedDirection:
        """Return the direction in the spaces this way reaches."""


def by_pictures(
    direction: SafetyDirection, known: Captioned, encoder: str, settings: AlignSettings | None = None
) -> AlignedDirection:
    """Fit a map from what captions mean to the direction's source to what CLIP vision says of their pictures."""
    rows = known.rows[:REVERSE_ANCHORS]
    anchors = {name: _first(states, len(rows)) for name, states in known.anchors.items()}
    source = captions_in_source(direction, anchors, known.said, rows)
    return align_pictures(direction, known.captions, source, known.pictures, encoder, settings)


def through_text(
    direction: SafetyDirection, known: Captioned, encoder: str, settings: AlignSettings | None = None
) -> AlignedDirection:
    """Align where captions and pictures share a space, and nowhere else."""
    return align_through_text(
        direction, known.captions, known.said, known.pictures, known.anchors, encoder, settings, known.rows
    )


def auto(direction: SafetyDirection, known: Captioned, encoder: str, settings: AlignSettings | None = None) -> AlignedDirection:
    """Go through text where a space is shared, and by a map to the others; the gate is decided in a shared space.

    By the map alone where there is no way through text. Where no map to the others is better than chance, they are left out.
    """
    try:
        spoken = through_text(direction, known, encoder, settings)
    except AlignmentError:
        return by_pictures(direction, known, encoder, settings)
    others = {name: states for name, states in known.pictures.items() if name not in spoken.spaces}
    if not others:
        return spoken
    try:
        fitted = by_pictures(direction, replace(known, pictures=others), encoder, settings)
    except AlignmentError as error:
        return replace(spoken, report={**{name: {"left_out": str(error)} for name in others}, **spoken.report})
    return replace(
        spoken,
        spaces=MappingProxyType({**spoken.spaces, **fitted.spaces}),
        places={**spoken.places, **fitted.places},
        report={**spoken.report, **fitted.report},
    )


WAYS: Mapping[str, Way] = MappingProxyType({"pictures": by_pictures, "through text": through_text, "auto": auto})


def anchors_read(direction: SafetyDirection, way: str) -> int:
    """Count the direction's anchors that a way has the text encoder read: all where the direction is aligned to text too."""
    return min(REVERSE_ANCHORS, len(direction.anchors)) if way == "pictures" else len(direction.anchors)


def _first(states: AnchorStates, count: int) -> AnchorStates:
    return AnchorStates(states.pooled[:count], states.tokens[:count])
