"""Passages: sixteen tokens in a row, every four tokens, of a prompt that is long enough to hold some harmless and some not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PASSAGE = 16
STEP = 4
LONG = 32


@dataclass(frozen=True, eq=False)
class Passages:
    """Means of passages (W, D) of some prompts: `owner` (W,) is a passage's prompt, `starts` (W,) the place of its first token
    among that prompt's real ones, `whole` (W, D) the mean of all its prompt's tokens.
    """

    means: Tensor
    whole: Tensor
    owner: Tensor
    starts: Tensor

    def counts(self, prompts: int) -> Tensor:
        """Return how many passages each of the prompts has: (B,)."""
        return torch.bincount(self.owner, minlength=prompts)


def cut(prompts: list[Tensor]) -> Passages:
    """Cut prompts, each given by its real tokens (T_i, D), into passages; prompts of fewer than 32 tokens have none."""
    means, whole, owner, starts = [], [], [], []
    for number, rows in enumerate(prompts):
        if len(rows) < LONG:
            continue
        first = passage_starts(len(rows), rows.device)
        sums = torch.cat([rows.new_zeros(1, rows.shape[1], dtype=torch.float32), rows.float().cumsum(0)])
        means.append((sums[first + PASSAGE] - sums[first]) / PASSAGE)
        whole.append((sums[-1] / len(rows)).expand(len(first), -1))
        owner.append(torch.full_like(first, number))
        starts.append(first)
    if not means:
        width = prompts[0].shape[-1] if prompts else 0
        device = prompts[0].device if prompts else torch.device("cpu")
        nothing, none = torch.zeros(0, width, device=device), torch.zeros(0, dtype=torch.long, device=device)
        return Passages(nothing, nothing, none, none)
    return Passages(torch.cat(means), torch.cat(whole), torch.cat(owner), torch.cat(starts))


def passage_starts(length: int, device: torch.device | None = None) -> Tensor:
    """Return where the passages of a prompt of 32 tokens or more start; the last one ends with the prompt."""
    last = length - PASSAGE
    return torch.tensor([*range(0, last, STEP), last], device=device)
