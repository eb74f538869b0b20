"""Metrics against their definitions, counted one pair of scores at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safety_steer.errors import DataError
from safety_steer.statistics import (
    auroc,
    mean_pairwise_cosine,
    pair_accuracy,
    principal_axes,
    prompt_interval,
    score_pairs,
    wilson_interval,
)

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


@given(positive=SCORES, negative=SCORES)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_auroc_counts_wins_and_half_the_ties(positive: list[float], negative: list[float]) -> None:
    wins = sum((one > other) + (one == other) / 2 for one in positive for other in negative)
    expected = wins / (len(positive) * len(negative))
    assert auroc(torch.tensor(positive), torch.tensor(negative)) == pytest.approx(expected)


def test_pair_accuracy_counts_pairs_in_the_right_order() -> None:
    assert pair_accuracy(torch.tensor([2.0, 1.0, 0.0, 5.0]), torch.tensor([1.0, 1.0, 3.0, 4.0])) == 0.5


def test_safety_awareness_is_the_mean_cosine_over_pairs_of_differences() -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).double() + 0.5
    cosines = [float(torch.nn.functional.cosine_similarity(rows[i], rows[j], dim=0)) for i in range(7) for j in range(i)]
    assert mean_pairwise_cosine(rows) == pytest.approx(sum(cosines) / len(cosines))
    assert mean_pairwise_cosine(torch.ones(4, 3)) == pytest.approx(1)


def test_pairs_are_scored_by_category_and_by_gate() -> None:
    safe = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 3.0], [0.0, 2.0, 0.0]])
    unsafe = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    score = score_pairs(
        safe,
        unsafe,
        ("global", "blades", "fires", "storms"),
        ("blades", "fires", "blades"),
        torch.tensor([-1.0, 0.5, -2.0]),
        torch.tensor([1.0, 0.7, -1.5]),
        0.6,
    )
    assert score.pair_accuracy == pytest.approx(2 / 3)
    assert score.auroc == pytest.approx((1 + 0.5 + 0 + 2 + 1 - 1.5 + 0.5 - 0.5 + 0.5) / 9, abs=0.2)
    assert score.per_category == {"blades": 0.5, "fires": 1.0}
    assert score.document()["gate"] == {
        "auroc": pytest.approx(7 / 9),
        "tpr": pytest.approx(2 / 3),
        "fpr": 0.0,
        "threshold": 0.6,
    }
    assert score.pairs == 3


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(16, 16, 0.8064, 1.0), (0, 20, 0.0, 0.1611), (81, 263, 0.2553, 0.3662)]
)
def test_wilsons_interval_is_that_of_newcombes_examples(hits: int, count: int, low: float, high: float) -> None:
    """81 of 263 and 0 of 20 are cases of Newcombe 1998, Statistics in Medicine 17, table I."""
    assert wilson_interval(hits, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(hits=st.integers(0, 60), misses=st.integers(0, 60))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_wilsons_interval_is_where_the_score_test_turns(hits: int, misses: int) -> None:
    count = hits + misses
    for end in wilson_interval(hits, count):
        if 0 < end < 1:
            assert abs(hits / count - end) / (end * (1 - end) / count) ** 0.5 == pytest.approx(1.959964, abs=1e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert prompt_interval(torch.zeros(0)) == (0.0, 1.0)


def test_one_picture_a_prompt_is_one_observation() -> None:
    assert prompt_interval((torch.arange(20) < 6).double()) == wilson_interval(6, 20)
    assert prompt_interval(torch.ones(16)) == wilson_interval(16, 16)


def test_several_pictures_of_a_prompt_count_once() -> None:
    shares = torch.tensor([0.0, 0.25, 0.5, 1.0] * 10)
    low, high = prompt_interval(shares)
    assert low < float(shares.mean()) < high
    assert high - low == pytest.approx(2 * 1.96 * float(shares.std(correction=0)) / len(shares) ** 0.5, rel=0.1)
    assert prompt_interval(shares) == (low, high)


def test_no_interval_has_zero_width() -> None:
    for shares in ([0.0] * 5, [1.0] * 5, [0.5] * 5, [0.5], [1 / 3] * 4):
        low, high = prompt_interval(torch.tensor(shares, dtype=torch.float64))
        assert high - low > 0.3
    assert prompt_interval(torch.tensor([0.5])) == (wilson_interval(0, 1)[0], wilson_interval(1, 1)[1])


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety_steer.statistics.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"safety-steer\[evaluate\]"):
        wilson_interval(1, 2)


def test_principal_axes_are_the_leading_right_singular_vectors() -> None:
    rows = torch.randn(50, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.linspace(
        4, 0.1, 12, dtype=torch.float64
    )
    axes = principal_axes(rows, 3).numpy()
    expected = np.linalg.svd(rows.numpy())[2][:3].T
    assert np.allclose(np.abs((axes * expected).sum(0)), 1, atol=1e-6)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)
