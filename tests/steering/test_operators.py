"""Operators on conditioning: identity laws, closed forms, and where the readings land."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.quantiles import LEVELS, at_quantile
from safety_steer.errors import DataError
from safety_steer.steering.operators import OPERATORS, Steered, steer
from safety_steer.steering.request import active_strengths

NAMES = ("global", "blades", "fires")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def planted() -> AlignedSpace:
    return builders.planted_aligned().spaces["cross_attn"]


def steer_fully(states: Tensor, operator: str, strengths: Mapping[str, float] | None = None) -> Steered:
    """Steer with the gate wide open."""
    chosen = {"global": 1.0} if strengths is None else strengths
    return steer(states, planted(), NAMES, chosen, operator, torch.ones(len(states)))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_zero_and_no_categories_return_the_input_itself(operator: str, dtype: torch.dtype) -> None:
    states = builders.unsafe_batch().to(dtype)
    for strengths in ({}, {"global": 0.0}, {"global": 0.0, "fires": -0.0}):
        assert steer_fully(states, operator, strengths).states is states


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_closed_gate_returns_the_input_itself(operator: str) -> None:
    states = builders.unsafe_batch()
    result = steer(states, planted(), NAMES, {"global": 1.0}, operator, torch.zeros(len(states)))
    assert result.states is states
    assert not bool(result.flagged.any())


def test_benign_prompts_come_back_themselves_from_clip() -> None:
    states = builders.benign_batch(20)
    assert steer(states, planted(), NAMES, {"global": 1.0}).states is states
    assert steer(states, planted(), NAMES, dict.fromkeys(NAMES, 1.0)).states is states


@pytest.mark.parametrize("operator", OPERATORS)
def test_all_padding_returns_the_input_itself(operator: str) -> None:
    states = torch.zeros(2, 5, builders.TARGET_WIDTH)
    assert steer_fully(states, operator).states is states


@pytest.mark.parametrize("operator", OPERATORS)
def test_padding_stays_zero_while_the_rest_moves(operator: str) -> None:
    states = builders.unsafe_batch()
    padding = (states == 0).all(-1)
    assert bool(padding.any())
    result = steer_fully(states, operator)
    assert torch.equal(result.states[padding], states[padding])
    assert not bool(result.flagged[padding].any())
    assert bool(result.flagged[~padding].any())


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_input_is_never_written_to_and_dtype_and_shape_stay(operator: str, dtype: torch.dtype) -> None:
    states = builders.unsafe_batch().to(dtype)
    before = states.clone()
    result = steer_fully(states, operator)
    assert torch.equal(states, before)
    assert result.states.dtype == dtype
    assert result.states.shape == states.shape
    assert result.states.data_ptr() != states.data_ptr()
    assert not torch.equal(result.states, states)


@pytest.mark.parametrize("operator", OPERATORS)
def test_tokens_that_are_not_moved_keep_their_bits(operator: str) -> None:
    states = torch.cat([builders.unsafe_batch(3), builders.unsafe_batch(3).flip(-2)])
    states[:, 1] = builders.benign_batch(6)[:, 0]
    result = steer_fully(states, operator)
    assert torch.equal(result.states[~result.flagged], states[~result.flagged])
    assert torch.equal(result.flagged, (result.states != states).any(-1))


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_view_with_strides_gives_the_same_as_its_copy(operator: str) -> None:
    wide = builders.unsafe_batch().repeat(1, 1, 2)
    view = wide[..., : builders.TARGET_WIDTH]
    turned = builders.unsafe_batch().transpose(0, 1).contiguous().transpose(0, 1)
    for states in (view, turned):
        plain = steer_fully(states.contiguous(), operator)
        assert torch.allclose(steer_fully(states, operator).states, plain.states, atol=1e-4)


@pytest.mark.parametrize("operator", OPERATORS)
def test_rows_of_a_batch_are_independent(operator: str) -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :6], builders.benign_batch(3)[:, :6]])
    gate = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.25])
    together = steer(states, planted(), NAMES, {"global": 1.0, "fires": 0.5}, operator, gate)
    for row in range(6):
        alone = steer(states[row : row + 1], planted(), NAMES, {"global": 1.0, "fires": 0.5}, operator, gate[row : row + 1])
        assert torch.equal(alone.flagged[0], together.flagged[row])
        assert torch.allclose(alone.states[0], together.states[row], atol=1e-4)


def test_add_is_exactly_h_plus_strength_times_v() -> None:
    states = builders.unsafe_batch()[:, :4]
    for strength in (1.0, -0.75, 3.5):
        result = steer_fully(states, "add", {"global": strength}).states
        assert torch.equal(result, states + strength * planted().vectors[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_add_in_half_precision_rounds_once(dtype: torch.dtype) -> None:
    states = builders.unsafe_batch()[:, :4].to(dtype)
    expected = (states.float() + 0.3 * planted().vectors[0]).to(dtype)
    assert torch.equal(steer_fully(states, "add", {"global": 0.3}).states, expected)


def test_add_is_linear_in_strength() -> None:
    states = builders.unsafe_batch()[:, :4]
    moves = [steer_fully(states, "add", {"global": strength}).states - states for strength in (1.0, 2.5, -1.0)]
    assert torch.allclose(moves[1], 2.5 * moves[0], atol=1e-3)
    assert torch.allclose(moves[2], -moves[0], atol=1e-3)


def test_add_sums_the_vectors_of_several_categories() -> None:
    states = builders.unsafe_batch()[:, :4]
    result = steer_fully(states, "add", {"blades": 0.5, "fires": -2.0})
    expected = states + 0.5 * planted().vectors[1] - 2.0 * planted().vectors[2]
    assert torch.allclose(result.states, expected, atol=1e-4)
    assert result.categories == ("blades", "fires")


@pytest.mark.parametrize("operator", ["clip", "project"])
def test_at_strength_one_moved_tokens_land_on_the_benign_median(operator: str) -> None:
    states = builders.unsafe_batch()
    result = steer_fully(states, operator)
    before, after = planted().unsafe_reading(states, [0])[..., 0], planted().unsafe_reading(result.states, [0])[..., 0]
    assert bool((before[result.flagged] > 0).all())
    assert float(after[result.flagged].abs().max()) < 0.01
    assert torch.allclose(result.after[..., 0], after, atol=0.01)
    assert torch.allclose(result.before[..., 0], before, atol=1e-5)


@pytest.mark.parametrize("operator", ["clip", "project"])
def test_half_the_strength_goes_half_the_way(operator: str) -> None:
    states = builders.unsafe_batch()
    result = steer_fully(states, operator, {"global": 0.5})
    halved = result.after[..., 0][result.flagged] / result.before[..., 0][result.flagged]
    assert torch.allclose(halved, torch.full_like(halved, 0.5), atol=0.01)


def test_a_half_open_gate_is_half_the_strength() -> None:
    states = builders.unsafe_batch(4)
    gated = steer(states, planted(), NAMES, {"global": 1.0}, "project", torch.full((4,), 0.5))
    assert torch.equal(gated.states, steer_fully(states, "project", {"global": 0.5}).states)


@pytest.mark.parametrize("operator", ["clip", "project"])
@pytest.mark.parametrize("copies", [2, 3])
def test_identical_directions_are_not_counted_twice(operator: str, copies: int) -> None:
    generator = torch.Generator().manual_seed(1)
    vector = torch.randn(1, 8, generator=generator)
    states = 2 * torch.randn(3, 4, 8, generator=generator) - vector
    gate, names = torch.ones(3), tuple(f"copy {number}" for number in range(copies))
    once = steer(states, builders.small_space(vector), ("one",), {"one": 1.0}, operator, gate)
    more = steer(states, builders.small_space(vector.repeat(copies, 1)), names, dict.fromkeys(names, 1.0), operator, gate)
    assert bool(once.flagged.any())
    assert torch.allclose(more.states, once.states, atol=0.02)


@pytest.mark.parametrize("operator", ["clip", "project"])
def test_overlapping_directions_bring_every_flagged_reading_to_the_median(operator: str) -> None:
    states = builders.unsafe_batch()
    strengths = {"blades": 1.0, "fires": 1.0}
    result = steer_fully(states, operator, strengths)
    over = (result.before > result.limits) & result.flagged[..., None]
    assert bool(over.all(-1).any())
    assert float(result.after[over].abs().max()) < 0.05


def test_perpendicular_directions_act_as_if_alone() -> None:
    space = builders.small_space(torch.eye(8)[:2] * 3)
    states = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3)) * 4
    both = steer(states, space, ("x", "y"), {"x": 1.0, "y": 1.0}, "project", torch.ones(2)).states
    expected = states.clone()
    expected[..., :2] = expected[..., :2].clamp(min=0)
    assert torch.allclose(both, expected, atol=0.02)


def test_clip_moves_only_tokens_beyond_the_quantile() -> None:
    space = builders.small_space(torch.eye(4)[:1])
    states = torch.tensor([[[-0.1, 1, 0, 0], [-0.3, 1, 0, 0], [-0.45, 1, 0, 0], [0.9, 1, 0, 0]]])
    for quantile, moved in (
        (0.5, [True, True, True, False]),
        (0.75, [False, True, True, False]),
        (0.9, [False, False, True, False]),
    ):
        result = steer(states, space, ("x",), {"x": 1.0}, "clip", torch.ones(1), token_quantile=quantile)
        assert result.flagged[0].tolist() == moved


def test_clip_without_a_gate_steers_only_prompts_beyond_the_benign_ones() -> None:
    space = builders.small_space(torch.eye(4)[:1])
    usual, unusual = [-0.4, 1.0, 0, 0], [-0.6, 1.0, 0, 0]
    states = torch.tensor([[usual, usual], [usual, unusual]])
    result = steer(states, space, ("x",), {"x": 1.0}, "clip")
    assert result.flagged.tolist() == [[False, False], [True, True]]


def test_project_leaves_the_safe_side_alone() -> None:
    states = torch.tensor([[[1.0, 2.0], [-1.0, 2.0]]])
    result = steer(states, builders.small_space(torch.tensor([[1.0, 0.0]])), ("x",), {"x": 1.0}, "project")
    assert torch.allclose(result.states, torch.tensor([[[1.0, 2.0], [0.0, 2.0]]]))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_preserve_norm_keeps_the_length_of_every_token(operator: str, dtype: torch.dtype) -> None:
    states = builders.unsafe_batch().to(dtype)
    result = steer(states, planted(), NAMES, {"global": 2.0}, operator, torch.ones(6), preserve_norm=True)
    assert bool(result.flagged.any())
    lengths = states.float().norm(dim=-1)
    tolerance = 1e-5 if dtype == torch.float32 else 5e-3
    assert torch.allclose(result.states.float().norm(dim=-1), lengths, rtol=tolerance)


def test_moves_are_the_distances_tokens_went() -> None:
    states = builders.unsafe_batch()
    result = steer_fully(states, "clip")
    assert torch.allclose(result.moved, (result.states - states).norm(dim=-1), atol=1e-3)


def test_unknown_names_and_odd_numbers_are_refused() -> None:
    states = builders.unsafe_batch(1)
    with pytest.raises(DataError, match="Expected operator"):
        steer_fully(states, "delete")
    with pytest.raises(DataError, match="no category 'storms'"):
        steer_fully(states, "clip", {"storms": 1.0})
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(DataError, match="finite"):
            steer_fully(states, "clip", {"global": value})
    for quantile in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(DataError, match="token quantile"):
            steer(states, planted(), NAMES, {"global": 1.0}, "clip", torch.ones(1), token_quantile=quantile)


def test_active_strengths_follow_the_order_of_the_categories() -> None:
    assert active_strengths({"fires": 2, "global": 0.0, "blades": -1.0}, NAMES) == {"blades": -1.0, "fires": 2.0}


def test_quantiles_are_interpolated_between_levels() -> None:
    values = torch.tensor([LEVELS, [2 * level for level in LEVELS]])
    for level in (0.01, 0.02, 0.33, 0.5, 0.9985, 1.0):
        assert torch.allclose(at_quantile(values, level), torch.tensor([level, 2 * level]), atol=1e-6)
