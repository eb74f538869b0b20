"""What a reading says of tokens it need not look at channel by channel."""

from __future__ import annotations

import pytest
import torch
from support import builders

from safety_steer.directions.passages import PASSAGE, passage_starts
from safety_steer.directions.pooling import cut, read_prompts, read_space, take_columns

WIDTH = 4
SPACE = builders.small_space(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))


def states(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_only_tokens_of_zeros_are_padding_whatever_they_read(dtype: torch.dtype) -> None:
    rows = (0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 1, -1), (0, 0, 0, 3), (0, 2, 0, 0), (-0.0, 0, 0, 0)
    given = states(*rows).to(dtype)
    reading = read_prompts(SPACE, given)
    assert reading.real.tolist() == [[False, True, False, True, True, True, False]]
    assert bool(reading.finite.all())
    torch.testing.assert_close(reading.pooled, given.float().sum(1) / 4)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("channel", range(WIDTH))
def test_a_channel_that_is_no_number_is_found_where_no_category_reads_it(odd: float, channel: int) -> None:
    given = states((1, 1, 1, 1), (0, 0, 0, 0), (1, 2, 3, 4))
    given[0, 1, channel] = odd
    reading = read_prompts(SPACE, given)
    assert reading.finite.tolist() == [[True, False, True]]
    assert reading.real.tolist() == [[True, True, True]]


def test_numbers_too_large_to_add_are_numbers() -> None:
    assert bool(read_prompts(SPACE, states((3e38, 1, 1, 1), (3e38, 1, 1, 1))).finite.all())


def test_columns_are_views_where_they_follow_each_other() -> None:
    reading = read_space(SPACE, states((1, 2, 3, 4), (5, 6, 7, 8)))
    torch.testing.assert_close(reading.unsafe, SPACE.unsafe_reading(reading.states))
    first, both = take_columns(reading.unsafe, [1]), take_columns(reading.unsafe, [0, 1])
    assert torch.equal(first, reading.unsafe[..., 1:])
    assert first.data_ptr() == reading.unsafe[..., 1:].data_ptr()
    assert torch.equal(both, reading.unsafe)
    assert torch.equal(take_columns(reading.unsafe, [1, 0]), both.flip(-1))
    assert take_columns(reading.unsafe, []).shape == (1, 2, 0)


@pytest.mark.parametrize("length", [32, 33, 35, 64, 77, 512])
def test_passages_are_means_of_their_tokens(length: int) -> None:
    rows = torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(length))
    found = cut([rows, rows.half()[:31], rows.flip(0)])
    starts = passage_starts(length)
    expected = torch.stack([rows[start : start + PASSAGE].double().mean(0) for start in starts.tolist()])
    assert torch.equal(found.starts, starts.repeat(2))
    assert found.owner.tolist() == [0] * len(starts) + [2] * len(starts)
    torch.testing.assert_close(found.means[: len(starts)].double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.whole.double(), rows.double().mean(0).expand(2 * len(starts), -1), atol=1e-6, rtol=1e-6)
