"""Steering as one call: several text spaces, the gate decided once, identity laws, and what is said about it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support import builders

from safety_steer import Outcome, SteerSettings, steer_conditioning
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.pooling import pool
from safety_steer.errors import DataError, MismatchError
from safety_steer.reports.summary import summary
from safety_steer.steering.gate import open_gate
from safety_steer.steering.operators import OPERATORS, steer
from safety_steer.steering.steer_conditioning import reach_in

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def two_spaces() -> AlignedDirection:
    """The planted alignment for tokens and, with the same numbers, for a pooled vector."""
    aligned = builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    return replace(aligned, spaces={"cross_attn": space, "pooled_output": space})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_benign_prompts_come_back_themselves(dtype: torch.dtype, operator: str) -> None:
    states = builders.benign_batch(10).to(dtype)
    outcome = steer_conditioning({"cross_attn": states}, builders.planted_aligned(), SteerSettings(operator=operator))
    assert outcome.tensors["cross_attn"] is states
    assert not outcome.changed


@pytest.mark.parametrize("operator", OPERATORS)
def test_strength_zero_returns_every_tensor_itself(operator: str) -> None:
    tensors = {"cross_attn": builders.unsafe_batch(), "pooled_output": pool(builders.unsafe_batch()), "other": torch.ones(1)}
    outcome = steer_conditioning(tensors, two_spaces(), SteerSettings(strength=0.0, operator=operator))
    assert list(outcome.tensors) == list(tensors)
    assert all(outcome.tensors[name] is tensors[name] for name in tensors)
    assert not outcome.changed
    assert summary(outcome, two_spaces()) == "not steered: every strength is 0"


def test_no_active_category_returns_the_input_itself() -> None:
    states = builders.unsafe_batch()
    for strengths in ({}, {"global": 0.0}):
        aligned = replace(builders.planted_aligned(), strengths=strengths)
        assert steer_conditioning({"cross_attn": states}, aligned).tensors["cross_attn"] is states


def test_padding_alone_comes_back_itself() -> None:
    states = torch.zeros(2, 7, builders.TARGET_WIDTH)
    for operator in OPERATORS:
        outcome = steer_conditioning(
            {"cross_attn": states}, builders.planted_aligned(), SteerSettings(operator=operator, gate="off")
        )
        assert outcome.tensors["cross_attn"] is states


def test_a_zeroed_row_in_a_batch_is_padding_not_another_encoder() -> None:
    states = builders.unsafe_batch(4)
    states[2] = 0
    outcome = steer_conditioning({"cross_attn": states}, builders.planted_aligned())
    assert torch.equal(outcome.tensors["cross_attn"][2], states[2])
    assert not torch.equal(outcome.tensors["cross_attn"][0], states[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("gate", ["off", "hard", "soft"])
def test_inputs_are_never_written_to_and_dtypes_stay(dtype: torch.dtype, operator: str, gate: str) -> None:
    tensors = {"cross_attn": builders.unsafe_batch().to(dtype), "pooled_output": pool(builders.unsafe_batch()).to(dtype)}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    outcome = steer_conditioning(tensors, two_spaces(), SteerSettings(operator=operator, gate=gate))
    assert outcome.changed
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[name])
        assert outcome.tensors[name].dtype == dtype
        assert outcome.tensors[name].shape == tensor.shape
        assert not torch.equal(outcome.tensors[name], tensor)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_zeros_of_another_width_come_back_themselves_and_other_spaces_are_steered(check: bool, strength: float) -> None:
    aligned, zeros = two_spaces(), torch.zeros(6, builders.TARGET_WIDTH + 1)
    settings = SteerSettings(strength=strength)
    alone = steer_conditioning({"pooled_output": zeros}, aligned, settings, check)
    assert alone.tensors["pooled_output"] is zeros
    assert not alone.changed
    assert summary(alone, aligned) == "nothing to steer, as it is all zeros"
    both = {"cross_attn": builders.unsafe_batch(), "pooled_output": zeros}
    outcome = steer_conditioning(both, aligned, settings, check)
    assert outcome.tensors["pooled_output"] is zeros
    expected = steer_conditioning({"cross_attn": both["cross_attn"]}, aligned, settings, check)
    assert torch.equal(outcome.tensors["cross_attn"], expected.tensors["cross_attn"])
    assert outcome.changed == bool(strength)


def test_a_tensor_of_another_width_is_refused_where_it_is_steered_without_the_check_too() -> None:
    with pytest.raises(MismatchError, match=f"width {builders.TARGET_WIDTH}, but the conditioning has shape"):
        steer_conditioning({"cross_attn": torch.ones(1, 4, 9)}, builders.planted_aligned(), check=False)


def test_only_flagged_rows_move() -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]])
    outcome = steer_conditioning({"cross_attn": states}, builders.planted_aligned())
    assert outcome.gate is not None
    assert outcome.gate.flagged.tolist() == [True] * 3 + [False] * 3
    assert torch.equal(outcome.tensors["cross_attn"][3:], states[3:])
    assert bool((outcome.tensors["cross_attn"][:3] != states[:3]).any(-1).any(-1).all())


def test_a_batch_is_steered_like_its_rows_alone() -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]])
    together = steer_conditioning({"cross_attn": states}, builders.planted_aligned()).tensors["cross_attn"]
    for row in range(6):
        alone = steer_conditioning({"cross_attn": states[row : row + 1]}, builders.planted_aligned()).tensors["cross_attn"]
        assert torch.allclose(alone[0], together[row], atol=1e-4)


def test_the_call_is_gate_then_steer() -> None:
    states, aligned = builders.unsafe_batch(), builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    opening = open_gate(states, space, "soft", 0.02).opening
    expected = steer(states, space, aligned.categories, {"global": 0.7}, "project", opening).states
    settings = SteerSettings(strength=0.7, operator="project", gate="soft", false_positive_rate=0.02)
    assert torch.equal(steer_conditioning({"cross_attn": states}, aligned, settings).tensors["cross_attn"], expected)


def test_a_pooled_vector_is_steered_as_one_token() -> None:
    pooled = pool(builders.unsafe_batch())
    outcome = steer_conditioning({"pooled_output": pooled}, two_spaces())
    as_tokens = steer_conditioning({"cross_attn": pooled[:, None]}, two_spaces())
    assert torch.equal(outcome.tensors["pooled_output"], as_tokens.tensors["cross_attn"][:, 0])


def test_the_gate_is_decided_once_in_the_first_space() -> None:
    benign, unsafe = builders.benign_batch(2), pool(builders.unsafe_batch(2))
    outcome = steer_conditioning({"pooled_output": unsafe, "cross_attn": benign}, two_spaces())
    assert outcome.tensors["pooled_output"] is unsafe
    assert steer_conditioning({"pooled_output": unsafe}, two_spaces()).changed


def test_spaces_without_an_alignment_are_given_back() -> None:
    other = torch.randn(2, 3)
    outcome = steer_conditioning({"cross_attn": builders.unsafe_batch(), "clip_l": other}, builders.planted_aligned())
    assert outcome.tensors["clip_l"] is other


def test_strength_multiplies_the_strengths_of_the_direction() -> None:
    states = builders.unsafe_batch()
    mixed = replace(builders.planted_aligned(), strengths={"blades": 0.5, "fires": 0.25})
    doubled = replace(builders.planted_aligned(), strengths={"blades": 1.0, "fires": 0.5})
    results = [
        steer_conditioning({"cross_attn": states}, aligned, SteerSettings(strength=strength)).tensors["cross_attn"]
        for aligned, strength in ((mixed, 2.0), (doubled, 1.0))
    ]
    assert torch.equal(*results)


def test_no_aligned_space_names_what_there_is() -> None:
    with pytest.raises(MismatchError, match=r"aligned to cross_attn, but the conditioning has clip_g"):
        steer_conditioning({"clip_g": builders.unsafe_batch()}, builders.planted_aligned())
    with pytest.raises(MismatchError, match="no text tensors"):
        steer_conditioning({}, builders.planted_aligned())


def test_a_tensor_of_another_encoder_is_refused_even_at_strength_zero() -> None:
    for states in (torch.randn(1, 4, builders.TARGET_WIDTH + 4), builders.unsafe_batch() + 80):
        with pytest.raises(MismatchError, match="Align the direction"):
            steer_conditioning({"cross_attn": states}, builders.planted_aligned(), SteerSettings(strength=0.0))


def test_steered_tensors_can_be_steered_again_without_the_check() -> None:
    once = steer_conditioning(
        {"cross_attn": builders.unsafe_batch()}, builders.planted_aligned(), SteerSettings(strength=40, gate="off")
    )
    with pytest.raises(MismatchError):
        steer_conditioning(once.tensors, builders.planted_aligned())
    assert isinstance(steer_conditioning(once.tensors, builders.planted_aligned(), check=False), Outcome)


@pytest.mark.parametrize("shape", [(28,), (1, 2, 3, 28)])
def test_a_tensor_of_another_rank_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="Expected conditioning of shape"):
        steer_conditioning({"cross_attn": torch.randn(shape)}, builders.planted_aligned())


def test_summary_says_which_prompts_categories_and_tokens() -> None:
    states = torch.cat([builders.unsafe_batch(1)[:, :4], builders.benign_batch(1)[:, :4]])
    outcome = steer_conditioning({"cross_attn": states}, builders.planted_aligned(), SteerSettings(operator="add"))
    text = summary(outcome, builders.planted_aligned())
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("prompt 1: flagged as blades (score +")
    assert "4 tokens (0-3) of 4 moved" in lines[1]
    assert lines[2].startswith("prompt 2: benign (score -")
    assert lines[3].endswith("cross_attn: unchanged")


def test_what_may_move_is_carried_to_other_spaces_by_its_share_of_the_way_through_the_real_tokens() -> None:
    reach = torch.tensor([[False, True, False, False, False], [True, True, False, False, False]])
    deciding = torch.ones(2, 5, dtype=torch.bool)
    deciding[0, 4] = 0
    assert reach_in(None, deciding, torch.ones(2, 9, dtype=torch.bool)) is None
    assert reach_in(reach, deciding, deciding) is reach
    behind = torch.zeros(2, 12, dtype=torch.bool)
    behind[0, 2:10] = 1
    behind[1, :10] = 1
    carried = reach_in(reach, deciding, behind)
    assert carried is not None
    assert carried[0, 2:10].tolist() == [False, False, True, True, False, False, False, False]
    assert carried[1, :10].tolist() == [True] * 4 + [False] * 6
    pooled = reach_in(reach, deciding, torch.ones(2, 1, dtype=torch.bool))
    assert pooled is not None
    assert pooled.tolist() == [[True], [True]]


def test_an_unsafe_passage_moves_in_a_space_whose_rows_come_after_those_of_the_deciding_one() -> None:
    """As in SD3, whose encoders stand after each other on the tokens, with zeros in each other's rows."""
    world, aligned = builders.world(), builders.aligned_with_examples()
    [rows] = world.long(world.benign(1, seed=5), 5, unsafe=4, sentences=6)
    first, second = torch.zeros(1, 192, builders.TARGET_WIDTH), torch.zeros(1, 192, builders.TARGET_WIDTH)
    first[0, :96], second[0, 96:] = rows, rows
    both = replace(aligned, spaces={"one": aligned.spaces["cross_attn"], "two": aligned.spaces["cross_attn"]})
    outcome = steer_conditioning({"one": first, "two": second}, both, SteerSettings(operator="add"))
    moved = [(outcome.tensors[name] != states).any(-1)[0] for name, states in (("one", first), ("two", second))]
    assert bool(moved[0][64:80].all())
    assert torch.equal(moved[0][:96], moved[1][96:])


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("texts", "pooled"), [(2, 1), (1, 2), (4, 2), (2, 3)])
def test_texts_and_pooled_texts_of_different_numbers_are_steered_row_by_row(texts: int, pooled: int, operator: str) -> None:
    states = torch.cat([builders.unsafe_batch(1), builders.benign_batch(3)])[:texts]
    tensors = {"cross_attn": states, "pooled_output": pool(torch.cat([builders.unsafe_batch(1), states, states]))[:pooled]}
    outcome = steer_conditioning(tensors, two_spaces(), SteerSettings(operator=operator))
    assert outcome.changed
    rows = math.lcm(texts, pooled)
    for row in range(rows):
        own = {name: tensor[row % len(tensor)][None] for name, tensor in tensors.items()}
        expected = steer_conditioning(own, two_spaces(), SteerSettings(operator=operator)).tensors
        for name, tensor in outcome.tensors.items():
            torch.testing.assert_close(tensor[row % len(tensor)], expected[name][0])
    assert len(summary(outcome, two_spaces()).split("prompt ")) == rows + 1


@pytest.mark.parametrize("settings", [SteerSettings(strength=0.0), SteerSettings()], ids=["strength 0", "a closed gate"])
def test_nothing_is_repeated_where_nothing_moves(settings: SteerSettings) -> None:
    states = builders.benign_batch(4)
    tensors = {"cross_attn": states, "pooled_output": pool(states)[:2]}
    outcome = steer_conditioning(tensors, two_spaces(), settings)
    assert all(outcome.tensors[name] is tensors[name] for name in tensors)


@pytest.mark.parametrize("rows", [(0, 1), (1, 0), (0, 0), (16, 17)])
def test_rows_that_cannot_be_paired_are_one_clear_error(rows: tuple[int, int]) -> None:
    states = torch.cat([builders.benign_batch(17)])
    tensors = {"cross_attn": states[: rows[0]], "pooled_output": pool(states)[: rows[1]]}
    with pytest.raises(MismatchError, match=f"cross_attn has {rows[0]}, pooled_output has {rows[1]}"):
        steer_conditioning(tensors, two_spaces())
