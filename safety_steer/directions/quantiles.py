"""Benign quantiles: how a reading, or a prompt's score, stands among those of harmless text.

Values that harmless text shows are kept as their quantiles at LEVELS. `fit_quantiles` makes such a table, `at_quantile` reads
it at any level, `share_below` asks it the other way round, and `spread` draws values from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

# By hand, close together where thresholds lie; files of schema 1 hold quantiles at these.
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9975, 0.999, 1.0)


def fit_quantiles(values: Tensor) -> Tensor:
    """Return quantiles at LEVELS over the first axis of (N, K): (K, Q) float32. Sorts, as N may be in the millions."""
    ordered = values.double().sort(0).values
    position = torch.tensor(LEVELS, dtype=torch.float64) * (len(ordered) - 1)
    low = position.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (position - low)[:, None]).T.contiguous().float()


def at_quantile(quantiles: Tensor, level: float) -> Tensor:
    """Interpolate quantiles (..., Q) given at LEVELS: (...)."""
    upper = next(index for index, value in enumerate(LEVELS) if value >= level)
    if upper == 0:
        return quantiles[..., 0]
    share = (level - LEVELS[upper - 1]) / (LEVELS[upper] - LEVELS[upper - 1])
    return torch.lerp(quantiles[..., upper - 1], quantiles[..., upper], share)


def share_below(quantiles: Sequence[float], value: float) -> float:
    """Return the share of harmless values below a value, given their quantiles (Q) at LEVELS; from 0.01 to 1."""
    return float(np.interp(value, quantiles, LEVELS))


def spread(quantiles: Sequence[float], count: int) -> Any:
    """Return so many values spread like the harmless ones whose quantiles (Q) are given at LEVELS: an array (count,)."""
    return np.interp((np.arange(count) + 0.5) / count, LEVELS, quantiles)
