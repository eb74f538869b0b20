"""Rows that stand for all: the greedy order against its definition, shares of kinds, and what must not matter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from safety_steer.extraction import representative as module
from safety_steer.extraction.representative import LEVELS, facilities, flattened, representative, similarities


def rows(count: int, width: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * torch.linspace(3, 0.5, width)


def by_definition(alike: Tensor, count: int) -> list[int]:
    """The greedy order with every row looked at at every step."""
    chosen: list[int] = []
    for _ in range(count):
        worth = [-1.0 if row in chosen else float(alike[:, [*chosen, row]].amax(1).sum()) for row in range(len(alike))]
        chosen.append(worth.index(max(worth)))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_the_definition(seed: int) -> None:
    alike = similarities(rows(60, 4, seed))
    assert facilities(alike, 60) == by_definition(alike, 60)


def test_one_of_each_cluster_comes_before_a_second_of_any() -> None:
    middles = 20 * torch.eye(7)
    crowd = torch.tensor([0] * 40 + [1] * 20 + [2, 3, 4, 5, 6] * 3)
    states = middles[crowd] + 0.1 * rows(len(crowd), 7)
    assert set(crowd[representative(states, torch.zeros(len(crowd)), 7)].tolist()) == set(range(7))
    first = crowd[facilities(similarities(states), 2)].tolist()
    assert first[0] == 0
    assert len(set(first)) == 2


@pytest.mark.parametrize("count", [0, 1, 64, 150, 199, 200])
def test_kinds_keep_their_shares_and_rows_come_once_and_ascending(count: int) -> None:
    kinds = torch.arange(200) % 5 == 0
    found = representative(rows(200), kinds, count)
    assert len(found) == len(set(found)) == count
    assert found == sorted(found)
    assert abs(int(kinds[found].sum()) - count / 5) <= 0.5


def test_of_more_than_a_block_each_part_keeps_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 32)
    found = representative(rows(200), torch.arange(200) < 70, 101)
    assert len(set(found)) == 101
    assert sum(row < 70 for row in found) == pytest.approx(35, abs=1.5)


def test_similarities_are_whole_numbers_and_their_sums_exact() -> None:
    alike = similarities(rows(300))
    assert torch.equal(alike, alike.round())
    assert (float(alike.min()) >= 0, float(alike.max())) == (True, LEVELS)
    assert module.BLOCK * LEVELS < 2**24
    assert torch.equal(alike.diagonal(), torch.full((300,), float(LEVELS)))


def test_states_all_alike_give_the_first_ones() -> None:
    assert representative(torch.ones(80, 6), torch.zeros(80), 70) == list(range(70))


def test_flattened_axes_spread_by_the_root_of_what_they_did() -> None:
    states = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([16.0, 4.0, 1.0])
    assert flattened(states).std(0).tolist() == pytest.approx([4.0, 2.0, 1.0], rel=0.05)


def test_states_in_half_precision_are_left_as_they_are_and_so_is_the_random_state() -> None:
    states = rows(100).half()
    kept, before = states.clone(), torch.random.get_rng_state()
    assert representative(states, torch.zeros(100), 70) == representative(states.float(), torch.zeros(100), 70)
    assert torch.equal(states, kept)
    assert torch.equal(torch.random.get_rng_state(), before)
