"""Several small networks taught side by side to tell unsafe rows from harmless ones, each on its own share of the rows.

Six networks, two for each third of the harmless rows, leave that third out and are heard on it, so that thresholds come from
rows a network has not seen; together they are one network six times as wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, gelu

FOLDS, TWINS = 3, 2  # docs/gate.md: four twins are within the noise of two
NETWORKS = FOLDS * TWINS
HIDDEN = 64  # docs/gate.md: 128 are within the noise of it
STEPS = 120  # docs/gate.md: longer training flags less at the same rate of false alarms
UNSAFE_BATCH, HARMLESS_BATCH = 192, 768  # docs/gate.md: 384 harmless rows find less, 1,152 no more
RATE = 2e-3  # by hand; docs/gate.md: others are within the noise, as for the next two
DECAY = 1.0  # by hand
DROPOUT = 0.3  # by hand

# Fills rows (F, B, d), the unsafe ones first. They are written over and over: new ones each time take a third of the time.
Batch = Callable[[Tensor, torch.Generator], None]


@dataclass(frozen=True, eq=False)
class Taught:
    """F networks: `inner` (F, d, H), `bias` (F, 1, H), `outer` (F, H, 1), `level` (F, 1, 1). Number n left out fold n mod 3."""

    inner: Tensor
    bias: Tensor
    outer: Tensor
    level: Tensor

    def scores(self, rows: Tensor) -> Tensor:
        """Score rows (M, d) with every network: (F, M)."""
        return (gelu(rows @ self.inner + self.bias) @ self.outer + self.level)[..., 0]

    def unseen(self, rows: Tensor, folds: Tensor) -> Tensor:
        """Score rows (M, d) of `folds` (M,) with the networks that left them out: (M,)."""
        scores = self.scores(rows).view(TWINS, FOLDS, -1).mean(0)
        return scores.gather(0, folds[None])[0]


def teach(fill: Batch, width: int, generator: torch.Generator) -> Taught:
    """Train F networks side by side on unsafe against harmless rows, (F, B, d) each: seeded AdamW, cosine decay, dropout."""

    def start(*shape: int, fan: int) -> Tensor:
        return ((torch.rand(*shape, generator=generator) * 2 - 1) / math.sqrt(fan)).requires_grad_()

    inner, bias = start(NETWORKS, width, HIDDEN, fan=width), start(NETWORKS, 1, HIDDEN, fan=width)
    outer, level = start(NETWORKS, HIDDEN, 1, fan=HIDDEN), start(NETWORKS, 1, 1, fan=HIDDEN)
    optimiser = torch.optim.AdamW([inner, bias, outer, level], lr=RATE, weight_decay=DECAY)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    truth = torch.cat([torch.ones(UNSAFE_BATCH), torch.zeros(HARMLESS_BATCH)]).expand(NETWORKS, -1)
    rows = torch.empty(NETWORKS, len(truth[0]), width)
    for _ in range(STEPS):
        fill(rows, generator)
        kept = torch.rand(NETWORKS, len(truth[0]), HIDDEN, generator=generator) >= DROPOUT
        hidden = gelu(torch.baddbmm(bias, rows, inner)) * (kept / (1 - DROPOUT))
        scores = torch.baddbmm(level, hidden, outer)[..., 0]
        optimiser.zero_grad()
        # The networks share nothing, so that their losses are added.
        loss: Tensor = NETWORKS * binary_cross_entropy_with_logits(scores, truth)
        loss.backward()
        optimiser.step()
        decay.step()
    return Taught(*(part.detach() for part in (inner, bias, outer, level)))


def silent(width: int) -> Taught:
    """Return networks that say nothing, for want of long prompts."""
    shapes = ((NETWORKS, width, HIDDEN), (NETWORKS, 1, HIDDEN), (NETWORKS, HIDDEN, 1), (NETWORKS, 1, 1))
    return Taught(*(torch.zeros(shape) for shape in shapes))


def widened(taught: Taught) -> tuple[Tensor, Tensor]:
    """Put the networks' hidden units side by side: weights (F H, d) and biases (F H,)."""
    return taught.inner.transpose(1, 2).flatten(0, 1), taught.bias.flatten()
