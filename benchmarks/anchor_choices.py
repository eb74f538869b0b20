"""Ways to choose some anchors of a direction by what it holds of them: all rows in an order whose first ones are chosen.

None reads the target. Hard anchors (harmless ones that talk of dangers) and ordinary ones are ordered apart, and each keep
their share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.representative import facilities, flattened, similarities

RIDGE = 0.3  # of the mean leverage, for the determinant that leverage is greedy in
BYTES_A_TOKEN, ENDS = 4.5, 2  # what a prompt costs where the target's tokenizer is not known


@dataclass(frozen=True, eq=False)
class Rows:
    """Anchors of one kind: the source's `states` (N, d), these `flat` as clusters are found in (N, r), and `tokens` (N,)."""

    states: Tensor
    flat: Tensor
    tokens: Tensor
    seed: int


def as_they_come(rows: Rows) -> Sequence[int]:
    """Keep the file's order, which is a fair mix."""
    return range(len(rows.states))


def drawn(rows: Rows) -> Sequence[int]:
    """Draw by the seed."""
    return random.Random(rows.seed).sample(range(len(rows.states)), len(rows.states))


def clusters(rows: Rows) -> Sequence[int]:
    """Take the row that brings the others most nearness to what is chosen (facility location)."""
    return facilities(similarities(rows.flat), len(rows.flat))


def clusters_of_whole_states(rows: Rows) -> Sequence[int]:
    """Do so by the angles between whole states."""
    return facilities(similarities(rows.states), len(rows.states))


def clusters_for_tokens(rows: Rows) -> Sequence[int]:
    """Take the row that brings the others most nearness for each of its tokens."""
    alike = similarities(rows.flat)
    best, chosen = alike.new_zeros(len(alike)), list[int]()
    for _ in range(len(alike)):
        adds = (alike - best).clamp_(min=0).sum(1) / rows.tokens
        adds[chosen] = -1
        chosen.append(int(adds.argmax()))
        best = torch.maximum(best, alike[chosen[-1]])
    return chosen


def leverage(rows: Rows) -> Sequence[int]:
    """Take the row that the ridge regression on those before knows least: pivoted Cholesky of the Gram matrix."""
    states = rows.states - rows.states.mean(0)
    gram = states @ states.T
    ridge = RIDGE * gram.diagonal().mean()
    left, factors, chosen = gram.diagonal().clone(), torch.zeros_like(gram), list[int]()
    for step in range(len(gram)):
        row = int(left.index_fill(0, torch.tensor(chosen, dtype=torch.long), -torch.inf).argmax())
        chosen.append(row)
        factors[:, step] = (gram[:, row] - factors[:, :step] @ factors[row, :step]) / (left[row].clamp(min=0) + ridge).sqrt()
        left = left - factors[:, step].square()
    return chosen


def far_apart(rows: Rows) -> Sequence[int]:
    """Take the row farthest from those before (k-center), beginning in the middle."""
    flat = rows.flat - rows.flat.mean(0)
    chosen = [int(flat.norm(dim=1).argmin())]
    near = (flat - flat[chosen[0]]).norm(dim=1)
    while len(chosen) < len(flat):
        near[chosen] = -1
        chosen.append(int(near.argmax()))
        near = torch.minimum(near, (flat - flat[chosen[-1]]).norm(dim=1))
    return chosen


def without_doubles(rows: Rows) -> Sequence[int]:
    """Drop the longer of the two most alike rows, again and again; last dropped comes first."""
    alike, dropped = similarities(rows.states).fill_diagonal_(-1), list[int]()
    while len(dropped) < len(alike) - 1:
        pair = divmod(int(alike.argmax()), len(alike))
        dropped.append(max(pair, key=lambda row: float(rows.tokens[row])))
        alike[dropped[-1]], alike[:, dropped[-1]] = -1, -1
    return [*set(range(len(alike))).difference(dropped), *reversed(dropped)]


WAYS: dict[str, Callable[[Rows], Sequence[int]]] = {
    "as they come": as_they_come,
    "drawn": drawn,
    "clusters": clusters,
    "clusters of whole states": clusters_of_whole_states,
    "clusters for tokens": clusters_for_tokens,
    "leverage": leverage,
    "far apart": far_apart,
    "without doubles": without_doubles,
}


def chosen(direction: SafetyDirection, way: str, share: float, seed: int = 0) -> list[int]:
    """Return a share of the anchors' rows, ascending, by one of the ways."""
    assert direction.examples is not None
    states, hard = direction.anchor_activations.float(), direction.examples.hard
    flat = flattened(states)
    tokens = torch.tensor([ENDS + len(text.encode()) / BYTES_A_TOKEN for text in direction.anchors])
    found: list[int] = []
    for kind in (hard, ~hard):
        rows = kind.nonzero()[:, 0]
        order = WAYS[way](Rows(states[rows], flat[rows], tokens[rows], seed))
        found += rows[list(order)[: round(share * len(rows))]].tolist()
    return sorted(found)
