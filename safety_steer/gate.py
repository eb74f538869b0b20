"""The gate: is this prompt unsafe at all? A benign prompt keeps the gate closed and is not steered.

Two witnesses are heard. The prompt as a whole: the log-odds of its pooled state being any of the unsafe categories rather
than safe or benign, under Gaussians with one shared covariance (a gate like CAT's, arXiv 2603.03163, but carried from
the source model), so nobody has to say which category a prompt belongs to. And its most unsafe token, for the one bad word
in a long harmless sentence. Each says how surprising it would be of a benign prompt, in e-folds of the benign tail, and the
two are added (a weighted form of Fisher's method of combining p-values): the token at half weight, or at double weight where
own prompts alone say what is normal, which makes one strange word stand out more. The threshold is a benign quantile of
that sum: at a false-positive rate of 0.5 %, one benign prompt in two hundred opens the gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .aligned import LEVELS, AlignedSpace, pool, token_mask
from .errors import DataError
from .steer import at_quantile

MODES = ("off", "hard", "soft")
FALSE_POSITIVE_RATE = 0.005


@dataclass(frozen=True, eq=False)
class GateDecision:
    """Per prompt: log-odds `by_category` (B, C), joined evidence (`scores`, B), the `threshold`, `opening` (B,) in 0..1."""

    by_category: Tensor
    scores: Tensor
    threshold: float
    opening: Tensor

    @property
    def flagged(self) -> Tensor:
        """Which prompts are above the threshold: (B,) bool."""
        return self.scores > self.threshold


def log_odds(space: AlignedSpace, pooled: Tensor) -> Tensor:
    """Compute the log-odds of each unsafe category against safe and benign for pooled prompts (B, D): (B, C)."""
    weights = space.gate_weights.to(pooled.device)
    densities = pooled.float() @ weights.T + space.gate_biases.to(pooled.device)
    count = (len(weights) - 1) // 2
    return densities[:, :count] - densities[:, count:].logsumexp(-1, keepdim=True)


def token_peaks(space: AlignedSpace, states: Tensor) -> Tensor:
    """Return how far the most unsafe token of each prompt (B, T, D) stands out in any category: (B,).

    In units of the benign prompts' own highest tokens: 0 at their median, 1 at their 90 % quantile.
    """
    unsafe = space.unsafe_reading(states).masked_fill(~token_mask(states)[..., None], -math.inf)
    return standing_out(space, unsafe.amax(1))


def standing_out(space: AlignedSpace, peaks: Tensor) -> Tensor:
    """Bring the highest readings of prompts (B, K) to common units and keep the highest category: (B,)."""
    middle, high = (at_quantile(space.prompt_quantiles, level).to(peaks.device) for level in (0.5, 0.9))
    return ((peaks - middle) / (high - middle).clamp(min=1e-6)).amax(-1)


def joined_evidence(space: AlignedSpace, log_odds: Tensor, peaks: Tensor) -> Tensor:
    """Add the two witnesses (B,) in e-folds of their benign tails, each 0 at its 90 % quantile: (B,)."""
    prompt, token = space.gate_quantiles[:2]
    return _in_e_folds(log_odds, prompt) + float(space.token_weight) * _in_e_folds(peaks, token)


def _in_e_folds(values: Tensor, quantiles: Tensor) -> Tensor:
    start, end = float(at_quantile(quantiles, 0.9)), float(at_quantile(quantiles, 0.99))
    return (values - start) * (math.log(10) / max(end - start, 1e-6))


def gate_threshold(space: AlignedSpace, rate: float = FALSE_POSITIVE_RATE) -> float:
    """Return the score that a share `rate` of benign prompts exceeds; raises DataError outside 0..0.99."""
    if not 0 <= rate <= 1 - LEVELS[0]:
        raise DataError(f"Expected a false-positive rate from 0 to {1 - LEVELS[0]}, but got {rate}.")
    return float(at_quantile(space.gate_quantiles[2], 1 - rate))


def open_gate(states: Tensor, space: AlignedSpace, mode: str = "hard", rate: float = FALSE_POSITIVE_RATE) -> GateDecision:
    """Decide for each prompt of conditioning (B, T, D) how far to open the gate.

    "off" is always open (1). "hard" opens fully above the threshold and is closed (exactly 0) below. "soft" is closed
    below it too, and opens in proportion up to half as far again from the benign median.
    """
    if mode not in MODES:
        raise DataError(f"Expected gate {', '.join(MODES)}, but got '{mode}'.")
    by_category = log_odds(space, pool(states))
    scores = joined_evidence(space, by_category.logsumexp(-1), token_peaks(space, states))
    threshold = gate_threshold(space, rate)
    if mode == "off":
        opening = torch.ones_like(scores)
    elif mode == "hard":
        opening = (scores > threshold).float()
    else:
        ramp = max((threshold - float(at_quantile(space.gate_quantiles[2], 0.5))) / 2, 1e-6)
        opening = ((scores - threshold) / ramp).clamp(0, 1)
    return GateDecision(by_category, scores, threshold, opening)
