"""The gate: is this prompt unsafe at all? A benign prompt keeps the gate closed and is not steered.

Where a direction came with examples, two networks decide (`harm_net`). For older ones, and where own prompts alone say what is
normal, three witnesses are heard. The prompt as a whole: the log-odds of its pooled state being any of the unsafe categories
rather than safe or benign, under Gaussians with one shared covariance (a gate like CAT's, arXiv 2603.03163, but carried from
the source model), so nobody has to say which category a prompt belongs to. Its most unsafe token, for the one bad word
in a long harmless sentence; and its most unsafe phrase, four tokens in a row, for words that are bad only together. Each says
how surprising it would be of a benign prompt, in e-folds of the benign tail, and they are added with weights (a weighted
form of Fisher's method of combining p-values): mostly the prompt where prompts of all kinds count as normal, token and phrase
alone where own prompts say what is normal, which makes strange words stand out. The threshold is a benign quantile of that
sum: at a false-positive rate of 0.5 %, one benign prompt in two hundred opens the gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..directions.aligned_space import WITNESSES, AlignedSpace, TokenReading
from ..directions.harm_net import hard_rate, hear, reach
from ..directions.pooling import PromptReading, phrase_peaks, read_prompts, token_peaks
from ..directions.quantiles import LEVELS, at_quantile
from ..errors import DataError

MODES = ("off", "hard", "soft")
FALSE_POSITIVE_RATE = 0.005  # by hand: one benign prompt in two hundred


@dataclass(frozen=True, eq=False)
class GateDecision:
    """Per prompt: log-odds `by_category` (B, C), joined evidence (`scores`, B), the `threshold`, `opening` (B,) in 0..1.

    `reach` (B, T) says which tokens may move, None for all: in a long prompt those of its striking passages.
    """

    by_category: Tensor
    scores: Tensor
    threshold: float
    opening: Tensor
    reach: Tensor | None = None

    @property
    def flagged(self) -> Tensor:
        """Which prompts are above the threshold: (B,) bool."""
        return self.scores > self.threshold


def log_odds(weights: Tensor, biases: Tensor, pooled: Tensor) -> Tensor:
    """Compute the log-odds of each unsafe category against safe and benign for pooled prompts (B, D): (B, C).

    `weights` (G, D) and `biases` (G,) are those of a PromptGate.
    """
    weights = weights.to(pooled.device)
    densities = pooled.float() @ weights.T + biases.to(pooled.device)
    count = (len(weights) - 1) // 2
    return densities[:, :count] - densities[:, count:].logsumexp(-1, keepdim=True)


def witnesses(reading: TokenReading, by_category: Tensor, tokens: Tensor, phrases: Tensor) -> Tensor:
    """Put the three witnesses side by side: log-odds (B, C) of prompts, highest readings (B, K) of tokens and phrases: (B, 3).

    Tokens and phrases in units of the benign prompts' own highest: 0 at their median, 1 at their 90 % quantile.
    """
    tokenwise, phrasewise = standing_out(reading.prompt_quantiles, tokens), standing_out(reading.phrase_quantiles, phrases)
    return torch.stack([by_category.logsumexp(-1), tokenwise, phrasewise], -1)


def standing_out(quantiles: Tensor, peaks: Tensor) -> Tensor:
    """Bring the highest readings of prompts (B, K) to common units and keep the highest category: (B,)."""
    middle, high = (at_quantile(quantiles, level).to(peaks.device) for level in (0.5, 0.9))
    return ((peaks - middle) / (high - middle).clamp(min=1e-6)).amax(-1)


def joined_evidence(tails: Tensor, weights: Tensor, heard: Tensor) -> Tensor:
    """Add the witnesses (B, 3) by `weights` (3,), in e-folds of benign `tails` (3, Q), 0 at their 90 % quantiles: (B,)."""
    folds = [_in_e_folds(values, tail) for values, tail in zip(heard.unbind(-1), tails, strict=True)]
    return torch.stack(folds, -1) @ weights.to(heard.device)


def opening_log_odds(space: AlignedSpace, decision: GateDecision) -> Tensor:
    """Return the log-odds of a whole prompt at which the gate would open, its tokens and phrases being what they are: (B,).

    NaN where the prompt as a whole is not heard.
    """
    if space.harm is not None:
        return torch.full_like(decision.scores, math.nan)
    slope = float(space.gate.witness_weights[0]) * _folds_per_unit(space.gate.gate_quantiles[0])
    if slope == 0:
        return torch.full_like(decision.scores, math.nan)
    return decision.by_category.logsumexp(-1) - (decision.scores - decision.threshold) / slope


def _in_e_folds(values: Tensor, quantiles: Tensor) -> Tensor:
    return (values - float(at_quantile(quantiles, 0.9))) * _folds_per_unit(quantiles)


def _folds_per_unit(quantiles: Tensor) -> float:
    return math.log(10) / max(float(at_quantile(quantiles, 0.99)) - float(at_quantile(quantiles, 0.9)), 1e-6)


def gate_threshold(space: AlignedSpace, rate: float = FALSE_POSITIVE_RATE) -> float:
    """Return the score that a share `rate` of benign prompts exceeds; raises DataError outside 0..0.99."""
    if not 0 <= rate <= 1 - LEVELS[0]:
        raise DataError(f"Expected a false-positive rate from 0 to {1 - LEVELS[0]}, but got {rate}.")
    threshold = float(at_quantile(harmless_scores(space), 1 - rate))
    if space.harm is None:
        return threshold
    return max(threshold, float(at_quantile(space.harm.hard, 1 - hard_rate(rate))))


def harmless_scores(space: AlignedSpace) -> Tensor:
    """Return the scores of ordinary harmless prompts, as quantiles at LEVELS: (Q,)."""
    return space.gate.gate_quantiles[-1] if space.harm is None else space.harm.ordinary


def open_gate(states: Tensor, space: AlignedSpace, mode: str = "hard", rate: float = FALSE_POSITIVE_RATE) -> GateDecision:
    """Decide for each prompt of conditioning (B, T, D) how far to open the gate, as `decide` does."""
    return decide(read_prompts(space, states, passages=True), mode, rate)


def decide(reading: PromptReading, mode: str = "hard", rate: float = FALSE_POSITIVE_RATE) -> GateDecision:
    """Decide for each prompt of a reading how far to open the gate.

    "off" is always open (1). "hard" opens fully above the threshold and is closed (exactly 0) below. "soft" is closed
    below it too, and opens in proportion up to half as far again from the benign median.
    """
    if mode not in MODES:
        raise DataError(f"Expected gate {', '.join(MODES)}, but got '{mode}'.")
    space, mask = reading.space, reading.real
    gate, tokens = space.gate, space.tokens
    by_category = log_odds(gate.gate_weights, gate.gate_biases, reading.pooled)
    within = None
    if space.harm is None:
        peaks = token_peaks(reading.unsafe, mask), phrase_peaks(reading.unsafe, mask)
        heard_of = witnesses(tokens, by_category, *peaks)
        scores = joined_evidence(gate.gate_quantiles[:WITNESSES], gate.witness_weights, heard_of)
    else:
        heard = hear(space.harm, reading.pooled, reading.passages)
        spoken = mask.any(-1)
        scores, within = heard.evidence.masked_fill(~spoken, -math.inf), reach(heard, mask)
    threshold = gate_threshold(space, rate)
    if mode == "off":
        opening = torch.ones_like(scores)
    elif mode == "hard":
        opening = (scores > threshold).float()
    else:
        ramp = max((threshold - float(at_quantile(harmless_scores(space), 0.5))) / 2, 1e-6)
        opening = ((scores - threshold) / ramp).clamp(0, 1)
    return GateDecision(by_category, scores, threshold, opening, within)
