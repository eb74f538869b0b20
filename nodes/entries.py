"""Steer conditioning entries, for all of the sampling or a window of it, and keep everything else they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.apply import Outcome, SteerSettings, steer_conditioning
from ..safety_steer.errors import MismatchError
from .settings import Window

Entry = dict[str, Any]

OTHER_TEXT = ("conditioning_llama3", "conditioning_mt5xl", "conditioning_byt5small", "conditioning_lyrics")
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
        outcome = steer_conditioning(_texts(entry, direction), direction, settings, check=not entry.get(STEERED))
        outcomes.append(outcome)
        moved = {name: tensor for name, tensor in outcome.tensors.items() if tensor is not entry[name]}
        result.extend(_split(entry, {**entry, **moved, STEERED: True}, window) if moved else [entry])
    return result, outcomes


def _texts(entry: Mapping[str, Any], direction: AlignedDirection) -> dict[str, Tensor]:
    """Return the text tensors of an entry that the direction is aligned to; refuse text it is not."""
    for name in OTHER_TEXT:
        if entry.get(name) is not None and name not in direction.spaces:
            raise MismatchError(
                f"This conditioning also carries text in '{name}', which the direction is not aligned to "
                f"({', '.join(direction.spaces)}). This model family is not supported yet: remove Apply Safety Steer."
            )
    return {name: entry[name] for name in direction.spaces if isinstance(entry.get(name), Tensor)}


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
