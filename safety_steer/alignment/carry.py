"""How a direction goes through a map: its vectors, its classes and how they scatter, and the readings that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..directions.aligned import gate_categories
from ..directions.source import SafetyDirection
from ..extraction.estimators import solve_shrunk
from . import wide
from .maps import Map
from .token_readings import EXACT_WIDTH

if TYPE_CHECKING:
    from .align_direction import AlignSettings
    from .span import Span

MLP_SAMPLES = 256  # by hand


@dataclass(frozen=True, eq=False)
class Carried:
    """A direction in a target's standardised space, before calibration."""

    vectors: Tensor
    readings: Tensor
    gate_weights: Tensor
    gate_biases: Tensor

    def lifted(self, span: Span) -> Carried:
        """Turn what was carried into a span to its standardised channels."""
        vectors, readings, weights = (span.standardised(part) for part in (self.vectors, self.readings, self.gate_weights))
        return Carried(vectors, readings, weights, self.gate_biases)


def carry(
    direction: SafetyDirection,
    source: Tensor,
    target: Tensor,
    mapped: Map,
    settings: AlignSettings,
    error: float,
    width: int | None = None,
) -> Carried:
    """Carry vectors, covariance and class means through a map, and read them with the transported discriminant.

    `error` is the map's held-out share of unexplained variance: residuals on the anchors it was fitted to flatter it. `width`
    counts the channels where `target` are coordinates in a span of them.
    With T the map, S the source's within-class covariance and R the covariance of the map's residuals on anchors,
    the reading of v is (T S T^T + R + shrinkage)^-1 T(v): Fisher's discriminant for the target, from benign target data.
    """
    safe, unsafe = direction.safe_means.to(source), direction.unsafe_means.to(source)
    half = direction.vectors.to(source) / direction.scale.to(source) / 2
    cloud = Cloud.around(direction.spread.to(source), linear=settings.map != "mlp")
    middle = (safe + unsafe) / 2
    vectors = cloud.mean(mapped, middle + half) - cloud.mean(mapped, middle - half)
    residual = (target - mapped(source)) / math.sqrt(len(source))
    unexplained = float(residual.square().sum() * len(source) / target.square().sum())
    residual = residual * math.sqrt(max(min(error, 1.0) / max(unexplained, 1e-12), 1.0))
    factor = torch.cat([cloud.factor(mapped, middle[0]), residual])
    classes = torch.cat([_class_means(part, direction, settings.category_shrinkage) for part in (unsafe, safe)])
    means = torch.cat([cloud.mean(mapped, classes), torch.zeros_like(target[:1])])
    wanted = torch.cat([vectors, means])
    # Well conditioned by the shrinkage, so single precision does, at half the time of the whole fit.
    wide = wanted.shape[1] > EXACT_WIDTH
    solved = solve_shrunk(factor.float(), wanted.float(), settings.shrinkage, over_rows=wide, channels=width).to(wanted)
    readings, gate_weights = solved[: len(vectors)], solved[len(vectors) :]
    return Carried(vectors, readings, gate_weights, -(gate_weights * means).sum(-1) / 2)


@dataclass(frozen=True, eq=False)
class Cloud:
    """How prompts of one class scatter around their mean: a covariance factor (r, d), and samples for bent maps.

    Through a linear map a mean and a covariance go as they are, and `samples` is None; through an MLP they are those of
    mapped samples, seeded.
    """

    spread: Tensor
    samples: Tensor | None

    @classmethod
    def around(cls, spread: Tensor, linear: bool) -> Cloud:
        """Build a cloud from a covariance factor."""
        noise = torch.randn(MLP_SAMPLES, len(spread), generator=torch.Generator().manual_seed(0))
        return cls(spread, None if linear else noise.to(spread) @ spread)

    def mean(self, mapped: Map, points: Tensor) -> Tensor:
        """Return the means of the clouds around points (M, d_s) after the map: (M, d_t)."""
        if self.samples is None:
            return mapped(points)
        return torch.stack([mapped(point + self.samples).mean(0) for point in points])

    def factor(self, mapped: Map, point: Tensor) -> Tensor:
        """Return a factor of the covariance of the cloud around one point (d_s,) after the map: (R, d_t)."""
        if self.samples is None:
            return mapped(self.spread)
        carried = mapped(point + self.samples)
        return (carried - carried.mean(0)) / math.sqrt(len(carried))


def _class_means(means: Tensor, direction: SafetyDirection, shrinkage: float) -> Tensor:
    """Return the gate's class means, drawn toward the global one: few pairs make a category's own mean noisy."""
    count = len(gate_categories(direction.categories))
    return torch.lerp(means[-count:], means[:1].expand(count, -1), shrinkage)


def calibrate(direction: SafetyDirection, source: Tensor, lengths: Tensor, vectors: Tensor) -> Tensor:
    """Give carried vectors (K, d_t) the length of the source's, in benign target units (arXiv 2606.05290 eq. 7-9).

    `lengths` (N,) are those of the centred target states of the anchors.

    beta = median centred target norm / median source norm over anchors; v_t = beta |v_s| v / |v|.
    """
    beta = lengths.median() / wide.lengths(source, source.new_zeros(1)).median()
    own = (direction.vectors.double() / direction.scale.double()).norm(dim=-1)
    factors: Tensor = beta * own / vectors.norm(dim=-1).clamp(min=1e-12)
    return vectors * factors[:, None]
