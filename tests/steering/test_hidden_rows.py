"""Rows that a mask hides: they move with their prompt and only then, and words alone decide."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer import Outcome, SteerSettings, steer_conditioning
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.pooling import token_mask
from safety_steer.reports.summary import summary
from safety_steer.steering.hidden_rows import steer_hidden
from safety_steer.steering.image_tokens import LeftAlone
from safety_steer.steering.operators import OPERATORS, steer

BEHIND = 5


def aligned() -> AlignedDirection:
    return builders.planted_aligned()


def with_hidden(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return words with zeros behind them, and behind zeros the rows a mask hides: what each prompt last said."""
    heard = torch.stack([rows[kept][-1] for rows, kept in zip(states, token_mask(states), strict=True)])
    hidden = heard[:, None] + 0.1 * torch.randn(
        len(states), BEHIND, states.shape[-1], generator=torch.Generator().manual_seed(1)
    ).to(states)
    hidden[:, -1] = 0
    apart = torch.zeros_like(states), torch.zeros_like(hidden)
    return torch.cat([states, apart[1]], 1), torch.cat([apart[0], hidden], 1)


def steered(words: Tensor, hidden: Tensor, settings: SteerSettings) -> tuple[Outcome, Outcome]:
    """Steer words, and the rows behind them."""
    outcome = steer_conditioning({"cross_attn": words}, aligned(), settings)
    return outcome, steer_hidden(outcome, {"cross_attn": hidden}, aligned(), settings)


@pytest.mark.parametrize("gate", ["off", "hard", "soft"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_rows_behind_a_steered_prompt_move_and_zeros_stay(operator: str, gate: str) -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    before = hidden.clone()
    alone, both = steered(words, hidden, SteerSettings(operator=operator, gate=gate))
    rows = both.hidden["cross_attn"]
    assert both.tensors["cross_attn"] is alone.tensors["cross_attn"]
    assert both.changed
    moved = (rows.states != hidden).any(-1)
    assert torch.equal(moved, rows.flagged)
    assert not bool(moved[~token_mask(hidden)].any())
    assert bool(moved.any())
    assert torch.equal(hidden, before)


@pytest.mark.parametrize("operator", ["clip", "project", "add"])
def test_a_hidden_row_is_steered_as_a_token_is_and_by_clip_down_to_the_median(operator: str) -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    outcome, both = steered(words, hidden, SteerSettings(operator=operator))
    assert outcome.gate is not None
    space = aligned().spaces["cross_attn"]
    alike = "project" if operator == "clip" else operator
    expected = steer(hidden, space, aligned().categories, {"global": 1.0}, alike, outcome.gate.opening)
    assert torch.equal(both.hidden["cross_attn"].states, expected.states)


@pytest.mark.parametrize("operator", ["clip", "erase"])
def test_all_hidden_rows_on_the_unsafe_side_are_brought_back_behind_a_flagged_prompt(operator: str) -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    space = aligned().spaces["cross_attn"]
    middle = space.unsafe_reading(hidden, [0])[..., 0] > 0
    _, both = steered(words, hidden, SteerSettings(operator=operator))
    flagged = both.gate.flagged if both.gate else torch.zeros(len(words), dtype=torch.bool)
    assert bool(flagged.any())
    wanted = middle & token_mask(hidden) & flagged[:, None]
    assert bool(both.hidden["cross_attn"].flagged[wanted].all())


def test_a_hidden_row_as_unsafe_as_an_erased_word_gives_way_to_the_words_that_stay() -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    _, both = steered(words, hidden, SteerSettings())
    done, rows = both.spaces["cross_attn"], both.hidden["cross_attn"]
    assert done.erased is not None
    assert rows.erased is not None
    assert bool(rows.erased.any())
    kept = token_mask(words) & ~done.erased
    for prompt, row in rows.erased.nonzero().tolist():
        assert torch.allclose(rows.states[prompt, row], done.states[prompt][kept[prompt]].mean(0), atol=1e-4)


@pytest.mark.parametrize("gate", ["hard", "soft"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_rows_behind_a_harmless_prompt_stay_whatever_they_say(operator: str, gate: str) -> None:
    words, _ = with_hidden(builders.benign_batch(6)[:, :4])
    _, hidden = with_hidden(builders.unsafe_batch(6)[:, :4])
    outcome, both = steered(words, hidden, SteerSettings(operator=operator, gate=gate))
    assert both is outcome


@pytest.mark.parametrize("operator", ["clip", "erase"])
def test_without_a_gate_words_alone_say_which_prompts_are_steered(operator: str) -> None:
    words, _ = with_hidden(builders.benign_batch(6)[:, :4])
    _, hidden = with_hidden(builders.unsafe_batch(6)[:, :4])
    outcome, both = steered(words, hidden, SteerSettings(operator=operator, gate="off"))
    assert both is outcome


def test_only_rows_behind_flagged_prompts_of_a_batch_move() -> None:
    words, hidden = with_hidden(torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]]))
    _, both = steered(words, hidden, SteerSettings(operator="add"))
    moved = (both.hidden["cross_attn"].states != hidden).any(-1)
    assert moved[:, -BEHIND:-1].all(-1).tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize("operator", OPERATORS)
def test_strength_zero_and_nothing_hidden_change_nothing(operator: str) -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    outcome, both = steered(words, hidden, SteerSettings(strength=0.0, operator=operator))
    assert both is outcome
    outcome, both = steered(words, torch.zeros_like(hidden), SteerSettings(operator=operator))
    assert both is outcome


@pytest.mark.parametrize("gate", ["off", "hard"])
def test_rows_behind_no_words_at_all_stay(gate: str) -> None:
    words, hidden = with_hidden(builders.unsafe_batch())
    outcome, both = steered(torch.zeros_like(words), hidden, SteerSettings(operator="add", gate=gate))
    assert both is outcome


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_dtype_stays(dtype: torch.dtype) -> None:
    words, hidden = with_hidden(builders.unsafe_batch().to(dtype))
    _, both = steered(words, hidden, SteerSettings())
    assert both.hidden["cross_attn"].states.dtype == dtype


def test_rows_behind_a_picture_are_read_as_its_words_are_and_moved_by_as_much() -> None:
    """Words behind a picture are shifted; so is padding, which stays with them where the picture could not be told apart."""
    words, hidden = with_hidden(builders.unsafe_batch(2))
    settings = SteerSettings(operator="add")
    shift = torch.full((2, 1, words.shape[-1]), 0.5)
    unsure = torch.tensor([False, True])
    rows = torch.zeros(words.shape[:2], dtype=torch.bool)
    images = LeftAlone(words, torch.where(unsure[:, None], token_mask(words), rows), unsure, shift * ~unsure[:, None, None])
    plain = steer_conditioning({"cross_attn": images.read}, aligned(), settings)
    seen = hidden + shift * token_mask(hidden)[..., None]
    both = steer_hidden(replace(plain, images={"cross_attn": images}), {"cross_attn": seen}, aligned(), settings)
    straight = steer_hidden(plain, {"cross_attn": hidden}, aligned(), settings)
    after = both.hidden["cross_attn"].states
    assert torch.allclose((after - seen)[0], (straight.hidden["cross_attn"].states - hidden)[0], atol=1e-4)
    assert not torch.equal(after[0], seen[0])
    assert torch.equal(after[1], seen[1])


def test_what_moved_behind_the_mask_is_said() -> None:
    words, hidden = with_hidden(builders.unsafe_batch(1))
    outcome, both = steered(words, hidden, SteerSettings(operator="add"))
    said = f"  cross_attn: {BEHIND - 1} more behind its mask moved too, as some models read them"
    assert said in summary(both, aligned()).splitlines()
    assert said not in summary(outcome, aligned()).splitlines()
