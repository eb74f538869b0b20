"""The way of a conditioning tensor from `steer_conditioning` to its result: few modules, and none entered twice.

A module is entered when a function of it gets states, or a value that holds some, from another module of the library. States
are whatever is as wide as the conditioning and has as many rows: the tensor, views and copies of it, its prompts in a list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from types import FrameType
from typing import Any

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer import AlignedDirection, SteerSettings, steer_conditioning
from safety_steer.steering.operators import OPERATORS

MOST_MODULES = 4
START = "safety_steer.steering.steer_conditioning"
TOKENS, WIDTH = 640, builders.TARGET_WIDTH  # more rows than any weights of that width have


def rows_in(value: Any, depth: int = 4) -> int:
    """Count the rows of states in an argument, in whatever it holds too."""
    if isinstance(value, Tensor):
        return value.numel() // WIDTH if value.ndim and value.shape[-1] == WIDTH else 0
    if depth and is_dataclass(value) and not isinstance(value, type):
        # Not `getattr`: that would be one more function of another module.
        held = vars(value)
        return max((rows_in(held[item.name], depth - 1) for item in fields(value) if item.name in held), default=0)
    if depth and isinstance(value, Mapping):
        return rows_in(list(value.values()), depth)
    if depth and isinstance(value, Iterable) and isinstance(value, list | tuple):
        found = [rows_in(item, depth - 1) for item in value]
        return sum(found) if all(isinstance(item, Tensor) for item in value) else max(found, default=0)
    return 0


def module_of(frame: FrameType | None) -> str:
    """Return the nearest module of the library up the calls, "" for none."""
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("safety_steer."):
        frame = frame.f_back
    return "" if frame is None else frame.f_globals["__name__"]


class Trip:
    """Records which modules states enter, in order."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if event != "call" or not name.startswith("safety_steer.") or name == module_of(frame.f_back):
            return
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount
        arguments = [frame.f_locals[variable] for variable in code.co_varnames[:count] if variable in frame.f_locals]
        if any(rows_in(value) >= TOKENS for value in arguments):
            self.entered.append(name)


def trip_of(states: Tensor, aligned: AlignedDirection, settings: SteerSettings) -> tuple[list[str], bool]:
    """Return the modules that states enter, and whether they were changed."""
    trip = Trip()
    sys.setprofile(trip)
    try:
        outcome = steer_conditioning({"cross_attn": states}, aligned, settings)
    finally:
        sys.setprofile(None)
    return trip.entered, outcome.changed


def long_prompt() -> Tensor:
    """Conditioning of one long prompt with unsafe words in it."""
    world = builders.world()
    [rows] = world.long(world.benign(1, seed=21), seed=21, unsafe=1, sentences=TOKENS // 16)
    words = builders.batch(world.target(world.pairs(1, seed=1)[1], seed=11))[0]
    return torch.cat([words.repeat(len(rows) // len(words) + 1, 1)[: len(rows) // 2], rows[len(rows) // 2 :]])[None]


@pytest.mark.parametrize("kind", [builders.planted_aligned, builders.aligned_with_examples])
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("gate", ["hard", "off"])
def test_states_enter_few_modules_and_none_twice(operator: str, gate: str, kind: Any) -> None:
    states = long_prompt()
    entered, changed = trip_of(states, kind(), SteerSettings(operator=operator, gate=gate))
    assert changed
    assert entered[0] == START
    assert len(set(entered)) == len(entered), entered
    assert len(entered) <= MOST_MODULES, entered


def test_a_closed_gate_is_no_longer_way() -> None:
    states = builders.benign_batch(1).repeat(1, TOKENS, 1)[:, :TOKENS]
    entered, changed = trip_of(states, builders.planted_aligned(), SteerSettings())
    assert not changed
    assert len(set(entered)) == len(entered) <= MOST_MODULES, entered


def test_prompts_with_padding_go_the_same_way() -> None:
    states = torch.cat([long_prompt(), torch.zeros(1, 9, WIDTH)], 1)
    assert (
        trip_of(states, builders.planted_aligned(), SteerSettings())[0]
        == trip_of(long_prompt(), builders.planted_aligned(), SteerSettings())[0]
    )


def test_the_trip_is_seen() -> None:
    """What is counted: a reading that is made again, a list of prompts, a value that holds states."""
    states = long_prompt()
    assert rows_in(states) == rows_in(states.half()) == rows_in(list(states[0].split(7))) == TOKENS
    assert rows_in(states.mean(1)) == 1
    aligned = builders.planted_aligned()
    assert rows_in(aligned) < TOKENS
    outcome = steer_conditioning({"cross_attn": states}, aligned)
    assert rows_in(outcome) == rows_in(replace(outcome, hidden={})) == TOKENS
    trip = Trip()
    sys.setprofile(trip)
    try:
        space = aligned.spaces["cross_attn"]
        for _ in range(2):
            space.check(states, "cross_attn")
    finally:
        sys.setprofile(None)
    assert trip.entered == ["safety_steer.directions.aligned_space", "safety_steer.directions.pooling"] * 2
