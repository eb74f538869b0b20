"""Erasing: which words go, what takes their place, and that nothing else is touched."""

import pytest
import torch
from support import builders

from safety_steer.steering.operators import fill_from_rest, steer
from safety_steer.steering.unsafe_words import unsafe_words

NAMES = builders.planted_aligned().categories


def chosen(text: str, *marks: str) -> torch.Tensor:
    """Read a row of marks, one per token: (1, T) bool."""
    return torch.tensor([[mark in marks for mark in text]])


@pytest.mark.parametrize(
    ("prompt", "erased"),
    [
        ("..........", ".........."),
        ("...f......", "...x......"),
        ("...s......", "..xxx....."),
        ("..s....s..", ".xxxxxxxx."),
        ("..s......s.s", ".xxx....xxx."),
        ("s.........", ".........."),
        ("f........s", ".........."),
        (".s........", ".xx......."),
        ("...fs.....", "...xxx...."),
        ("..f...f...", "..x...x..."),
        ("0.s...f..0", "0.xx..x..0"),
    ],
)
def test_words_their_neighbours_and_short_gaps(prompt: str, erased: str) -> None:
    """f is flagged, s striking, 0 padding; striking words grow by one token, gaps of up to three between them close."""
    flagged, striking, real = chosen(prompt, "f", "s"), chosen(prompt, "s"), ~chosen(prompt, "0")
    assert torch.equal(unsafe_words(flagged, striking, real), chosen(erased, "x"))


def test_the_rest_of_the_prompt_takes_the_place() -> None:
    states = torch.randn(2, 6, 4)
    states[1, 4:] = 0
    real = (states != 0).any(-1)
    erased = torch.zeros(2, 6, dtype=torch.bool)
    erased[0, 2:4] = erased[1, 1] = True
    before = states.clone()
    filled = fill_from_rest(states, erased, real, torch.tensor([1.0, 0.5]))
    assert torch.equal(states, before)
    assert torch.equal(filled[~erased], states[~erased])
    assert torch.allclose(filled[0, 2], states[0, [0, 1, 4, 5]].mean(0))
    assert torch.allclose(filled[1, 1], (states[1, 1] + states[1, [0, 2, 3]].mean(0)) / 2)


def test_a_prompt_of_nothing_else_is_left_alone() -> None:
    states = torch.randn(1, 3, 4)
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(fill_from_rest(states, everything, everything, torch.ones(1)), states)


def test_erased_words_no_longer_say_it() -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    states = builders.benign_batch(1).repeat(1, 4, 1)
    states[0, 5:7] -= 8 * space.vectors[0]
    result = steer(states, space, NAMES, {"global": 1.0}, "erase")
    assert bool(result.flagged[0, 4:8].all())
    assert float(space.unsafe_reading(result.states)[0, 5:7, 0].max()) < float(space.tokens.token_quantiles[0, -2])
    clipped = steer(states, space, NAMES, {"global": 1.0}, "clip").states
    assert not torch.allclose(result.states[0, 5], clipped[0, 5], atol=0.1)


def test_a_half_open_gate_goes_half_the_way() -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    states = builders.unsafe_batch(2)
    whole, half = (steer(states, space, NAMES, {"global": 1.0}, "erase", torch.full((2,), gate)) for gate in (1.0, 0.5))
    assert 0 < float(half.moved.sum()) < float(whole.moved.sum())


@pytest.mark.parametrize(("active", "erased"), [("global", True), ("fires", True), ("storms", False)])
def test_words_are_found_in_the_categories_that_are_on_and_in_all_for_global(active: str, erased: bool) -> None:
    space = builders.small_space(torch.eye(5)[:3])
    states = torch.full((1, 8, 5), 0.1)
    states[0, 4, 1] = -5.0
    result = steer(states, space, ("global", "fires", "storms"), {active: 1.0}, "erase", torch.ones(1))
    assert bool(result.flagged[0, 4]) is erased
