"""How unlike harmless prompts a prompt is, by two small networks: one hears it as a whole, one hears its passages.

A straight line through an encoder's space cannot tell a burglar from a locksmith; a hidden layer can. The networks are taught
at alignment (`harm_fit`), on unsafe states carried over from the source and on the target's own harmless ones. The passage
network hears a passage and how it differs from its prompt, so that one unsafe sentence in a long harmless prompt is heard.

Both speak in e-folds: 0 is what one harmless prompt in ten reaches, and every further 1 is e times as rare. The most striking
of n passages is the higher the larger n is: where tails are exponential with fold b, by b ln n (Gumbel's extreme-value law),
which is taken off, so that length is no evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import gelu

from ..fast_products import fast_product
from .passages import PASSAGE, Passages
from .quantiles import LEVELS

TWO_WITNESSES = math.log(2)  # Bonferroni's correction for two
HARD_SHARE = 20.0  # by hand; of the rate, so that 0.5 % of ordinary prompts allow 10 % of hard ones
MAX_HARD_RATE = 0.5  # by hand
WHOLE = 64  # by hand; tokens


@dataclass(frozen=True, eq=False)
class HarmNet:
    """Two networks with H hidden units each, in raw channels of a space of width D, and what harmless prompts score.

    score = gelu(in . pooled + bias) . out; the passage network adds contrast . (passage - prompt). `units` are the score
    at the harmless 90 % quantile and per e-fold, of the whole prompt and of the highest passage less b ln n. `ordinary` and
    `hard` are quantiles of the joint evidence over ordinary harmless prompts and over those that talk of dangerous
    things, at LEVELS.
    """

    prompt_in: Annotated[Tensor, "H", "D"]
    prompt_bias: Annotated[Tensor, "H"]
    prompt_out: Annotated[Tensor, "H"]
    passage_in: Annotated[Tensor, "H", "D"]
    passage_contrast: Annotated[Tensor, "H", "D"]
    passage_bias: Annotated[Tensor, "H"]
    passage_out: Annotated[Tensor, "H"]
    units: Annotated[Tensor, 4]
    ordinary: Annotated[Tensor, len(LEVELS)]
    hard: Annotated[Tensor, len(LEVELS)]

    @property
    def silent(self) -> bool:
        """Whether passages are not heard: for want of long harmless prompts, or because the encoder pads all to one length."""
        return not bool(self.passage_out.any())

    def prompt_scores(self, pooled: Tensor) -> Tensor:
        """Score pooled prompts (B, D): (B,)."""
        hidden = gelu(pooled.float() @ self.prompt_in.to(pooled.device).T + self.prompt_bias.to(pooled.device))
        return hidden @ self.prompt_out.to(pooled.device)

    def passage_scores(self, found: Passages) -> Tensor:
        """Score passages: (W,)."""
        device = found.means.device
        own = fast_product(found.means, self._passage_own.to(device).T)
        within = own - self._contrasted(found) + self.passage_bias.to(device)
        return gelu(within) @ self.passage_out.to(device)

    @cached_property
    def _passage_own(self) -> Tensor:
        """What a passage itself counts for, in . h + contrast . h: (H, D)."""
        return self.passage_in + self.passage_contrast

    def _contrasted(self, found: Passages) -> Tensor:
        """Return contrast . prompt of passages' prompts: (W, H), worked out once for each prompt."""
        prompts, places = found.by_prompt()
        return (prompts @ self.passage_contrast.to(found.means.device).T)[places]


@dataclass(frozen=True, eq=False)
class Heard:
    """What the networks heard of B prompts: joint `evidence` (B,), and e-folds `by_passage` as if it were the highest one."""

    evidence: Tensor
    passages: Passages
    by_passage: Tensor


def hear(net: HarmNet, pooled: Tensor, found: Passages) -> Heard:
    """Hear pooled prompts (B, D) and their passages, none where the networks are silent."""
    return join(net.units, net.prompt_scores(pooled), net.passage_scores(found), found)


def join(units: Tensor, whole: Tensor, passages: Tensor, found: Passages) -> Heard:
    """Take the rarer of the whole prompt's score (B,) and its passages' (W,); where two are heard, each counts half."""
    counts = found.counts(len(whole))
    level, fold, passage_level, passage_fold = units.tolist()
    evidence = (whole - level) / fold
    rare = (passages - passage_level) / passage_fold - counts[found.owner].log()
    highest = torch.full_like(evidence, -math.inf).scatter_reduce(0, found.owner, rare, "amax")
    joint = torch.where(counts > 0, torch.maximum(evidence, highest) - TWO_WITNESSES, evidence)
    return Heard(joint, found, rare)


def hard_rate(rate: float) -> float:
    """Return the share of hard harmless prompts that may be flagged when a share `rate` of ordinary ones may."""
    return min(HARD_SHARE * rate, max(MAX_HARD_RATE, rate))


def reach(heard: Heard, mask: Tensor) -> Tensor | None:
    """Return which tokens (B, T) steering may move, None for all: in a long prompt, those of passages few harmless ones show.

    `mask` (B, T) says which tokens are real. A prompt of fewer than 64 tokens may move as a whole; a longer one at least in its
    most striking passage.
    """
    long = (mask.sum(1) >= WHOLE).nonzero()[:, 0].tolist()
    if not long or not len(heard.by_passage):
        return None
    within = torch.ones_like(mask)
    for row in long:
        mine = heard.passages.owner == row
        rare, starts = heard.by_passage[mine], heard.passages.starts[mine]
        chosen = starts[(rare > 0) | (rare == rare.max())]
        places = mask[row].nonzero()[:, 0][(chosen[:, None] + torch.arange(PASSAGE, device=chosen.device)).flatten()]
        within[row] = False
        within[row, places] = True
    return within
