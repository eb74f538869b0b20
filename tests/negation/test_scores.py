"""Scores of weights against the paper's formulas, written out one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safety_steer.errors import DataError
from safety_steer.negation.scores import InputStats, chosen, input_stats, layer_scores, together


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(seed: int, count: int = 5, width: int = 7) -> list[torch.Tensor]:
    return [torch.randn(3 + number, width, generator=generator(seed + number)) for number in range(count)]


def stats(inputs: list[torch.Tensor]) -> InputStats:
    return together([input_stats(one) for one in inputs])


def by_the_paper(weight: torch.Tensor, safe: list[torch.Tensor], unsafe: list[torch.Tensor], weighted: bool) -> torch.Tensor:
    """Eq. 8 to 10, one number at a time, in double precision."""
    rows, columns = weight.shape
    total = torch.zeros(rows, columns, dtype=torch.float64)
    for pair in zip(safe, unsafe, strict=True):
        scores = []
        for inputs in pair:
            norms, spreads = inputs.double().norm(dim=0), inputs.double().std(0)
            phi = torch.zeros(rows, columns, dtype=torch.float64)
            for i in range(rows):
                for j in range(columns):
                    over_row = sum(norms[k] * weight[i, k].abs() for k in range(columns)) / columns
                    over_column = sum(norms[j] * weight[o, j].abs() for o in range(rows)) / rows
                    phi[i, j] = over_row * over_column / spreads[j]
            scores.append(phi)
        total += scores[1] / scores[0]
    mean = total / len(safe)
    return mean * weight.double().abs() if weighted else mean


@pytest.mark.parametrize("weighted", [True, False])
def test_scores_are_those_of_the_paper(weighted: bool) -> None:
    weight = torch.randn(4, 7, generator=generator(9))
    safe, unsafe = samples(1), [2 * one + 0.3 for one in samples(50)]
    found = layer_scores(weight, stats(safe), stats(unsafe), weighted)
    assert torch.allclose(found.double(), by_the_paper(weight, safe, unsafe, weighted), rtol=1e-4)


def test_an_input_that_unsafe_samples_use_throughout_is_chosen() -> None:
    safe, unsafe = samples(1), samples(1)
    for one in unsafe:
        one[:, 3] += 50
    scores = layer_scores(torch.ones(4, 7), stats(safe), stats(unsafe), by_weight=False)
    assert set((chosen(scores, 0.3) % 7).tolist()) == {3}


def test_a_pair_of_the_same_sample_scores_every_weight_alike() -> None:
    scores = layer_scores(torch.randn(4, 7, generator=generator(2)), stats(samples(1)), stats(samples(1)), by_weight=False)
    assert torch.allclose(scores, torch.ones(4, 7), atol=1e-5)


def test_inputs_that_are_always_zero_are_no_reason_to_divide_by_nothing() -> None:
    safe, unsafe = samples(1), samples(20)
    for one in (*safe, *unsafe):
        one[:, 2] = 0
    assert torch.isfinite(layer_scores(torch.ones(4, 7), stats(safe), stats(unsafe), by_weight=True)).all()
    zeros = [torch.zeros(4, 7)] * 3
    assert torch.equal(layer_scores(torch.ones(4, 7), stats(zeros), stats(zeros), by_weight=False), torch.ones(4, 7))


def test_a_single_token_has_no_spread_and_counts_as_1() -> None:
    found = input_stats(torch.tensor([[3.0, -4.0]]))
    assert found.norms.tolist() == [[3.0, 4.0]]
    assert found.spreads.tolist() == [[1.0, 1.0]]


def test_norm_and_spread_over_tokens_by_hand() -> None:
    found = input_stats(torch.tensor([[3.0], [4.0]]))
    assert found.norms.tolist() == [[5.0]]
    assert found.spreads[0, 0] == pytest.approx(0.5**0.5)


def test_weights_beyond_the_mass_are_chosen_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 40.0, 50.0]])  # running sum 1, 3, 6, 10, 50, 100
    assert chosen(scores, 0.4).tolist() == [5]
    assert chosen(scores, 0.5).tolist() == [5]
    assert chosen(scores, 0.51).tolist() == [4, 5]
    assert chosen(scores, 0.92).tolist() == [3, 4, 5]
    assert chosen(scores, 0.0).tolist() == []


@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.02, 0.1, 0.5, 0.9]))
def test_what_is_chosen_is_what_sorting_and_summing_gives(seed: int, tau: float) -> None:
    scores = torch.rand(8, 16, generator=generator(seed)) ** 4
    order = scores.flatten().double().argsort()
    running = scores.flatten().double()[order].cumsum(0) / scores.double().sum()
    assert chosen(scores, tau).tolist() == sorted(order[running > 1 - tau + 1e-12].tolist())


@pytest.mark.parametrize("tau", [-0.1, 1.0, float("nan")])
def test_an_unusable_tau_is_refused(tau: float) -> None:
    with pytest.raises(DataError, match="Expected tau"):
        chosen(torch.ones(2, 2), tau)


@pytest.mark.parametrize("scores", [torch.zeros(2, 2), torch.tensor([[1.0, float("inf")]]), torch.tensor([[1.0, -0.5]])])
def test_unusable_scores_are_refused(scores: torch.Tensor) -> None:
    with pytest.raises(DataError, match="not usable"):
        chosen(scores, 0.1)


def test_one_sided_samples_are_refused() -> None:
    with pytest.raises(DataError, match="both sides"):
        layer_scores(torch.ones(4, 7), stats(samples(1)), stats(samples(1, 4)), by_weight=True)
    with pytest.raises(DataError, match="of 6 inputs"):
        layer_scores(torch.ones(4, 6), stats(samples(1)), stats(samples(1)), by_weight=True)
