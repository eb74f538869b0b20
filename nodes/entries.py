"""Steer conditioning entries, for all of the sampling or a window of it, and keep everything else they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from ..safety_steer import text_spaces
from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.apply import Outcome, SteerSettings, steer_conditioning
from ..safety_steer.errors import MismatchError
from .settings import Window

Entry = dict[str, Any]

EDGE = 1e-5
STEERED = "safety_steered"


def steer_entries(
    entries: Sequence[Entry], direction: AlignedDirection, settings: SteerSettings, window: Window
) -> tuple[list[Entry], list[Outcome]]:
    """Steer entries with their tensors under `cross_attn`, `pooled_output`, ...; none of them is written to.

    An entry without text, and one steering leaves alone, comes back as it is; a steered one as a copy, or as up to
    three when only a window of the steps is steered. Raises MismatchError for text the direction is not aligned to.
    """
    result: list[Entry] = []
    outcomes: list[Outcome] = []
    for entry in entries:
        if entry.get("cross_attn") is None:
            result.append(entry)
            continue
        left = text_spaces.left_alone(entry, direction.places)
        texts = _texts(entry, direction, left)
        pictured = text_spaces.pictured(entry)
        outcome = steer_conditioning(texts, direction, settings, check=not entry.get(STEERED), pictured=pictured)
        outcomes.append(replace(outcome, left_alone=tuple(left)))
        moved = {name: tensor for name, tensor in outcome.tensors.items() if tensor is not texts[name]}
        copies = text_spaces.put_back(entry, direction.places, moved)
        result.extend(_split(entry, {**entry, **copies, STEERED: True}, window) if moved else [entry])
    return result, outcomes


def _texts(entry: Mapping[str, Any], direction: AlignedDirection, left: Sequence[str]) -> dict[str, Tensor]:
    """Return an entry's text spaces that the direction is aligned to; refuse main text it is not aligned to."""
    for key in left:
        if key in text_spaces.MAIN_TEXT and not _left_out(direction, key):
            raise MismatchError(
                f"This conditioning carries its text in '{key}' too, which the direction is not aligned to "
                f"({', '.join(direction.spaces)}). Align the direction with the CLIP that encodes your prompts."
            )
    for name, place in direction.places.items():
        tensor = entry.get(place.key)
        if isinstance(tensor, Tensor) and not text_spaces.fits(entry, place):
            raise MismatchError(
                f"This direction was aligned to {name} of width {direction.spaces[name].width}, but the conditioning has "
                f"shape {tuple(tensor.shape)}. Align the direction with the CLIP that encodes your prompts."
            )
    return {name: text_spaces.take(entry, place) for name, place in direction.places.items() if text_spaces.fits(entry, place)}


def _left_out(direction: AlignedDirection, key: str) -> bool:
    """Say whether the alignment saw this tensor, and could carry nothing over to it."""
    return any("left_out" in found for name, found in direction.report.items() if name.split("/")[0] == key)


def _split(entry: Entry, steered: Entry, window: Window) -> list[Entry]:
    """Cut an entry's own step window at the edges of `window`, with `steered` inside and `entry` outside."""
    if window.start == window.end:
        return [entry]
    # A step exactly on a shared edge would see both copies, and one between two edges neither. Users and schedulers
    # choose round numbers, so the copies share edges a hair outside of the round ones.
    start, end = window.start - EDGE, window.end + EDGE
    first, last = entry.get("start_percent", 0.0), entry.get("end_percent", 1.0)
    edges = [first, *(edge for edge in (start, end) if first < edge < last), last]
    if len(edges) == 2:
        return [steered if start <= (first + last) / 2 <= end else entry]
    return [
        {**(steered if start <= (low + high) / 2 <= end else entry), "start_percent": low, "end_percent": high}
        for low, high in pairwise(edges)
    ]
