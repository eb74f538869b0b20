"""Steer a part of the steps only: an entry is cut into copies, each for steps of its own.

ComfyUI gives an area of one prompt to the prompts of every other role, and works from the first copy alone: what it makes of a
family of copies would last as long as the first, or say what the first says. A run on the MODEL wire mends that once ComfyUI
is done, by `restore`; a CONDITIONING wire has no such moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...safety_steer.errors import MismatchError

Entry = dict[str, Any]
Cut = Callable[[Entry, Entry], list[Entry]]

EDGE = 1e-5  # of the sampling, by hand: far below a step
KEY = "safety_steer_family"


@dataclass(frozen=True)
class Window:
    """The share of the sampling steps that are steered: 0 is the first step, 1 the end."""

    start: float
    end: float

    @property
    def whole(self) -> bool:
        """Whether all steps are inside."""
        return self.start == 0 and self.end == 1


@dataclass(frozen=True, eq=False)
class Family:
    """The copies of one entry; `start` and `end` are the shares of the sampling that the whole entry was meant for."""

    start: float | None
    end: float | None


def cut(entry: Entry, steered: Entry, window: Window) -> list[Entry]:
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


def cut_family(entry: Entry, steered: Entry, window: Window) -> list[Entry]:
    """Cut an entry into copies that know each other, for `restore`: the entry and its model conditions name the family."""
    copies = cut(entry, steered, window)
    if len(copies) == 1:
        return copies
    family = entry.get(KEY) or Family(entry.get("start_percent"), entry.get("end_percent"))
    return [{**copy, KEY: family, "model_conds": {**copy.get("model_conds", {}), KEY: family}} for copy in copies]


def refuse_split(options: Mapping[str, Any]) -> None:
    """Raise MismatchError where context windows share out the entries of a prompt: with copies among them, to wrong windows."""
    handler = options.get("context_handler")
    if getattr(handler, "split_conds_to_windows", False):
        raise MismatchError(
            "Expected to steer all steps where context windows have split_conds_to_windows on, but start_percent and "
            "end_percent ask for a part of them, for which prompts are cut into copies that the windows would take for "
            "further prompts. Set start_percent to 0 and end_percent to 1 on Apply Safety Steer, or its site to "
            "'cross-attention', or switch split_conds_to_windows off."
        )


def restore(conds: Mapping[str, Sequence[Entry]], percent_to_sigma: Callable[[float], float]) -> dict[str, list[Entry]]:
    """Return the conditions of all roles without a trace of families, and with what ComfyUI made of a copy made of its family.

    What took its area from a copy lasts as long as the family; what took its text from a copy takes each copy's in turn.
    """
    members: dict[Family, list[Entry]] = {}
    for entries in conds.values():
        for entry in entries:
            if KEY in entry and KEY in entry["model_conds"]:
                members.setdefault(entry[KEY], []).append(entry)
    return {
        role: [made for entry in found for made in _restored(entry, members, percent_to_sigma)] for role, found in conds.items()
    }


def _restored(
    entry: Entry, members: Mapping[Family, Sequence[Entry]], percent_to_sigma: Callable[[float], float]
) -> list[Entry]:
    area_of, text_of = entry.get(KEY), entry.get("model_conds", {}).get(KEY)
    if area_of is None and text_of is not None:
        return [turn for member in members[text_of] if (turn := _turn(entry, member))]
    if area_of is not None and text_of is None:
        return [{**_timeless(_bare(entry)), **_steps_of(entry, area_of, percent_to_sigma)}]
    return [_bare(entry)]


def _turn(entry: Entry, member: Entry) -> Entry | None:
    """Return an entry with a copy's text, for the steps both are used; None when there are none."""
    start = min(entry.get("timestep_start", math.inf), member.get("timestep_start", math.inf))
    end = max(entry.get("timestep_end", -math.inf), member.get("timestep_end", -math.inf))
    conds = _bare(member)["model_conds"]
    return {**entry, "model_conds": conds, "timestep_start": start, "timestep_end": end} if start > end else None


def _bare(entry: Entry) -> Entry:
    """Return an entry that names no family."""
    conds = {name: value for name, value in entry.get("model_conds", {}).items() if name != KEY}
    return {**{name: value for name, value in entry.items() if name != KEY}, "model_conds": conds}


def _timeless(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name not in ("timestep_start", "timestep_end")}


def _steps_of(entry: Entry, family: Family, percent_to_sigma: Callable[[float], float]) -> dict[str, float]:
    """Return the sigmas of a family's steps, within those that a scheduled CLIP set for the entry."""
    starts = [share for share in (family.start, entry.get("clip_start_percent")) if share is not None]
    ends = [share for share in (family.end, entry.get("clip_end_percent")) if share is not None]
    steps = {"timestep_start": percent_to_sigma(max(starts))} if starts else {}
    return {**steps, "timestep_end": percent_to_sigma(min(ends))} if ends else steps
