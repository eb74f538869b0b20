"""Blocks change no bit, and wide spaces keep fewer tokens."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from safety_steer.alignment import wide
from safety_steer.alignment.anchors import collect
from safety_steer.alignment.reducer import FEWEST_ROWS
from safety_steer.extraction.extract_direction import MIN_ANCHORS, channel_statistics


@pytest.mark.parametrize("shape", [(300, 48), (70, 5000), (129, 8193)])
def test_blocks_give_the_bits_of_the_whole(shape: tuple[int, int]) -> None:
    pooled = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mean, scale = wide.statistics(pooled)
    expected_mean, expected_scale = channel_statistics(pooled)
    centred = pooled.double() - mean
    assert torch.equal(mean, expected_mean)
    assert torch.equal(scale, expected_scale)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(wide.standardised(pooled, mean, scale, dtype), (centred / scale).to(dtype))
    assert torch.equal(wide.lengths(pooled, mean), centred.norm(dim=-1))


def test_groups_hold_every_prompt_once_and_in_order() -> None:
    prompts = [torch.full((count % 7, 3), float(count)) for count in range(200)]
    found = list(wide.groups(prompts, 64))
    assert [len(group) for group in found] == [64, 64, 64, 8]
    assert all(one is other for one, other in zip(chain.from_iterable(found), prompts, strict=True))
    heavy = [torch.zeros(1, 2**22).expand(2, -1)] * 5
    assert [len(group) for group in wide.groups(heavy, 64)] == [2, 2, 1]
    assert list(wide.groups([], 64)) == []


def test_beyond_the_budget_the_fewest_prompts_keep_their_first_tokens() -> None:
    prompts = [torch.randn(100, 4, generator=torch.Generator().manual_seed(row)) for row in range(MIN_ANCHORS + 20)]
    [kept] = collect([{"cross_attn": prompts}], len(prompts), token_budget=3 * 100 * 4 * 2).values()
    assert [len(rows) for rows in kept.tokens] == [100] * 3 + [FEWEST_ROWS] * (MIN_ANCHORS - 3)
    assert torch.equal(kept.tokens[5], prompts[5][:FEWEST_ROWS].half())
    torch.testing.assert_close(kept.pooled, torch.stack([rows.mean(0) for rows in prompts]))
    [fewer] = collect([{"cross_attn": prompts}], len(prompts), token_budget=0, fewest=8).values()
    assert len(fewer.tokens) == 8
