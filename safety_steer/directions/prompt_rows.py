"""Rows of prompts: tensors of one entry may hold different numbers of them, which ComfyUI repeats in turn up to the batch.

Two texts with one pooled state, or one text with two, are sampled: row r of a batch reads row r modulo their number of each. So
do steering and reports: every tensor is read as often repeated as lets all of them begin anew together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ..errors import MismatchError

MOST_ROWS = 256  # by hand; against numbers of rows that share no divisor


def common_rows(counts: Mapping[str, int]) -> int:
    """Return the number of rows after which all tensors of an entry have been repeated whole times, by their `counts` of rows.

    Raises MismatchError for a tensor without rows, and for numbers so odd that more than 256 rows would be made of fewer.
    """
    rows = math.lcm(*counts.values())
    if rows == 0 or rows > max(MOST_ROWS, *counts.values()):
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise MismatchError(
            f"Expected one row of text and of pooled text for each prompt, or one that holds for all of them, but {told}. "
            "Look at the node that made this conditioning; CLIP Text Encode makes one row of each."
        )
    return rows


def repeated(tensor: Tensor, rows: int) -> Tensor:
    """Return a tensor (B, ...) repeated in turn to `rows` rows, a multiple of B; the very tensor when it has as many."""
    return tensor if len(tensor) == rows else tensor.repeat(rows // len(tensor), *[1] * (tensor.ndim - 1))


def side_by_side(first: Tensor, second: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """Return two tensors of an entry, each repeated to the rows of both; the very tensors when they have as many."""
    rows = common_rows({names[0]: len(first), names[1]: len(second)})
    return repeated(first, rows), repeated(second, rows)
