"""Refusal at run time: the prober reads the first pass over a request, and its verdict holds until the answer is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..extraction.layer_hooks import watched
from .head import RefusalHead
from .language_model import LanguageModel


class Guard:
    """The gate alpha(s) of a batch of requests, and what it does to the states that the output head reads.

    `scores` (B,) are the prober's, `open` (B,) says where they reach `threshold`; both are None until `read`.
    `strength` is eps. Raises DataError for a strength or threshold out of range.
    """

    def __init__(self, head: RefusalHead, strength: float | None = None, threshold: float | None = None) -> None:
        """Take eps and tau from the file where none are given."""
        self.head = head
        self.strength = head.strength if strength is None else strength
        self.threshold = head.threshold if threshold is None else threshold
        self.scores: Tensor | None = None
        self.open: Tensor | None = None
        self._steer: Tensor | None = None
        head.check_settings(self.strength, self.threshold)

    def begins(self, tokens: int) -> bool:
        """Say whether a pass over so many tokens begins new requests; one of a single token goes on with those read."""
        return tokens > 1 or self.open is None

    def read(self, _: int, states: Tensor) -> None:
        """Judge requests by the states (B, T, d) of the prober's layer in a pass that begins them; others it leaves alone.

        The last of the T tokens has to be each request's last. Raises MismatchError for states of another width.
        """
        if self.begins(states.shape[1]):
            self.scores = self.head.prober.scores(states[:, -1])
            self.open = self.scores >= self.threshold

    def change(self, hidden: Tensor) -> Tensor:
        """Return H + eps alpha H W^T for what the output head reads, (B, T, d).

        With strength 0 or every gate closed that is the very tensor that came in, and the rows of closed gates are copied
        bit for bit. W is applied in the dtype at hand.
        """
        if self.open is None or self.strength == 0 or not bool(self.open.any()):
            return hidden
        opened = self.open.to(hidden.device)
        chosen = hidden[opened]
        changed = hidden.clone()
        if self._steer is None or self._steer.dtype != chosen.dtype or self._steer.device != chosen.device:
            self._steer = self.head.steer.to(chosen)  # kept, since a large W would cross to the GPU for every token
        changed[opened] = chosen + self.strength * (chosen @ self._steer.T)
        return changed


@contextmanager
def refusing(
    model: LanguageModel, head: RefusalHead, strength: float | None = None, threshold: float | None = None
) -> Iterator[Guard]:
    """Let a model refuse while the context is open: hooks on a block and on the output head, taken off at its end.

    Requests have to be padded on the left. Raises MismatchError for a model that the file was not made for.
    """
    check(model, head)
    guard = Guard(head, strength, threshold)

    def before_head(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        changed = guard.change(args[0])
        return None if changed is args[0] else (changed, *args[1:])

    handle = model.head.register_forward_pre_hook(before_head)
    try:
        with watched(model.text.blocks, [head.layer], guard.read):
            yield guard
    finally:
        handle.remove()


def check(model: LanguageModel, head: RefusalHead) -> None:
    """Raise MismatchError for a model that the file was not made for."""
    table: Any = model.causal.get_input_embeddings()
    head.check_model(model.text.identity.width, model.text.identity.depth, embedding_rows(table, head.tokens, model.device))


def embedding_rows(table: Callable[[Tensor], Tensor], tokens: Tensor, device: torch.device) -> Tensor:
    """Return the embeddings (n, d) of token numbers; numbers that a smaller vocabulary lacks give zeros, no model's row."""
    count: Any = getattr(getattr(table, "weight", None), "shape", None)
    known = tokens < count[0] if count is not None else torch.ones_like(tokens, dtype=torch.bool)
    with torch.inference_mode():
        rows = table(torch.where(known, tokens, 0).to(device)).float().cpu()
    return rows * known[:, None]
