"""Fewer anchors that stand for all of them: a greedy choice of rows by what the source model says, none by the target.

Facility location (Nemhauser, Wolsey and Fisher 1978): rows S are worth the sum over all rows i of max over s in S of
similarity(i, s), and the next row is always the one that adds most. What it adds only shrinks as S grows, so that most of
the rows need not be looked at again at every step (Minoux 1978).
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

from ..fast_products import fast_products
from ..statistics import principal_axes

AXES = 128  # by hand
LEVELS = 1024  # by hand; similarities are whole numbers up to this, so that their sums are exact
BLOCK = 2048  # by hand; rows compared with one another: 16 MiB, and sums of similarities below 2**24


def representative(states: Tensor, kinds: Tensor, count: int) -> list[int]:
    """Return `count` rows of states (N, d), ascending, that stand for all; each of the `kinds` (N,) keeps its share of rows."""
    rows_of = [(kinds == kind).nonzero()[:, 0] for kind in kinds.unique()]
    blocks = [rows[first :: -(-len(rows) // BLOCK)] for rows in rows_of for first in range(-(-len(rows) // BLOCK))]
    seen, left, chosen = flattened(states), len(states), list[int]()
    for rows in blocks:
        share = round((count - len(chosen)) * len(rows) / left)
        left -= len(rows)
        chosen += rows[facilities(similarities(seen[rows]), share)].tolist()
    return sorted(chosen)


def flattened(states: Tensor) -> Tensor:
    """Return rows (N, d) along their leading 128 principal axes (N, r), each divided by the root of its deviation.

    The widest few axes would otherwise say alone which rows are alike, and fully whitened ones would all say as much.
    """
    rows = states.float()
    rows = rows - rows.mean(0)
    with fast_products(rows.device):
        rows = rows @ principal_axes(rows, AXES)
    return rows / rows.std(0).sqrt().clamp(min=1e-6)


def similarities(rows: Tensor) -> Tensor:
    """Return how alike rows (N, r) are, by the angle between them around their mean: (N, N), whole numbers from 0 to 1,024."""
    rows = normalize(rows - rows.mean(0), dim=1)
    return (rows @ rows.T).add_(1).mul_(LEVELS / 2).round_().clamp_(0, LEVELS)


def facilities(alike: Tensor, count: int) -> list[int]:
    """Return the first `count` rows of the greedy order for similarities (N, N); of equal ones the first."""
    table = alike.numpy()
    best, chosen = np.zeros(len(table), table.dtype), list[int]()
    most = [(-float(adds), row) for row, adds in enumerate(table.sum(0))]
    heapify(most)
    while len(chosen) < count:
        known, row = most[0]
        adds = float(np.maximum(table[row] - best, 0).sum())
        if -adds != known:
            heapreplace(most, (-adds, row))
            continue
        heappop(most)
        chosen.append(row)
        np.maximum(best, table[row], out=best)
    return chosen
