"""Metrics against their definitions, counted one pair of scores at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safety_steer.statistics import auroc, mean_pairwise_cosine, pair_accuracy, score_pairs

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
