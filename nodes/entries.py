"""Steer conditioning entries, for all of the sampling or a window of it, and keep everything else they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..safety_steer import text_spaces
from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.apply import Outcome, SteerSettings, steer_conditioning
from ..safety_steer.errors import MismatchError
from ..safety_steer.hidden_rows import steer_hidden
from . import targets
from .windows import Cut, Entry

STEERED = "safety_steered"


def each_with_text(
    entries: Sequence[Entry], act: Callable[[Entry], tuple[list[Entry], Outcome]]
) -> tuple[list[Entry], list[Outcome]]:
    """Return what `act` makes of each entry, and what it did; an entry without text comes back as it is."""
    result: list[Entry] = []
    outcomes: list[Outcome] = []
    for entry in entries:
        if entry.get("cross_attn") is None:
            result.append(entry)
            continue
        made, outcome = act(entry)
        result += made
        outcomes.append(outcome)
    return result, outcomes


def steer_entries(
    entries: Sequence[Entry], direction: AlignedDirection, settings: SteerSettings, cut: Cut
) -> tuple[list[Entry], list[Outcome]]:
    """Steer entries with their tensors under `cross_attn`, `pooled_output`, ...; none of them is written to.

    One that steering leaves alone comes back as it is; a steered one as `cut` makes it of the entry and its steered copy.
    Raises MismatchError for text the direction is not aligned to.
    """

    def act(entry: Entry) -> tuple[list[Entry], Outcome]:
        steered, outcome = steer_entry(entry, direction, settings)
        return cut(entry, steered) if steered is not entry else [entry], outcome

    return each_with_text(entries, act)


def steer_entry(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> tuple[Entry, Outcome]:
    """Steer an entry's text, and the targets that nodes before have hung on it; the entry itself when nothing moves.

    The outcome is that of the text all of those nodes have acted on.
    """
    result, outcome = steer_text(entry, direction, settings)
    hung = [number for number in targets.numbers(entry.get("model_conds", {})) if number]
    if not hung:
        return result, outcome
    if result is not entry:
        result = targets.put(result, 0, result, entry)
    for number in hung:
        before = targets.text_of(entry, number)
        after, outcome = steer_text({**before, STEERED: True}, direction, settings)
        result = targets.put(result, number, after, before)
    return result, outcome


def steer_text(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> tuple[Entry, Outcome]:
    """Steer an entry's text alone; return the entry itself when nothing moves, or a copy."""
    left = text_spaces.left_alone(entry, direction.places)
    texts = _texts(entry, direction, left)
    pictured = text_spaces.pictured(entry)
    outcome = steer_conditioning(texts, direction, settings, check=not entry.get(STEERED), pictured=pictured)
    hidden = {name: text_spaces.take_hidden(entry, direction.places[name]) for name in texts}
    outcome = steer_hidden(outcome, {name: rows for name, rows in hidden.items() if rows is not None}, direction, settings)
    moved = {name: tensor for name, tensor in outcome.tensors.items() if tensor is not texts[name]}
    behind = {name: steered.states for name, steered in outcome.hidden.items()}
    copies = text_spaces.put_back(entry, direction.places, moved, behind)
    return {**entry, **copies, STEERED: True} if copies else entry, replace(outcome, left_alone=tuple(left))


def _texts(entry: Mapping[str, Any], direction: AlignedDirection, left: Sequence[str]) -> dict[str, Tensor]:
    """Return an entry's text spaces that the direction is aligned to; refuse main text it is not aligned to or that is none."""
    if text_spaces.only_token_ids(entry):
        raise MismatchError(
            "Expected text states in this conditioning, but it carries token ids, which its model encodes itself (as "
            "HiDream-O1 does): there is nothing to steer in them. Remove the Safety Steer nodes from this workflow; its "
            "prompts are not made safer."
        )
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
