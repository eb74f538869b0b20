"""Prompts of a wide space, taken one after another and kept as coordinates in its span."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..directions.passages import Passages
from ..directions.pooling import cut
from . import wide
from .span import Reduced, Span

FIRST, FIRST_BYTES = 1280, 2**28  # by hand; results/align_memory.json has what it takes, as for the next two
WAITING_BYTES = 2**25  # by hand
MOST_PASSAGES = 8192  # by hand
FEWEST_ROWS = 40  # by hand; of a prompt beyond the budget, which are enough to have passages


def first_prompts(width: int, spaces: int) -> int:
    """Return how many prompts name the axes: 1,280, or those that weigh 256 MiB in all wide spaces together."""
    return min(FIRST, max(wide.FEWEST, FIRST_BYTES // (4 * width * spaces)))


class Reducer:
    """Gathers `count` prompts, along the axes of a given span or of one that the first prompts name.

    Token states and full pooled states are kept of the first prompts, as many as `budget` bytes of tokens allow and at least
    `fewest`. Passages come from all prompts once the span is known, and from those with token states before.
    """

    def __init__(self, count: int, width: int, span: Span | None, spaces: int, budget: int, fewest: int) -> None:
        """Start with no prompts; `spaces` says how many wide spaces share the memory."""
        self.seen = 0
        self.tokens: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._span, self._left, self._fewest = span, budget, fewest
        self._first = torch.empty(min(count, first_prompts(width, spaces)) if span is None else 0, width)
        self._lengths = torch.zeros(0, dtype=torch.float64)
        self._closed = False
        self._pooled, self._passages = _Queue(width), _Queue(width)
        self._owner: list[int] = []

    def add(self, means: Sequence[Tensor], tokens: Sequence[Tensor]) -> None:
        """Take the pooled states (D,) of some prompts and their real tokens (T_i, D)."""
        for mean, rows in zip(means, tokens, strict=True):
            self._keep(mean, rows)
            if self._span is None:
                self._first[self.seen] = mean
            else:
                self._pooled.add(mean[None], self._span)
                self._cut(self.seen, rows, self._span)
            self.seen += 1
            if self._span is None and self.seen == len(self._first):
                self._settle()

    def result(self) -> tuple[Tensor, Reduced]:
        """Return pooled states (K, D) of the prompts whose tokens are kept, and all of them reduced."""
        span = self._settle() if self._span is None else self._span
        pooled, means = self._pooled.coordinates(span), self._passages.coordinates(span)
        if len(self._lengths):
            middle = pooled.mean(0)
            span, pooled, means = span.centred(middle), pooled - middle, means - middle
        kept = torch.stack(self._kept) if self._kept else torch.zeros(0, span.axes.shape[1])
        owner = torch.tensor(self._owner, dtype=torch.long)
        return kept, Reduced(span, pooled, Passages(means, pooled[owner], owner, torch.zeros_like(owner)), self._lengths)

    def _keep(self, mean: Tensor, rows: Tensor) -> None:
        over = 2 * rows.numel() > self._left
        self._closed = self._closed or (over and len(self.tokens) >= self._fewest)
        if not self._closed:
            self.tokens.append(rows[:FEWEST_ROWS].clone() if over else rows)
            self._kept.append(mean.clone())
            self._left -= 2 * self.tokens[-1].numel()

    def _settle(self) -> Span:
        """Name the axes by the first prompts, and let go of these."""
        first = self._first[: self.seen]
        self._span = span = Span.around(first)
        self._lengths = wide.lengths(first, span.mean)
        self._pooled.add(first, span)
        self._first = first[:0].clone()
        for number, rows in enumerate(self.tokens):
            self._cut(number, rows, span)
        return span

    def _cut(self, number: int, rows: Tensor, span: Span) -> None:
        if len(self._owner) < MOST_PASSAGES:
            means = cut([rows]).means
            self._owner += [number] * len(means)
            self._passages.add(means, span)


class _Queue:
    """States that wait to be brought into a span together, which costs less than one by one.

    They are copied into one block: states of prompts that are held between others scatter the memory, which grows and grows.
    """

    def __init__(self, width: int) -> None:
        """Start with nothing."""
        self._waiting = torch.empty(max(1, WAITING_BYTES // (4 * width)), width)
        self._filled = 0
        self._done: list[Tensor] = []

    def add(self, rows: Tensor, span: Span) -> None:
        """Take states (M, D)."""
        while len(rows):
            part = rows[: len(self._waiting) - self._filled]
            self._waiting[self._filled : self._filled + len(part)] = part
            self._filled, rows = self._filled + len(part), rows[len(part) :]
            if self._filled == len(self._waiting):
                self._flush(span)

    def coordinates(self, span: Span) -> Tensor:
        """Return the coordinates of all of them: (N, r)."""
        self._flush(span)
        return torch.cat(self._done)

    def _flush(self, span: Span) -> None:
        self._done.append(span.coordinates(self._waiting[: self._filled]))
        self._filled = 0
