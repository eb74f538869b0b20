"""How single tokens are read: a discriminant in the benign tokens' own covariance, in units of benign deviations.

The operators move tokens by these readings, and the gate's second witness is the highest of them in a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .aligned import LEVELS
from .estimators import solve_shrunk

CHUNK = 64
SKETCH_ROWS = 2048
EXACT_WIDTH = 1024


@dataclass(frozen=True, eq=False)
class CalibratedReadings:
    """Token readings in benign deviations: `readings` (K, D), `offsets` (K,), and u of benign `tokens` (M, K), with the
    `peaks` (N, K), the highest u in each prompt.
    """

    readings: Tensor
    offsets: Tensor
    tokens: Tensor
    peaks: Tensor


def calibrate_readings(weights: Tensor, tokens: Sequence[Tensor]) -> CalibratedReadings:
    """Scale readings (K, D) to benign token deviations with median 0, and read all benign tokens with them."""
    lengths = [len(rows) for rows in tokens]
    columns = weights.float().T
    along = torch.cat([rows @ columns for rows in _grouped(tokens)]).double()
    spread = along.std(0).clamp(min=1e-12)
    offsets = along.median(0).values / spread
    unsafe = offsets - along / spread
    peaks = torch.stack([part.amax(0) if len(part) else unsafe.amin(0) for part in unsafe.split(lengths)])
    return CalibratedReadings(weights / spread[:, None], offsets, unsafe, peaks)


def token_discriminant(vectors: Tensor, tokens: Sequence[Tensor], scale: Tensor, shrinkage: float) -> Tensor:
    """Read vectors (K, d) with the benign tokens' covariance C: (C + shrinkage)^-1 v, both in channels over `scale`.

    In spaces wider than 1,024 the covariance comes from 2,048 random signed sums of all tokens (a count sketch, so that
    rare outlier tokens are in it too), and no (d, d) matrix is formed.
    """
    width, scale = vectors.shape[1], scale.float()
    mean = sum((rows.sum(0) for rows in _grouped(tokens)), torch.zeros(width)) / sum(map(len, tokens))
    wide = width > EXACT_WIDTH
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(SKETCH_ROWS if wide else width, width)
    for rows in _grouped(tokens):
        rows = (rows - mean) / scale
        if wide:
            bucket = torch.randint(SKETCH_ROWS, (len(rows),), generator=generator)
            sign = torch.randint(2, (len(rows), 1), generator=generator).float() * 2 - 1
            total.index_add_(0, bucket, rows * sign)
        else:
            total.addmm_(rows.T, rows)
    if not wide:
        total.diagonal().add_(1e-6 * total.diagonal().mean())
        total = torch.linalg.cholesky(total).T
    return solve_shrunk(total, vectors.float(), shrinkage, over_rows=wide).double()


def _grouped(tokens: Sequence[Tensor]) -> Iterator[Tensor]:
    """Join token states of some prompts at a time as float32, so that all of them never exist twice."""
    for start in range(0, len(tokens), CHUNK):
        yield torch.cat(list(tokens[start : start + CHUNK])).float()


def quantiles(values: Tensor) -> Tensor:
    """Return quantiles at LEVELS over the first axis of (N, K): (K, Q) float32. Sorts, as N may be in the millions."""
    ordered = values.double().sort(0).values
    position = torch.tensor(LEVELS, dtype=torch.float64) * (len(ordered) - 1)
    low = position.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (position - low)[:, None]).T.contiguous().float()
