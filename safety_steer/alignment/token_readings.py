"""How single tokens are read: a discriminant in the benign tokens' own covariance, in units of benign deviations.

The operators move tokens by these readings. The gate hears the highest of them in a prompt, and the highest mean of four
in a row, a phrase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..directions.pooling import phrase_means
from ..extraction.estimators import solve_shrunk
from .wide import BLOCK_BYTES, groups

CHUNK = 64  # by hand; prompts at a time
SKETCH_ROWS = 2048  # by hand
EXACT_WIDTH = 1024  # by hand; channels


@dataclass(frozen=True, eq=False)
class CalibratedReadings:
    """Token readings in benign deviations: `readings` (K, D), `offsets` (K,), and u of benign `tokens` (M, K), with the
    highest u of each prompt's tokens and phrases, `token_peaks` and `phrase_peaks` (N, K).
    """

    readings: Tensor
    offsets: Tensor
    tokens: Tensor
    token_peaks: Tensor
    phrase_peaks: Tensor


def calibrate_readings(weights: Tensor, tokens: Sequence[Tensor]) -> CalibratedReadings:
    """Scale readings (K, D) to benign token deviations with median 0, and read all benign tokens with them."""
    lengths = [len(rows) for rows in tokens]
    columns = weights.float().T
    along = torch.cat([rows @ columns for rows in _grouped(tokens)]).double()
    spread = along.std(0).clamp(min=1e-12)
    offsets = along.median(0).values / spread
    unsafe = offsets - along / spread
    prompts = [part if len(part) else unsafe.amin(0, keepdim=True) for part in unsafe.split(lengths)]
    highest = torch.stack([part.amax(0) for part in prompts])
    phrases = torch.stack([phrase_means(part).amax(0) for part in prompts])
    return CalibratedReadings(weights / spread[:, None], offsets, unsafe, highest, phrases)


def token_discriminant(vectors: Tensor, tokens: Sequence[Tensor], scale: Tensor, shrinkage: float) -> Tensor:
    """Read vectors (K, d) with the benign tokens' covariance C: (C + shrinkage)^-1 v, both in channels over `scale`.

    In spaces wider than 1,024 the covariance comes from 2,048 random signed sums of all tokens (a count sketch, so that
    rare outlier tokens are in it too), and no (d, d) matrix is formed; from fewer where these would weigh more than 64 MiB.
    """
    width, scale = vectors.shape[1], scale.float()
    mean = sum((rows.sum(0) for rows in _grouped(tokens)), torch.zeros(width)) / sum(map(len, tokens))
    wide = width > EXACT_WIDTH
    generator = torch.Generator().manual_seed(0)
    sums = min(SKETCH_ROWS, BLOCK_BYTES // (4 * width))
    total = torch.zeros(sums if wide else width, width)
    for rows in _grouped(tokens):
        rows = (rows - mean) / scale
        if wide:
            bucket = torch.randint(sums, (len(rows),), generator=generator)
            sign = torch.randint(2, (len(rows), 1), generator=generator).float() * 2 - 1
            total.index_add_(0, bucket, rows * sign)
        else:
            total.addmm_(rows.T, rows)
    if wide:
        return solve_shrunk(total, vectors.float(), shrinkage, over_rows=True).double()
    total.diagonal().add_(1e-6 * total.diagonal().mean())
    factor, failed = torch.linalg.cholesky_ex(total)
    if int(failed):
        # Fewer tokens than channels, as of pictures with one embedding each: the tokens themselves are the factor.
        rows = (torch.cat(list(_grouped(tokens))) - mean) / scale
        return solve_shrunk(rows, vectors.float(), shrinkage, over_rows=True).double()
    return solve_shrunk(factor.T, vectors.float(), shrinkage, over_rows=False).double()


def _grouped(tokens: Sequence[Tensor]) -> Iterator[Tensor]:
    """Join token states of some prompts at a time as float32, so that all of them never exist twice."""
    for group in groups(tokens, CHUNK):
        yield torch.cat(group).float()
