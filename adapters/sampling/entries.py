"""Steer conditioning entries, for all of the sampling or a window of it, and keep everything else they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...safety_steer.directions import text_spaces
from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import MismatchError
from ...safety_steer.steering.hidden_rows import steer_hidden
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning
from . import steered_variants
from .step_windows import Cut, Entry

STEERED = "safety_steered"
Steer = Callable[[Entry, AlignedDirection, SteerSettings], tuple[Entry, Outcome]]
Conditioning = list[list[Any]]


def entry_of(states: Tensor | None, extras: dict[str, Any]) -> Entry:
    """Return one pair of a CONDITIONING as the entry a sampler makes of it."""
    return {**extras, "cross_attn": states}


def pair_of(entry: Entry) -> list[Any]:
    """Return an entry as the pair of a CONDITIONING it was."""
    return [entry["cross_attn"], {name: value for name, value in entry.items() if name != "cross_attn"}]


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


def steer_text(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> tuple[Entry, Outcome]:
    """Steer all text of an entry; return the entry itself when nothing moves, or a copy."""
    result, outcome = _steer_spaces(entry, direction, settings)
    found: dict[str, Outcome] = {}
    for key in text_spaces.copies(entry, direction.places):
        of = text_spaces.COPIES[key]
        if torch.equal(entry[key], entry[of]):
            same, found[key] = (result[of] if result[of] is not entry[of] else entry[key]), outcome
        else:
            same, found[key] = _steer_copy(entry, key, direction, settings)
        result = result if same is entry[key] else {**result, key: same, STEERED: True}
    return result, replace(outcome, copies=found) if found else outcome


def steer_copies(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> tuple[Entry, Outcome]:
    """Steer only the further texts of an entry, as `steer_text` does; the outcome is that of the last of them."""
    result, outcome = entry, Outcome({}, None)
    for key in text_spaces.copies(entry, direction.places):
        same, outcome = _steer_copy(entry, key, direction, settings)
        result = result if same is entry[key] else {**result, key: same, STEERED: True}
    return result, outcome


def steer_entries(
    entries: Sequence[Entry], direction: AlignedDirection, settings: SteerSettings, cut: Cut, steer: Steer = steer_text
) -> tuple[list[Entry], list[Outcome]]:
    """Steer entries with their tensors under `cross_attn`, `pooled_output`, ...; none of them is written to.

    One that steering leaves alone comes back as it is; a steered one as `cut` makes it of the entry and its steered copy.
    Raises MismatchError for text the direction is not aligned to.
    """

    def act(entry: Entry) -> tuple[list[Entry], Outcome]:
        steered, outcome = steer_entry(entry, direction, settings, steer)
        return cut(entry, steered) if steered is not entry else [entry], outcome

    return each_with_text(entries, act)


def steer_entry(
    entry: Entry, direction: AlignedDirection, settings: SteerSettings, steer: Steer = steer_text
) -> tuple[Entry, Outcome]:
    """Steer an entry's text, and the variants that nodes before have attached to it; the entry itself when nothing moves.

    The outcome is that of the text all of those nodes have acted on.
    """
    result, outcome = steer(entry, direction, settings)
    attached = [number for number in steered_variants.numbers(entry.get("model_conds", {})) if number]
    if not attached:
        return result, outcome
    if result is not entry:
        result = steered_variants.put(result, 0, result, entry)
    for number in attached:
        before = steered_variants.text_of(entry, number)
        after, outcome = steer({**before, STEERED: True}, direction, settings)
        result = steered_variants.put(result, number, after, before)
    return result, outcome


def scored(entries: Sequence[Entry], direction: AlignedDirection) -> list[Outcome]:
    """Return what the gate says of each entry with text, of which nothing moves."""

    def act(entry: Entry) -> tuple[list[Entry], Outcome]:
        same, outcome = steer_text(entry, direction, SteerSettings(strength=0.0))
        return [same], outcome

    return each_with_text(entries, act)[1]


def sharing(entries: Sequence[Entry], others: Sequence[Entry]) -> list[bool]:
    """Say of each entry whether a further text of it is one that an entry of another role carries too."""
    further = [(key, other[key]) for other in others for key in text_spaces.COPIES if isinstance(other.get(key), Tensor)]
    return [any(_same(entry.get(key), text) for key, text in further) for entry in entries]


def _same(one: Any, other: Tensor) -> bool:
    return one is other or (isinstance(one, Tensor) and one.shape == other.shape and torch.equal(one, other))


def _steer_copy(entry: Entry, key: str, direction: AlignedDirection, settings: SteerSettings) -> tuple[Tensor, Outcome]:
    """Steer a further text of an entry as a prompt of its own; return the very tensor when nothing moves."""
    of = text_spaces.COPIES[key]
    try:
        result, outcome = _steer_spaces({of: entry[key], STEERED: entry.get(STEERED, False)}, direction, settings)
    except MismatchError as error:
        raise MismatchError(f"The model also reads {key}. {error}") from error
    return result[of], outcome


def _steer_spaces(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> tuple[Entry, Outcome]:
    """Steer the text spaces of an entry; return the entry itself when nothing moves, or a copy."""
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
    if text_spaces.generated_sound(entry):
        raise MismatchError(
            "Expected text states in this conditioning, but it carries sound that was generated for the prompt (as MiniMax "
            "Music 3 does): there is nothing to steer in it. Remove the Safety Steer nodes from this workflow; its prompts are "
            "not made safer."
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
