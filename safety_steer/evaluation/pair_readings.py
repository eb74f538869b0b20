"""What a direction reads in both sides of pairs, window by window: some numbers a prompt, wherever the prompt is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ..alignment.anchors import PROBE_COUNT, check_source, encode_anchors, source_activations
from ..alignment.target_layer import stored_layer
from ..directions.aligned import AlignedDirection
from ..directions.any_direction import load_any
from ..directions.pooling import pool
from ..directions.source import SafetyDirection
from ..extraction.shards import Source, loaded, what_decides
from ..extraction.text_model import Progress, TextModel, token_states
from ..runners.by_value import ByValue
from ..runners.runner import Here, Runner
from ..statistics import PairScore, score_pairs
from ..steering.gate import FALSE_POSITIVE_RATE, gate_threshold, open_gate
from ..storage.kept_parts import KeptParts, key_of

Direction = SafetyDirection | AlignedDirection
Reader = Callable[[Sequence[str], Progress | None], "Readings"]
TENSORS = ("readings", "gate", "threshold")


@dataclass(frozen=True)
class Window:
    """Prompts to read with the direction in a file; the path of the file is the same on all computers."""

    source: Source
    direction: str
    prompts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Readings:
    """What a direction reads in N prompts: (N, K), + is safer, column 0 global; the gate's scores (N,) and its threshold ()."""

    readings: Tensor
    gate: Tensor
    threshold: Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process by value."""
        return _unpacked, (ByValue({name: getattr(self, name) for name in TENSORS}),)


def _unpacked(found: Mapping[str, Tensor]) -> Readings:
    return Readings(*(found[name] for name in TENSORS))


def read_window(window: Window, progress: Progress | None = None) -> Readings:
    """Encode a window and read it; raises MismatchError for a model that is not the direction's own."""
    torch.set_num_threads(window.source.threads)
    return _reader(window.source, window.direction)(window.prompts, progress)


@lru_cache(maxsize=1)
def _reader(source: Source, direction: str) -> Reader:
    return reader_of(load_any(direction), loaded(source))


def read_all(
    windows: Iterable[Window], runner: Runner, kept: KeptParts, progress: Progress | None = None
) -> Iterator[tuple[int, Readings]]:
    """Yield every window's number with its readings, in any order; windows that are kept are not read again."""
    keys: dict[int, str] = {}
    known: dict[int, Readings] = {}
    numbers: list[int] = []

    def missing() -> Iterator[Window]:
        for number, window in enumerate(windows):
            key = _key(window) if kept.folder is not None else ""
            if (found := kept.read(key, TENSORS)) is not None:
                known[number] = _unpacked(found)
                continue
            keys[number] = key
            numbers.append(number)
            yield window

    # Only this process has a terminal to draw on.
    task = partial(read_window, progress=progress) if isinstance(runner, Here) else read_window
    for place, made in runner.run(task, missing()):
        number = numbers[place]
        kept.write(keys.pop(number), {name: getattr(made, name) for name in TENSORS})
        yield number, made
        while known:
            yield known.popitem()
    yield from known.items()


def _key(window: Window) -> str:
    return key_of(*what_decides(window.source), _hash_of(window.direction), window.prompts)


@lru_cache(maxsize=1)
def _hash_of(direction: str) -> str:
    return load_any(direction).content_hash


def reader_of(direction: Direction, model: TextModel) -> Reader:
    """Return what reads prompts with a direction; raises MismatchError for a model that is not the direction's own."""
    if isinstance(direction, SafetyDirection):
        check_source(direction, model)
        return lambda texts, progress: read_source(direction, source_activations(direction, model, texts, progress))
    layer = stored_layer(direction, model)
    probes = encode_anchors(model, direction.probe_prompts, layer)["cross_attn"].pooled[:PROBE_COUNT]
    direction.check_encoder("cross_attn", probes)
    return lambda texts, progress: read_aligned(direction, token_states(model, texts, layer, progress=progress))


def read_source(direction: SafetyDirection, activations: Tensor) -> Readings:
    """Read raw source activations (N, d); the gate is the global probe."""
    benign = direction.anchor_activations.double() @ direction.probe_weights[0].double() + direction.probe_biases[0]
    threshold = torch.quantile(benign, 1 - FALSE_POSITIVE_RATE)
    return Readings(direction.score(activations), direction.probe(activations)[:, 0], threshold)


def read_aligned(direction: AlignedDirection, states: Sequence[Tensor]) -> Readings:
    """Read target states (T_i, D) of prompts, in the first text space."""
    space = next(iter(direction.spaces.values()))
    readings = torch.cat([space.safe_score(pool(rows[None])) for rows in states])
    gate = torch.cat([open_gate(rows[None], space).scores for rows in states])
    return Readings(readings, gate, torch.tensor(gate_threshold(space), dtype=torch.float64))


def score_windows(parts: Sequence[Readings], pair_categories: Sequence[str], categories: Sequence[str]) -> PairScore:
    """Score windows of pairs, each with its safe sides first."""
    readings = [part.readings.chunk(2) for part in parts]
    gates = [part.gate.chunk(2) for part in parts]
    safe, unsafe = (torch.cat([halves[side] for halves in readings]) for side in (0, 1))
    gate_safe, gate_unsafe = (torch.cat([halves[side] for halves in gates]) for side in (0, 1))
    return score_pairs(safe, unsafe, categories, pair_categories, gate_safe, gate_unsafe, float(parts[0].threshold))
