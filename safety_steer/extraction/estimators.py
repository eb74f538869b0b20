"""Paired activations to one direction: mean difference, PCA, shrinkage LDA and logistic.

Every estimator gives a *vector* (what steering adds, safe minus unsafe) and a *reading* (the linear filter that tells
safe from unsafe). The two differ: the vector of a discriminative reading w is its pattern, covariance @ w
(Haufe et al. 2014, "On the interpretation of weight vectors of linear models"). All inputs are standardised
activations, float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..errors import DataError
from .usable_states import all_alike

SHRINKAGE = 0.1  # by hand
LOGISTIC_L2 = 1e-2  # by hand


@dataclass(frozen=True)
class Estimate:
    """A steering vector (d,) and a reading (d,), both pointing to safe."""

    vector: Tensor
    reading: Tensor


def mean_difference(safe: Tensor, unsafe: Tensor) -> Estimate:
    """Compute the mean of safe - unsafe over pairs (N, d), read along itself (arXiv 2606.05290 eq. 1-2)."""
    vector = (safe - unsafe).mean(0)
    return Estimate(vector, vector)


def principal_difference(safe: Tensor, unsafe: Tensor) -> Estimate:
    """Compute the first principal axis of the differences (N, d), with the length of the mean along it."""
    differences = safe - unsafe
    axis = torch.linalg.svd(differences, full_matrices=False).Vh[0]
    along = differences.mean(0) @ axis
    return Estimate(along * axis, along.sign() * axis)


def shrinkage_lda(safe: Tensor, unsafe: Tensor) -> Estimate:
    """Compute the mean difference, read through the inverse of the shrunk within-class covariance.

    Raises DataError where the rows of neither side differ, as those of one pair: there is no covariance then.
    """
    if all_alike(safe) and all_alike(unsafe):
        raise DataError(
            f"Expected pairs whose states differ from each other, but got {len(safe)} with the same ones: lda needs to know "
            "how they scatter. Add pairs, or choose the estimator mean."
        )
    vector = (safe - unsafe).mean(0)
    return Estimate(vector, solve_shrunk(within_class(safe, unsafe), vector))


def logistic(safe: Tensor, unsafe: Tensor) -> Estimate:
    """Compute an L2-penalised logistic reading and its pattern, scaled to the reading's gain on the mean difference."""
    weights, _ = logistic_probe(unsafe, safe)
    pooled = torch.cat([safe, unsafe])
    pooled = pooled - pooled.mean(0)
    pattern = -(pooled.T @ (pooled @ weights)) / len(pooled)
    gain = (safe - unsafe).mean(0) @ -weights
    return Estimate(pattern * (gain / (pattern @ -weights)), -weights)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Estimate]] = {
    "mean": mean_difference,
    "pca": principal_difference,
    "lda": shrinkage_lda,
    "logistic": logistic,
}


def within_class(safe: Tensor, unsafe: Tensor) -> Tensor:
    """Return class-centred rows (2N, d) whose Gram matrix over the features is the within-class covariance."""
    rows = torch.cat([safe - safe.mean(0), unsafe - unsafe.mean(0)])
    return rows / math.sqrt(len(rows))


def solve_shrunk(
    factor: Tensor, right: Tensor, shrinkage: float = SHRINKAGE, over_rows: bool = False, channels: int | None = None
) -> Tensor:
    """Solve ((1 - s) F^T F + s m I) x = right for F (r, d) and right (..., d), m the mean of F^T F's diagonal.

    Works in whichever of r and d is smaller (Woodbury); with `over_rows` always in r, so that no (d, d) matrix is formed.
    Where the d columns are axes in a space of more `channels`, m is the mean over those, and x the same as there.
    Raises DataError for numbers that are not finite, and where there is no one solution, as for a factor of zeros.
    """
    if not bool(torch.isfinite(factor).all() and torch.isfinite(right).all()):
        raise DataError("Expected finite states, but got NaN or Inf. Load the encoder in another precision.")
    try:
        return _solved(factor, right, shrinkage, over_rows, channels)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise DataError(
            "Expected states that differ from prompt to prompt, but these do not, or not enough to tell what is usual. Use "
            "more prompts, or another encoder."
        ) from error


def _solved(factor: Tensor, right: Tensor, shrinkage: float, over_rows: bool, channels: int | None) -> Tensor:
    rank, width = factor.shape
    level = shrinkage * factor.square().sum() / (channels or width)
    scaled = factor * (1 - shrinkage) ** 0.5
    columns = right.reshape(-1, width).T
    if width <= rank and not over_rows:
        matrix = scaled.T @ scaled
        matrix.diagonal().add_(level)
        solved = torch.linalg.solve(matrix, columns)
    else:
        inner = scaled @ scaled.T
        inner.diagonal().add_(level)
        solved = (columns - scaled.T @ torch.cholesky_solve(scaled @ columns, torch.linalg.cholesky(inner))) / level
    answer: Tensor = solved.T.reshape(right.shape)
    return answer


def logistic_probe(positive: Tensor, negative: Tensor, penalty: float = LOGISTIC_L2) -> tuple[Tensor, Tensor]:
    """Fit a class-balanced L2-penalised logistic classifier of (N, d) against (M, d): weights (d,) and bias ().

    L-BFGS with strong Wolfe steps from zero, so the result is the same on every machine up to rounding.
    """
    rows = torch.cat([positive, negative])
    centre = rows.mean(0)
    rows = rows - centre
    signs = torch.cat([torch.ones(len(positive)), -torch.ones(len(negative))]).to(rows)
    balance = torch.where(signs > 0, 0.5 / len(positive), 0.5 / len(negative))
    with torch.inference_mode(False), torch.enable_grad():
        rows, balance, signs = rows.clone(), balance.clone(), signs.clone()
        weights = torch.zeros(rows.shape[1], dtype=rows.dtype, requires_grad=True)
        bias = torch.zeros((), dtype=rows.dtype, requires_grad=True)
        optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, tolerance_change=1e-10, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = (balance * softplus(-signs * (rows @ weights + bias))).sum() + penalty / 2 * weights.square().sum()
            value.backward()
            return value

        optimiser.step(loss)
    weights, bias = weights.detach(), bias.detach()
    if not bool(torch.isfinite(weights).all()):
        raise DataError("The probe did not converge. Give more pairs, or check that the two sides differ.")
    return weights, bias - centre @ weights
