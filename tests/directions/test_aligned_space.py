"""What an aligned space reads of text, and that it notices tensors and encoders that do not belong to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.directions.aligned import gate_categories
from safety_steer.directions.pooling import pool, token_mask
from safety_steer.errors import MismatchError


def test_unsafe_readings_are_offset_minus_the_projection() -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    states = builders.unsafe_batch()
    token = states[1, 2].double()
    for column in range(3):
        expected = float(space.tokens.offsets[column]) - float(token @ space.tokens.readings[column].double())
        assert float(space.unsafe_reading(states)[1, 2, column]) == pytest.approx(expected, abs=1e-3)
    chosen = space.unsafe_reading(states, [2, 0])
    assert torch.allclose(chosen, space.unsafe_reading(states)[..., [2, 0]], atol=1e-4)


def test_pooling_leaves_padding_out() -> None:
    rows = builders.world().target(builders.world().benign(3, seed=4), seed=4)
    expected = torch.stack([row.mean(0) for row in rows])
    assert torch.allclose(pool(builders.batch(rows)), expected, atol=1e-4)
    assert torch.equal(pool(torch.zeros(2, 3, 4)), torch.zeros(2, 4))


def test_only_all_zero_tokens_are_padding() -> None:
    states = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [-0.0, 0.0]]])
    assert token_mask(states).tolist() == [[False, True, False]]


def test_the_gate_tells_apart_every_category_but_global() -> None:
    assert gate_categories(("global", "blades", "fires")) == ("blades", "fires")
    assert gate_categories(("global",)) == ("global",)


def test_check_accepts_benign_and_unsafe_prompts_of_the_same_encoder() -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    space.check(builders.benign_batch(20), "cross_attn")
    space.check(builders.unsafe_batch(40), "cross_attn")


def test_check_refuses_another_width_and_a_pooled_tensor() -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    width = builders.TARGET_WIDTH
    for shape in ((1, 4, width + 1), (1, 4, width - 1), (4, width)):
        with pytest.raises(MismatchError, match=rf"width {width}.*Align the direction with the CLIP"):
            space.check(torch.randn(shape), "cross_attn")


@pytest.mark.parametrize("change", [lambda t: t + 60, lambda t: t * 40, lambda t: -t])
def test_check_refuses_the_same_width_with_other_statistics(change: Callable[[Tensor], Tensor]) -> None:
    space = builders.planted_aligned().spaces["cross_attn"]
    states = change(builders.batch(builders.world().target(builders.world().benign(4, seed=1), seed=1)))
    with pytest.raises(MismatchError, match="another text encoder"):
        space.check(states, "cross_attn")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_check_refuses_numbers_that_are_not_finite(value: float) -> None:
    states = builders.unsafe_batch()
    states[0, 0, 0] = value
    with pytest.raises(MismatchError):
        builders.planted_aligned().spaces["cross_attn"].check(states, "cross_attn")


def test_check_encoder_accepts_the_encoder_and_refuses_others() -> None:
    aligned = builders.planted_aligned()
    probes = builders.planted_states().pooled[: len(aligned.probe_prompts)]
    aligned.check_encoder("cross_attn", probes)
    aligned.check_encoder("cross_attn", probes + 1e-3)
    for other in (probes[:, :-1], probes[:-1], probes.flip(0), torch.randn_like(probes), probes * math.nan):
        with pytest.raises(MismatchError, match="Align the direction to"):
            aligned.check_encoder("cross_attn", other)
