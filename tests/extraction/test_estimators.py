"""Estimators against closed forms, each written out in numpy or by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from safety_steer.errors import DataError
from safety_steer.extraction.estimators import ESTIMATORS, logistic_probe, principal_difference, solve_shrunk, within_class


def planted(count: int = 200, width: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Safe and unsafe rows around a shift along a known axis, with unequal noise per channel."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.nn.functional.normalize(torch.randn(width, dtype=torch.float64, generator=generator), dim=0)
    noise = torch.linspace(0.2, 1.5, width, dtype=torch.float64)
    safe = torch.randn(count, width, dtype=torch.float64, generator=generator) * noise
    unsafe = torch.randn(count, width, dtype=torch.float64, generator=generator) * noise - 3 * axis
    return safe, unsafe, axis


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.parametrize("seed", range(4))
def test_vectors_and_readings_point_to_safe(name: str, seed: int) -> None:
    safe, unsafe, axis = planted(seed=seed)
    estimate = ESTIMATORS[name](safe, unsafe)
    assert cosine(estimate.vector, axis) > 0.9
    assert float((safe @ estimate.reading).mean() - (unsafe @ estimate.reading).mean()) > 0


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_swapping_the_sides_turns_everything_around(name: str) -> None:
    safe, unsafe, _ = planted()
    there, back = ESTIMATORS[name](safe, unsafe), ESTIMATORS[name](unsafe, safe)
    assert torch.allclose(there.vector, -back.vector, atol=1e-4)
    assert torch.allclose(there.reading, -back.reading, atol=1e-4)


def test_mean_difference_is_the_mean_of_the_differences() -> None:
    safe, unsafe, _ = planted(count=7)
    expected = np.stack([one - other for one, other in zip(safe.numpy(), unsafe.numpy(), strict=True)]).sum(0) / 7
    estimate = ESTIMATORS["mean"](safe, unsafe)
    assert np.allclose(estimate.vector.numpy(), expected)
    assert torch.equal(estimate.vector, estimate.reading)


def test_pca_is_the_top_eigenvector_of_the_difference_moments() -> None:
    safe, unsafe, _ = planted()
    differences = (safe - unsafe).numpy()
    _, vectors = np.linalg.eigh(differences.T @ differences)
    top = vectors[:, -1] * np.sign(differences.mean(0) @ vectors[:, -1])
    estimate = principal_difference(safe, unsafe)
    assert np.allclose(estimate.reading.numpy(), top)
    assert np.allclose(estimate.vector.numpy(), (differences.mean(0) @ top) * top)


def test_lda_reads_through_the_inverse_within_class_covariance() -> None:
    safe, unsafe, _ = planted()
    a, b = safe.numpy(), unsafe.numpy()
    covariance = (np.cov(a.T, bias=True) + np.cov(b.T, bias=True)) / 2
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 6 * np.eye(6)
    expected = np.linalg.inv(shrunk) @ (a - b).mean(0)
    assert np.allclose(ESTIMATORS["lda"](safe, unsafe).reading.numpy(), expected)


def test_within_class_rows_have_the_pooled_covariance() -> None:
    safe, unsafe, _ = planted(count=50)
    rows = within_class(safe, unsafe).numpy()
    expected = (np.cov(safe.numpy().T, bias=True) + np.cov(unsafe.numpy().T, bias=True)) / 2
    assert np.allclose(rows.T @ rows, expected)


@pytest.mark.parametrize(("rank", "width"), [(3, 9), (9, 9), (40, 9)])
@pytest.mark.parametrize("over_rows", [False, True])
def test_solve_shrunk_is_the_dense_inverse_on_either_side(rank: int, width: int, over_rows: bool) -> None:
    generator = torch.Generator().manual_seed(rank)
    factor = torch.randn(rank, width, dtype=torch.float64, generator=generator)
    right = torch.randn(2, 3, width, dtype=torch.float64, generator=generator)
    gram = factor.numpy().T @ factor.numpy()
    dense = np.linalg.inv(0.7 * gram + 0.3 * np.trace(gram) / width * np.eye(width))
    solved = solve_shrunk(factor, right, shrinkage=0.3, over_rows=over_rows)
    assert np.allclose(solved.numpy(), right.numpy() @ dense)


def test_logistic_recovers_a_separable_direction() -> None:
    generator = torch.Generator().manual_seed(2)
    axis = torch.tensor([3.0, -2.0, 0.0, 1.0], dtype=torch.float64)
    rows = torch.randn(400, 4, dtype=torch.float64, generator=generator)
    weights, bias = logistic_probe(rows[rows @ axis > 0.5] + 1, rows[rows @ axis < -0.5] + 1)
    assert cosine(weights, axis) > 0.98
    logits = (rows + 1) @ weights + bias
    assert bool((logits[rows @ axis > 0.5] > 0).all())
    assert bool((logits[rows @ axis < -0.5] < 0).all())


def test_logistic_stops_where_the_penalised_gradient_is_zero() -> None:
    safe, unsafe, _ = planted(count=60)
    weights, bias = logistic_probe(unsafe[:20], safe, penalty=0.05)
    rows = np.concatenate([unsafe[:20].numpy(), safe.numpy()])
    signs = np.concatenate([np.ones(20), -np.ones(60)])
    balance = np.where(signs > 0, 0.5 / 20, 0.5 / 60)
    slope = -balance * signs / (1 + np.exp(signs * (rows @ weights.numpy() + float(bias))))
    assert np.allclose(slope @ (rows - rows.mean(0)) + 0.05 * weights.numpy(), 0, atol=1e-5)
    assert abs(slope.sum()) < 1e-5


def test_the_logistic_vector_gains_as_much_along_its_reading_as_the_mean_difference() -> None:
    safe, unsafe, _ = planted()
    estimate = ESTIMATORS["logistic"](safe, unsafe)
    assert float(estimate.vector @ estimate.reading) == pytest.approx(float((safe - unsafe).mean(0) @ estimate.reading))


def test_the_probe_works_inside_inference_mode() -> None:
    safe, unsafe, _ = planted(count=30)
    outside = logistic_probe(unsafe, safe)
    with torch.inference_mode():
        inside = logistic_probe(unsafe.clone(), safe.clone())
    assert torch.allclose(outside[0], inside[0])


def test_a_probe_of_numbers_that_are_not_finite_says_so() -> None:
    safe, unsafe, _ = planted(count=10)
    with pytest.raises(DataError, match="did not converge"):
        logistic_probe(unsafe * float("nan"), safe)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("over_rows", [False, True])
def test_solving_with_numbers_that_are_not_finite_says_so(value: float, over_rows: bool) -> None:
    fine, broken = torch.ones(4, 3, dtype=torch.float64), torch.full((4, 3), value, dtype=torch.float64)
    for factor, right in ((broken, fine), (fine, broken)):
        with pytest.raises(DataError, match="finite states, but got NaN or Inf"):
            solve_shrunk(factor, right, over_rows=over_rows)


@pytest.mark.parametrize(("rank", "width"), [(3, 9), (9, 3)])
@pytest.mark.parametrize("over_rows", [False, True])
def test_solving_where_nothing_varies_says_so(rank: int, width: int, over_rows: bool) -> None:
    with pytest.raises(DataError, match="differ from prompt to prompt"):
        solve_shrunk(torch.zeros(rank, width), torch.ones(2, width), over_rows=over_rows)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("value", [0.1, 0.3, 7.0])
def test_lda_of_pairs_that_are_all_the_same_says_so(count: int, value: float) -> None:
    safe = torch.full((count, 6), value, dtype=torch.float64)
    with pytest.raises(DataError, match=f"got {count} with the same ones.*estimator mean"):
        ESTIMATORS["lda"](safe, safe - 1)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"lda"}))
def test_the_other_estimators_do_with_one_pair(name: str) -> None:
    safe, unsafe, _ = planted(count=1)
    estimate = ESTIMATORS[name](safe, unsafe)
    assert cosine(estimate.vector, (safe - unsafe)[0]) > 0.9
