"""Which states of a source model a direction can be made from: those that are finite, and differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import EncoderError


def all_alike(rows: Tensor, *more: Tensor) -> bool:
    """Say whether all rows (N, d), of several such tensors too, are the same."""
    return all(bool((part == rows[:1]).all()) for part in (rows, *more))


def check_finite(activations: Tensor, layers: Sequence[int]) -> None:
    """Raise EncoderError, naming the layers, for activations (N, L, D) that are NaN or infinite."""
    broken = [layer for index, layer in enumerate(layers) if not bool(torch.isfinite(activations[:, index]).all())]
    if broken:
        raise EncoderError(
            f"The source model gives NaN or Inf at layer {', '.join(map(str, broken))}. Load it in another precision, or "
            "choose other layers."
        )


def check_differing(safe: Tensor, unsafe: Tensor, benign: Tensor, categories: Mapping[str, Sequence[int]]) -> None:
    """Raise EncoderError when states (N, d), (N, d) and (M, d) tell nothing: the same for all prompts, or for both sides of all
    pairs of a category, given the rows of each.
    """
    if all_alike(benign) or all_alike(safe, unsafe):
        raise EncoderError(
            "The source model gives the same states for every prompt: there is nothing to make a direction from. Choose other "
            "layers or another pooling, or another model."
        )
    same = [name for name, rows in categories.items() if torch.equal(safe[rows], unsafe[rows])]
    if same:
        raise EncoderError(
            f"The source model gives the same states for both sides of every pair of {', '.join(same)}: there is nothing to "
            "make a direction from. Choose other layers or another pooling, or change these pairs."
        )
