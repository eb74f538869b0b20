"""What a gate is taught with: unsafe states without their prompts, and harmless prompts of every length.

The states are means of a few prompts that are alike, so that no state is any one prompt's. Of the harmless prompts, long ones
are passages: they need no source activations, because they only say what is normal in the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import DataError
from ..statistics import principal_axes

if TYPE_CHECKING:
    from ..storage.prompt_files import Pair

ALIKE = 4  # docs/gate.md: means of four alike prompts cost nothing
EXAMPLES = 1800  # by hand; what a file holds of them
NEIGHBOUR_AXES = 64  # by hand
PASSAGE_BYTES = 320  # by hand


@dataclass(frozen=True, eq=False)
class GateExamples:
    """With d the width of a direction and N its anchors: `unsafe` (M, d) standardised states, each the mean of a few unsafe
    prompts, drawn with `weights` (M,); `hard` (N,) says which anchors talk harmlessly of what unsafe prompts talk of;
    `passages` are long harmless prompts.
    """

    unsafe: Tensor
    weights: Tensor
    hard: Tensor
    passages: tuple[str, ...]


def split_by_length(prompts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part harmless prompts into anchors and passages, those of 320 bytes and more (55 English words, 100 Chinese letters)."""
    anchors = [prompt for prompt in prompts if len(prompt.encode()) < PASSAGE_BYTES]
    return anchors, [prompt for prompt in prompts if len(prompt.encode()) >= PASSAGE_BYTES]


def gate_examples(unsafe: Tensor, pairs: Sequence[Pair], anchors: Sequence[str], passages: Sequence[str]) -> GateExamples:
    """Average standardised unsafe states (P, d) of pairs in groups of alike ones; every set of pairs counts the same.

    The larger a set, the more of the 1,800 groups are its own, by the square root of its size. Anchors that are the safe side
    of a pair are hard.
    """
    sets: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        sets.setdefault(pair.source, []).append(row)
    roots = {name: len(rows) ** 0.5 for name, rows in sets.items()}
    counts = {name: min(len(rows), round(EXAMPLES * roots[name] / sum(roots.values()))) for name, rows in sets.items()}
    groups = [_means_of_alike(unsafe[rows], counts[name]) for name, rows in sets.items()]
    weights = [torch.full((len(group),), 1 / len(group)) for group in groups]
    safe = {pair.safe for pair in pairs}
    return GateExamples(
        unsafe=torch.cat(groups),
        weights=torch.cat(weights),
        hard=torch.tensor([anchor in safe for anchor in anchors]),
        passages=tuple(passages),
    )


def _means_of_alike(states: Tensor, count: int) -> Tensor:
    """Return the means (count, d) of drawn rows of states (P, d) with their nearest ones."""
    if len(states) < ALIKE:
        raise DataError(f"Expected at least {ALIKE} pairs of every source, but one has {len(states)}. Add pairs.")
    drawn = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))[:count]
    centred = states - states.mean(0)
    along = centred @ principal_axes(centred, NEIGHBOUR_AXES)
    nearest = torch.cdist(along[drawn], along).topk(ALIKE, largest=False).indices
    return torch.stack([states[rows].mean(0) for rows in nearest])
