"""Numbers that say how well a direction separates safe from unsafe, how sure one can be of a share, and how rows lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from .errors import DataError

# By hand.
RESAMPLES = 2000


def auroc(positive: Tensor, negative: Tensor) -> float:
    """Compute the area under the ROC curve: P(positive > negative) + P(equal) / 2, for scores (N,) and (M,)."""
    scores = torch.cat([positive, negative]).double()
    order = scores.argsort()
    ranks = torch.empty_like(scores)
    ranks[order] = torch.arange(1, len(scores) + 1, dtype=scores.dtype)
    values, inverse = scores.unique(return_inverse=True)
    sums = torch.zeros(len(values), dtype=scores.dtype).index_add_(0, inverse, ranks)
    ranks = (sums / torch.bincount(inverse))[inverse]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def pair_accuracy(safe: Tensor, unsafe: Tensor) -> float:
    """Compute the share of pairs whose safe side scores above its unsafe side, for scores (N,) and (N,)."""
    return float((safe > unsafe).double().mean())


def mean_pairwise_cosine(differences: Tensor) -> float:
    """Compute AutoSteer's Safety Awareness Score of pair differences (N, d): 2/(N(N-1)) sum_{i<j} cos (2507.13255)."""
    units = differences.double()
    units = units / units.norm(dim=1, keepdim=True).clamp(min=1e-12)
    count = len(units)
    return float((units.sum(0).square().sum() - count) / (count * (count - 1)))


def need_scipy() -> None:
    """Raise DataError, naming the extra that brings it, where scipy is missing: before long work that ends in an interval."""
    if find_spec("scipy") is None:
        raise DataError("Intervals need scipy. Install it with: pip install 'safety-steer[evaluate]'")


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of the share `hits` / `count` (Wilson 1927), as scipy does; (0, 1) of none.

    Each of the `count` observations must be one of its own: of several pictures of one prompt see `prompt_interval`.
    Raises DataError where scipy is missing.
    """
    need_scipy()
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    found = binomtest(hits, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def prompt_interval(shares: Tensor) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of (N,) shares of hits, one per prompt, over prompts; (0, 1) of none.

    It is Wilson's where every prompt is wholly a hit or none (so with one picture each, and at 0 and 100 %), N prompts being
    the observations; otherwise a percentile bootstrap over prompts. Shares that are all alike have nothing to resample: they
    get Wilson's bounds of the next whole numbers of prompts below and above. Raises DataError where scipy is missing.
    """
    values = shares.double()
    if bool(((values == 0) | (values == 1)).all()) or bool((values == values[0]).all()):
        total = round(float(values.sum()), 6)
        return wilson_interval(math.floor(total), len(values))[0], wilson_interval(math.ceil(total), len(values))[1]
    return _bootstrap(values)


def bootstrap_interval(hits: Tensor) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of (N,) hits, 0 or 1, by a percentile bootstrap over them.

    At 0 and 100 %, where there is nothing to resample, it is Wilson's, for which scipy is needed. Raises DataError of none.
    """
    values = hits.double()
    if not len(values):
        raise DataError("There is nothing to give an interval of. Give at least one answer.")
    if bool((values == values[0]).all()):
        return wilson_interval(round(float(values.sum())), len(values))
    return _bootstrap(values)


def _bootstrap(values: Tensor) -> tuple[float, float]:
    rows = torch.randint(len(values), (RESAMPLES, len(values)), generator=torch.Generator().manual_seed(0))
    low, high = values[rows].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


@dataclass(frozen=True)
class GateScore:
    """How a gate does on pairs: its AUROC, and the shares of unsafe and safe prompts above its threshold."""

    auroc: float
    tpr: float
    fpr: float
    threshold: float


@dataclass(frozen=True)
class PairScore:
    """How a direction does on pairs; `per_category` maps a category to the AUROC of its own reading."""

    auroc: float
    pair_accuracy: float
    per_category: dict[str, float]
    gate: GateScore
    pairs: int

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def score_pairs(
    safe: Tensor,
    unsafe: Tensor,
    categories: Sequence[str],
    pair_categories: Sequence[str],
    gate_safe: Tensor,
    gate_unsafe: Tensor,
    threshold: float,
) -> PairScore:
    """Score readings (N, K; + is safer, column 0 global) and gate scores (N,; + is unsafe) of N pairs."""
    per_category = {}
    for column, category in enumerate(categories):
        rows = torch.tensor([category == name for name in pair_categories])
        if bool(rows.any()):
            per_category[category] = auroc(safe[rows, column], unsafe[rows, column])
    gate = GateScore(
        auroc=auroc(gate_unsafe, gate_safe),
        tpr=float((gate_unsafe > threshold).double().mean()),
        fpr=float((gate_safe > threshold).double().mean()),
        threshold=threshold,
    )
    return PairScore(
        auroc=auroc(safe[:, 0], unsafe[:, 0]),
        pair_accuracy=pair_accuracy(safe[:, 0], unsafe[:, 0]),
        per_category=per_category,
        gate=gate,
        pairs=len(safe),
    )


def principal_axes(rows: Tensor, rank: int) -> Tensor:
    """Return the leading principal axes of centred rows (N, d) as columns (d, rank), by a seeded randomised SVD."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        axes = torch.svd_lowrank(rows, q=min(rank + 16, *rows.shape), niter=4)[2]
    return axes[:, :rank]
