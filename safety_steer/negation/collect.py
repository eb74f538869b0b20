"""Record what goes into linear layers while a model reads safe and unsafe samples, as sums over tokens: no state is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from ..errors import DataError
from ..extraction.layer_hooks import watched
from ..extraction.text_model import Progress
from .scores import InputStats, input_stats, together

T = TypeVar("T")
Rows = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Recorded:
    """What went into each layer in safe and in unsafe samples; sample k of both sides is a pair."""

    safe: Mapping[str, InputStats]
    unsafe: Mapping[str, InputStats]


def record_pairs(
    layers: Mapping[str, nn.Module],
    pairs: Sequence[tuple[T, T]],
    read: Callable[[T], Rows],
    progress: Progress | None = None,
) -> Recorded:
    """Read both sides of pairs (safe, unsafe), and record what goes into the layers.

    `read` runs the model on one sample; what it gives back takes a layer's inputs (1, T, d) or (T, d), and returns the rows
    (T, d) that are the sample's own, without padding. A layer that some sample does not reach, such as one of a vision part, is
    left out. Raises DataError when no layer was reached, or there are no pairs.
    """
    sides: tuple[list[dict[str, InputStats]], list[dict[str, InputStats]]] = ([], [])
    for done, pair in enumerate(pairs, start=1):
        for found, sample in zip(sides, pair, strict=True):
            found.append(_record(layers, sample, read))
        if progress is not None:
            progress(done, len(pairs))
    both = [*sides[0], *sides[1]]
    reached = [name for name in layers if both and all(name in one for one in both)]
    if not reached:
        raise DataError(f"None of {len(layers)} layers read any of {len(sides[0])} pairs. Choose other layers, or give pairs.")
    safe, unsafe = ({name: together([one[name] for one in side]) for name in reached} for side in sides)
    return Recorded(safe, unsafe)


def _record(layers: Mapping[str, nn.Module], sample: T, read: Callable[[T], Rows]) -> dict[str, InputStats]:
    """Run one sample; of a layer that runs several times, the first run counts."""
    names: Sequence[str] = list(layers)
    seen: dict[str, Tensor] = {}

    def see(number: int, inputs: Tensor) -> None:
        if names[number] not in seen:
            seen[names[number]] = inputs.detach()

    with watched(nn.ModuleList(layers.values()), range(len(names)), see, "input"):
        rows = read(sample)
    return {name: input_stats(rows(inputs)) for name, inputs in seen.items()}
