"""Hooks that keep hidden states the moment they exist, and end the forward pass after the last one that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class EverythingKept(Exception):  # noqa: N818 - it is no error
    """Ends a forward pass: whoever runs the model in `captured` catches it."""


@contextmanager
def watched(
    blocks: nn.ModuleList, layers: Iterable[int], see: Callable[[int, Tensor], None], name: str = "hidden_states"
) -> Iterator[None]:
    """Call `see(layer, states)` with what goes into each wanted block while the context is open; `name` is that input's name in
    models that hand it on by name.
    """

    def hook_of(layer: int) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            see(layer, args[0] if args else kwargs[name])

        return hook

    wanted = [(layer, blocks[layer]) for layer in set(layers)]
    handles = [block.register_forward_pre_hook(hook_of(layer), with_kwargs=True) for layer, block in wanted]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def captured(blocks: nn.ModuleList, layers: Sequence[int], reduce: Callable[[Tensor], Tensor]) -> Iterator[dict[int, Tensor]]:
    """Collect reduced inputs of the wanted blocks while the context is open, and raise EverythingKept in the pass when all are
    there. The state after the last block is no block's input: where that is wanted too, the pass runs to its end.
    """
    kept: dict[int, Tensor] = {}

    def keep(layer: int, states: Tensor) -> None:
        kept[layer] = reduce(states)
        if kept.keys() >= set(layers):
            raise EverythingKept

    with watched(blocks, (layer for layer in layers if layer < len(blocks)), keep):
        yield kept
