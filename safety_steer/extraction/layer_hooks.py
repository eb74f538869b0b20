"""Hooks that keep hidden states the moment they exist, and end the forward pass after the last one that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class EverythingKept(Exception):  # noqa: N818 - it is no error
    """Ends a forward pass: whoever runs the model in `captured` catches it."""


@contextmanager
def captured(blocks: nn.ModuleList, layers: Sequence[int], reduce: Callable[[Tensor], Tensor]) -> Iterator[dict[int, Tensor]]:
    """Collect reduced inputs of the wanted blocks while the context is open, and raise EverythingKept in the pass when all are
    there. The state after the last block is no block's input: where that is wanted too, the pass runs to its end.
    """
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kept[layer] = reduce(args[0] if args else kwargs["hidden_states"])
            if kept.keys() >= set(layers):
                raise EverythingKept

        return hook

    wanted = [layer for layer in set(layers) if layer < len(blocks)]
    handles = [blocks[layer].register_forward_pre_hook(keep(layer), with_kwargs=True) for layer in wanted]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
