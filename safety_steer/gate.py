"""The gate: is this prompt unsafe at all? A benign prompt keeps the gate closed and is not steered.

A prompt's score is the log-odds of being any of the unsafe categories rather than safe or benign, under Gaussians with
one shared covariance (a gate like CAT's, arXiv 2603.03163, but carried from the source model), so nobody has to say
which category a prompt belongs to. The threshold is a benign quantile: at a false-positive rate of 0.5 %, one benign
prompt in two hundred opens the gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .aligned import LEVELS, AlignedSpace, pool
from .errors import DataError
from .steer import at_quantile

MODES = ("off", "hard", "soft")
FALSE_POSITIVE_RATE = 0.005


@dataclass(frozen=True, eq=False)
class GateDecision:
    """Per prompt: log-odds `by_category` (B, C) and in all (`scores`, B), the `threshold`, and `opening` (B,) in 0..1."""

    by_category: Tensor
    scores: Tensor
    threshold: float
    opening: Tensor

    @property
    def flagged(self) -> Tensor:
        """Which prompts are above the threshold: (B,) bool."""
        return self.scores > self.threshold


def gate_scores(space: AlignedSpace, pooled: Tensor) -> Tensor:
    """Compute the log-odds of each unsafe category against safe and benign for pooled prompts (B, D): (B, C)."""
    weights = space.gate_weights.to(pooled.device)
    densities = pooled.float() @ weights.T + space.gate_biases.to(pooled.device)
    count = (len(weights) - 1) // 2
    return densities[:, :count] - densities[:, count:].logsumexp(-1, keepdim=True)


def gate_threshold(space: AlignedSpace, rate: float = FALSE_POSITIVE_RATE) -> float:
    """Return the score that a share `rate` of benign prompts exceeds; raises DataError outside 0..0.99."""
    if not 0 <= rate <= 1 - LEVELS[0]:
        raise DataError(f"Expected a false-positive rate from 0 to {1 - LEVELS[0]}, but got {rate}.")
    return float(at_quantile(space.gate_quantiles, 1 - rate))


def open_gate(states: Tensor, space: AlignedSpace, mode: str = "hard", rate: float = FALSE_POSITIVE_RATE) -> GateDecision:
    """Decide for each prompt of conditioning (B, T, D) how far to open the gate.

    "off" is always open (1). "hard" opens fully above the threshold and is closed (exactly 0) below. "soft" is closed
    below it too, and opens in proportion up to half as far again from the benign median.
    """
    if mode not in MODES:
        raise DataError(f"Expected gate {', '.join(MODES)}, but got '{mode}'.")
    by_category = gate_scores(space, pool(states))
    scores = by_category.logsumexp(-1)
    threshold = gate_threshold(space, rate)
    if mode == "off":
        opening = torch.ones_like(scores)
    elif mode == "hard":
        opening = (scores > threshold).float()
    else:
        ramp = max((threshold - float(at_quantile(space.gate_quantiles, 0.5))) / 2, 1e-6)
        opening = ((scores - threshold) / ramp).clamp(0, 1)
    return GateDecision(by_category, scores, threshold, opening)
