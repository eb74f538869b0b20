"""The gate: log-odds against a written-out softmax, thresholds as benign quantiles, openings."""

from __future__ import annotations

import math

import pytest
import torch
from support import builders

from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.pooling import phrase_peaks, pool, token_peaks
from safety_steer.directions.quantiles import LEVELS, at_quantile
from safety_steer.errors import DataError
from safety_steer.steering.gate import gate_threshold, joined_evidence, log_odds, open_gate


def planted() -> AlignedSpace:
    return builders.planted_aligned().spaces["cross_attn"]


def test_scores_are_log_odds_of_each_unsafe_class_against_safe_and_benign() -> None:
    space, pooled = planted(), pool(builders.unsafe_batch(5))
    for row, scores in zip(pooled.double(), log_odds(space.gate.gate_weights, space.gate.gate_biases, pooled), strict=True):
        density = [
            float(row @ weights + bias)
            for weights, bias in zip(space.gate.gate_weights.double(), space.gate.gate_biases.double(), strict=True)
        ]
        top = max(density[2:])
        rest = top + math.log(sum(math.exp(value - top) for value in density[2:]))
        for category in range(2):
            assert float(scores[category]) == pytest.approx(density[category] - rest, abs=1e-2)


def test_unsafe_prompts_score_above_benign_ones() -> None:
    unsafe = open_gate(builders.unsafe_batch(40), planted())
    benign = open_gate(builders.benign_batch(40), planted())
    assert float(unsafe.scores.min()) > float(benign.scores.max())
    assert bool(unsafe.flagged.all())
    assert not bool(benign.flagged.any())


def anchor_scores() -> torch.Tensor:
    return torch.cat([open_gate(rows[None].float(), planted()).scores for rows in builders.planted_states().tokens])


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.25])
def test_the_stated_share_of_benign_anchors_opens_the_gate(rate: float) -> None:
    share = float((anchor_scores() > gate_threshold(planted(), rate)).double().mean())
    assert share == pytest.approx(rate, abs=0.005)


def test_at_rate_zero_no_benign_anchor_opens_the_gate() -> None:
    assert not bool((anchor_scores() > gate_threshold(planted(), 0.0) + 1e-2).any())


def test_a_single_unsafe_token_opens_the_gate_of_a_long_harmless_prompt() -> None:
    space = planted()
    states = builders.benign_batch(1).repeat(1, 4, 1)
    assert not bool(open_gate(states, space).flagged.any())
    states[0, 5] -= 6 * space.vectors[0]
    decision = open_gate(states, space)
    assert float(decision.by_category.logsumexp(-1)) < float(space.gate.gate_quantiles[0, -1])
    assert bool(decision.flagged.all())


def test_padding_is_no_token() -> None:
    space, states = planted(), builders.unsafe_batch(3)
    padded = torch.cat([states, torch.zeros(3, 9, states.shape[-1])], 1)
    assert torch.allclose(open_gate(padded, space).scores, open_gate(states, space).scores, atol=1e-4)
    assert not bool(open_gate(torch.zeros_like(states), space).flagged.any())


def test_evidence_counts_e_folds_of_the_benign_tail() -> None:
    """Beyond the 90 % quantile an exponential tail loses a factor e per e-fold, so 99 % is ln 10 of them away."""
    tails, weights = torch.tensor(LEVELS).expand(3, -1), torch.tensor([1.0, 0.25, 0.25])
    heard = torch.tensor([[0.9, 0.9, 0.9], [0.99, 0.9, 0.9], [0.9, 0.99, 0.9], [0.9, 0.99, 0.99]])
    assert torch.allclose(joined_evidence(tails, weights, heard), torch.tensor([0.0, 1.0, 0.25, 0.5]) * math.log(10), atol=1e-4)


def test_an_unsafe_phrase_is_heard_where_no_single_token_stands_out() -> None:
    mask = torch.ones(2, 12, dtype=torch.bool)
    scattered, together = torch.zeros(12, 1), torch.zeros(12, 1)
    scattered[[0, 4, 8]] = 2.0
    together[4:8] = 2.0
    unsafe = torch.stack([scattered, together])
    assert token_peaks(unsafe, mask).flatten().tolist() == [2.0, 2.0]
    assert phrase_peaks(unsafe, mask).flatten().tolist() == [0.5, 2.0]


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_phrases_do_not_see_padding_wherever_it_is(count: int) -> None:
    unsafe = torch.randn(1, count, 3)
    spread = torch.full((1, 2 * count, 3), 50.0)
    spread[:, 1::2] = unsafe
    mask = torch.zeros(1, 2 * count, dtype=torch.bool)
    mask[:, 1::2] = True
    whole = torch.ones(1, count, dtype=torch.bool)
    assert torch.equal(phrase_peaks(spread, mask), phrase_peaks(unsafe, whole))
    phrases = [unsafe[0, at : at + 4].mean(0) for at in range(max(count - 3, 1))]
    assert torch.allclose(phrase_peaks(unsafe, whole)[0], torch.stack(phrases).amax(0))


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_unseen_benign_prompts_open_the_gate_about_as_often_as_stated(rate: float) -> None:
    world = builders.world()
    states = builders.batch(world.target(world.benign(2000, seed=21), seed=21))
    share = float(open_gate(states, planted(), rate=rate).flagged.double().mean())
    assert share <= 2.5 * rate + 0.005


def test_a_higher_rate_lowers_the_threshold() -> None:
    thresholds = [gate_threshold(planted(), rate) for rate in (0.0, 0.005, 0.01, 0.1, 0.5, 0.99)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]


@pytest.mark.parametrize("rate", [-0.01, 0.995, 1.0, math.nan, math.inf])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(DataError, match="false-positive rate"):
        gate_threshold(planted(), rate)


def test_hard_opens_fully_or_not_at_all_and_off_is_always_open() -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]])
    assert open_gate(states, planted(), "hard").opening.tolist() == [1, 1, 1, 0, 0, 0]
    assert open_gate(states, planted(), "off").opening.tolist() == [1] * 6


def test_soft_opens_in_proportion_beyond_the_threshold() -> None:
    states, space = builders.unsafe_batch(1), planted()
    whole = open_gate(states, space, "soft", rate=0.0)
    middle = float(at_quantile(space.gate.gate_quantiles[-1], 0.5))
    openings = []
    for share in torch.linspace(0, 1, 41):
        decision = open_gate(share * states + (1 - share) * builders.benign_batch(1)[:, : states.shape[1]], space, "soft", 0.0)
        expected = (float(decision.scores) - whole.threshold) / ((whole.threshold - middle) / 2)
        assert float(decision.opening) == pytest.approx(min(max(expected, 0.0), 1.0), abs=1e-4)
        openings.append(float(decision.opening))
    assert openings[0] == 0
    assert openings[-1] == 1
    assert any(0 < opening < 1 for opening in openings)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(DataError, match="Expected gate"):
        open_gate(builders.unsafe_batch(1), planted(), "ajar")


def test_a_gate_of_one_prompt_does_not_depend_on_its_neighbours() -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]])
    together = open_gate(states, planted(), "soft")
    for row in range(6):
        alone = open_gate(states[row : row + 1], planted(), "soft")
        assert torch.allclose(alone.scores[0], together.scores[row], atol=1e-3)
