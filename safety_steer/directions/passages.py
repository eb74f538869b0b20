"""Passages: sixteen tokens in a row, every four tokens, of a prompt that is long enough to hold some harmless and some not.

Where they lie; `pooling.cut` makes their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PASSAGE = 16  # docs/gate.md: windows of 16 tokens see more than 24 or 32
STEP = 4  # by hand
LONG = 32  # by hand; two passages


@dataclass(frozen=True, eq=False)
class Passages:
    """Means of passages (W, D) of some prompts: `owner` (W,) is a passage's prompt, `starts` (W,) the place of its first token
    among that prompt's real ones, `whole` (W, D) the mean of all its prompt's tokens.
    """

    means: Tensor
    whole: Tensor
    owner: Tensor
    starts: Tensor

    def by_prompt(self) -> tuple[Tensor, Tensor]:
        """Return the mean of each prompt that has passages (P, D), and the place of every passage's prompt there (W,)."""
        new = torch.ones_like(self.owner, dtype=torch.bool)
        new[1:] = self.owner[1:] != self.owner[:-1]
        return self.whole[new], new.cumsum(0) - 1

    def counts(self, prompts: int) -> Tensor:
        """Return how many passages each of the prompts has: (B,)."""
        return torch.bincount(self.owner, minlength=prompts)


def passage_starts(length: int, device: torch.device | None = None) -> Tensor:
    """Return where the passages of a prompt of 32 tokens or more start; the last one ends with the prompt."""
    last = length - PASSAGE
    return torch.tensor([*range(0, last, STEP), last], device=device)
