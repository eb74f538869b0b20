"""A wide space in some thousand of its own axes, so that every prompt of an alignment can be kept.

A prompt's state in Ideogram 4 has 53,248 channels, and what an alignment takes grows with prompts times channels. What prompts
say lies in far fewer dimensions: the first thousand prompts name the axes, every prompt after them is kept as its coordinates
along those, and the fit is made in coordinates. All that the gate and the operators read is linear in channels, so that a
reading of coordinates is one of channels, and weights go back to channels as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..directions.harm_net import HarmNet
from ..directions.passages import Passages
from . import wide

WIDEST = 6144  # by hand; results/align_memory.json: what a whole space takes up to there
RANK = 1152  # by hand; below the prompts that name the axes
NOISE = 1e-5  # by hand; of the largest variance


@dataclass(frozen=True, eq=False)
class Span:
    """Axes (r, D) of a standardised space, in half precision: c = ((h - mean) / scale) @ axes^T, `mean` and `scale` float64."""

    mean: Tensor
    scale: Tensor
    axes: Tensor

    @classmethod
    def around(cls, rows: Tensor) -> Span:
        """Choose at most 1,152 principal axes of pooled states (M, D)."""
        mean, scale = wide.statistics(rows)
        gram = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        for _, part in _blocks(rows, mean, scale):
            gram += part @ part.T
        values, vectors = torch.linalg.eigh(gram)
        count = max(1, min(RANK, int((values > NOISE * values[-1]).sum())))
        mix = (vectors[:, -count:] / values[-count:].clamp(min=1e-12).sqrt()).flip(1).T.float()
        axes = torch.empty(count, rows.shape[1], dtype=torch.float16)
        for channels, part in _blocks(rows, mean, scale):
            axes[:, channels] = (mix @ part).half()
        return cls(mean, scale, axes)

    def coordinates(self, rows: Tensor) -> Tensor:
        """Bring raw states (M, D) into the span: (M, r)."""
        found = torch.zeros(len(rows), len(self.axes))
        for channels, part in _blocks(rows, self.mean, self.scale):
            found.addmm_(part, self.axes[:, channels].float().T)
        return found

    def standardised(self, rows: Tensor) -> Tensor:
        """Turn vectors or weights (K, r) along the axes to ones over standardised channels: (K, D)."""
        found = torch.empty(len(rows), self.axes.shape[1])
        for channels in _channels(self.axes.shape[1]):
            found[:, channels] = rows.float() @ self.axes[:, channels].float()
        return found

    def centred(self, middle: Tensor) -> Span:
        """Move the mean to the point of these coordinates (r,)."""
        return replace(self, mean=self.mean + self.scale * self.standardised(middle[None])[0])

    def lifted(self, net: HarmNet) -> HarmNet:
        """Turn networks that hear coordinates to the same ones that hear raw channels."""
        scale, mean = self.scale.float(), self.mean.float()
        whole, passage, contrast = (
            self.standardised(weights).div_(scale) for weights in (net.prompt_in, net.passage_in, net.passage_contrast)
        )
        return replace(
            net,
            prompt_in=whole,
            prompt_bias=net.prompt_bias - whole @ mean,
            passage_in=passage,
            passage_contrast=contrast,
            passage_bias=net.passage_bias - passage @ mean,
        )


@dataclass(frozen=True, eq=False)
class Reduced:
    """N prompts of a wide space in its span: `pooled` (N, r), `passages` of long ones, and how far the first M lie from the
    mean, in raw channels: `lengths` (M,).
    """

    span: Span
    pooled: Tensor
    passages: Passages
    lengths: Tensor


def joined(parts: Sequence[Reduced]) -> tuple[Tensor, Passages]:
    """Put prompts of one span after each other: pooled (N, r) and their passages."""
    starts = [sum(len(part.pooled) for part in parts[:number]) for number in range(len(parts))]
    found = [part.passages for part in parts]
    owner = torch.cat([part.owner + start for part, start in zip(found, starts, strict=True)])
    names = ("means", "whole", "starts")
    means, whole, begins = (torch.cat([getattr(part, name) for part in found]) for name in names)
    return torch.cat([part.pooled for part in parts]), Passages(means, whole, owner, begins)


def _channels(width: int) -> list[slice]:
    return [slice(start, start + wide.CHANNELS) for start in range(0, width, wide.CHANNELS)]


def _blocks(rows: Tensor, mean: Tensor, scale: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows (M, D) standardised, some channels at a time."""
    for channels in _channels(rows.shape[1]):
        yield channels, wide.standardised(rows[:, channels], mean[channels], scale[channels], torch.float32)
