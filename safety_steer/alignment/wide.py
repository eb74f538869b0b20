"""Anchors without second copies of them: statistics and standardising in blocks, the same bit for bit as without blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..extraction.extract_direction import channel_statistics

CHANNELS, ROWS = 4096, 64  # by hand; of a block
BLOCK_BYTES = 2**26  # by hand
FEWEST = 256  # by hand; prompts that name the axes


def groups(prompts: Sequence[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Yield token states (T_i, d) of at most `most` prompts at a time, of fewer where they weigh over 64 MiB as float32."""
    group: list[Tensor] = []
    size = 0
    for rows in prompts:
        if len(group) == most or (group and size + 4 * rows.numel() > BLOCK_BYTES):
            yield group
            group, size = [], 0
        group.append(rows)
        size += 4 * rows.numel()
    if group:
        yield group


def statistics(pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation per channel of (N, d), in float64."""
    means, scales = zip(*(channel_statistics(part) for part in pooled.split(CHANNELS, dim=1)), strict=True)
    return torch.cat(means), torch.cat(scales)


def standardised(pooled: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (pooled - mean) / scale, computed in float64."""
    result = torch.empty(pooled.shape, dtype=dtype)
    for start in range(0, len(pooled), ROWS):
        result[start : start + ROWS] = (pooled[start : start + ROWS].double() - mean) / scale
    return result


def lengths(pooled: Tensor, mean: Tensor) -> Tensor:
    """Return how far every row of (N, d) lies from the mean: (N,) float64."""
    return torch.cat([(part.double() - mean).norm(dim=-1) for part in pooled.split(ROWS)])
