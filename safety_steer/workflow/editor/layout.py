"""Free room on the canvas: where a new node goes so that it hides nothing and lies where a person would put it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..graph import Graph, Json

TITLE = 30  # pixels of a title bar: litegraph's own
# Pixels between nodes, and of a step in the search for room, by hand.
GAP = 40
STEP = 40  # pixels
# By hand: how many steps around the wanted place are tried before the room below everything is taken.
REACH = 40
SPAN = 2 * REACH + 1
# The size taken for a node that saves none, in pixels, by hand.
SOMEWHERE = (210.0, 100.0)


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas, title bars included."""

    left: float
    top: float
    width: float
    height: float

    def meets(self, other: Box, gap: float = 0) -> bool:
        """Tell whether two boxes overlap, or come closer than `gap`."""
        return (
            self.left < other.left + other.width + gap
            and other.left < self.left + self.width + gap
            and self.top < other.top + other.height + gap
            and other.top < self.top + self.height + gap
        )

    def holds(self, other: Box) -> bool:
        """Tell whether the other box lies within this one."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.left + other.width <= self.left + self.width
            and other.top + other.height <= self.top + self.height
        )


def node_box(node: Json) -> Box:
    """Return the room a node takes, with its title."""
    left, top = _pair(node.get("pos"), (0.0, 0.0))
    width, height = _pair(node.get("size"), SOMEWHERE)
    return Box(left, top - TITLE, width, height + TITLE)


def left_of(node: Json, size: tuple[int, int]) -> tuple[float, float]:
    """Return the position of a new node beside another, before it on the wire."""
    box = node_box(node)
    return box.left - size[0] - GAP, box.top + TITLE


def below(node: Json) -> tuple[float, float]:
    """Return the position of a new node under another."""
    box = node_box(node)
    return box.left, box.top + box.height + TITLE + GAP


def right_of_entry(graph: Graph) -> tuple[float, float]:
    """Return the position of a new node beside the inputs of a subgraph."""
    box = next(_ends(graph), Box(0, 0, 0, 0))
    return box.left + box.width + GAP, box.top + box.height + TITLE + GAP


def find_room(
    graph: Graph,
    wanted: tuple[float, float],
    size: tuple[int, int],
    beside: Json | None,
    known: Sequence[Box] | None = None,
) -> tuple[int, int]:
    """Return the free position nearest to the wanted one for a node of this size.

    No node, and no group that `beside` is not in, is touched; a group that it is in holds the new node or is left alone.
    `known` are the boxes of the graph's nodes, for a caller that keeps them.
    """
    taken = [*(boxes(graph) if known is None else known), *_ends(graph)]
    groups = [_box(group.get("bounding")) for group in graph.data.get("groups") or [] if isinstance(group, dict)]
    home = node_box(beside) if beside else None
    apart, tries = Tries(wanted, size, GAP / 2), Tries(wanted, size, 0)
    blocked = [0] * SPAN
    for other in taken:
        columns, rows = apart.meeting(other)
        for row in rows:
            blocked[row] |= _bits(columns)
    for group in groups:
        columns, rows = tries.meeting(group)
        within, inner = tries.held_by(group) if home is not None and group.meets(home) else (range(0), range(0))
        for row in rows:
            blocked[row] |= _bits(columns) & ~(_bits(within) if row in inner else 0)
    for column, row in _around():
        if not blocked[row] >> column & 1:
            return round(tries.lefts[column]), round(tries.tops[row] + TITLE)
    bottom = max((box.top + box.height for box in (*taken, *groups)), default=0.0)
    return round(wanted[0]), round(bottom + TITLE + GAP)


def boxes(graph: Graph) -> list[Box]:
    """Return the room that each node of a graph takes."""
    return [node_box(node) for node in graph.nodes.values()]


class Tries:
    """The places tried for a new node, as columns and rows around the wanted one, title bars included.

    A box meets the places of some columns and rows that follow each other, and holds others: a few searches in sorted lists
    take the place of a comparison with each of them.
    """

    def __init__(self, wanted: tuple[float, float], size: tuple[int, int], gap: float) -> None:
        """Lay out the places; they are apart from a box when there is more than `gap` between them."""
        self.gap = gap
        self.lefts = [wanted[0] + step * STEP for step in range(-REACH, REACH + 1)]
        self.tops = [wanted[1] + step * STEP - TITLE for step in range(-REACH, REACH + 1)]
        self.rights = [left + size[0] + gap for left in self.lefts]
        self.bottoms = [top + (size[1] + TITLE) + gap for top in self.tops]

    def meeting(self, box: Box) -> tuple[range, range]:
        """Return the columns and the rows of the places that are not apart from a box."""
        return (
            range(bisect_right(self.rights, box.left), bisect_left(self.lefts, box.left + box.width + self.gap)),
            range(bisect_right(self.bottoms, box.top), bisect_left(self.tops, box.top + box.height + self.gap)),
        )

    def held_by(self, box: Box) -> tuple[range, range]:
        """Return the columns and the rows of the places that lie within a box."""
        return (
            range(bisect_left(self.lefts, box.left), bisect_right(self.rights, box.left + box.width)),
            range(bisect_left(self.tops, box.top), bisect_right(self.bottoms, box.top + box.height)),
        )


def _bits(columns: range) -> int:
    return (1 << columns.stop) - (1 << columns.start) if columns else 0


def _ends(graph: Graph) -> Iterator[Box]:
    """Yield the boxes of a subgraph's inputs and outputs."""
    for name in ("inputNode", "outputNode"):
        end = graph.data.get(name)
        if isinstance(end, dict) and isinstance(end.get("bounding"), list):
            yield _box(end["bounding"])


@lru_cache(maxsize=1)
def _around() -> Sequence[tuple[int, int]]:
    """Return columns and rows of the places to try, nearest first; at the same distance, up and left come first."""
    span = range(-REACH, REACH + 1)
    steps = sorted(((right, down) for right in span for down in span), key=lambda step: (math.hypot(*step), step[1], step[0]))
    return [(right + REACH, down + REACH) for right, down in steps]


def _box(values: Any) -> Box:
    numbers = _numbers(values)
    return Box(*numbers[:4]) if len(numbers) >= 4 else Box(0, 0, 0, 0)


def _pair(values: Any, otherwise: tuple[float, float]) -> tuple[float, float]:
    numbers = _numbers(values)
    return (numbers[0], numbers[1]) if len(numbers) >= 2 else otherwise


def _numbers(values: Any) -> list[float]:
    """Read a list of numbers, also one that was saved as an object with the keys "0", "1", ..."""
    items = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else []
    return [float(item) for item in items if isinstance(item, int | float) and math.isfinite(item)]
