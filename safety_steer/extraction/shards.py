"""Encoding in parts: prompts are cut where batches end, so that every part gives the very bits of encoding them all at once.

A `ShardedModel` stands where a `TextModel` does; `pooled_activations` and `states_in_batches` of it run in parts, and keep each
part in a folder where one is given, for a second run to go on from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..runners.by_value import ByValue
from ..runners.runner import Runner
from ..storage.kept_parts import KeptParts, key_of
from ..version import __version__
from .batching import batches
from .text_model import (
    Progress,
    StatesOfRows,
    TextModel,
    load_text_model,
    pooled_activations,
    states_in_batches,
    token_budget,
    token_ids,
)

PART_BATCHES = 2  # by hand; a window of anchors is some parts, and a part far more work than handing it out
SAMPLE_BYTES = 2**20  # by hand; of each end of a weights file, which names a model


@dataclass(frozen=True)
class Source:
    """How a worker loads the model: as `load_text_model` is told, with as many threads as decide the last bits of sums."""

    path: str
    device: str
    dtype: str
    threads: int


@dataclass(frozen=True)
class Part:
    """Prompts to encode: their means at layers, or with no pooling the token states of one layer, `rounded` or not."""

    source: Source
    layers: tuple[int, ...]
    pooling: str
    batch_tokens: int
    rounded: bool
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ShardedModel(TextModel):
    """A text model whose prompts are encoded in parts by a runner; what is kept is not encoded again."""

    source: Source
    runner: Runner
    kept: KeptParts


def source_of(path: str, device: str, dtype: str) -> Source:
    """Return what workers need to load a model as this process would."""
    return Source(str(Path(path).resolve()), device, dtype, torch.get_num_threads())


def load_sharded(path: str, device: str, dtype: str, runner: Runner, kept: KeptParts) -> ShardedModel:
    """Load a model as `load_text_model` does, for a runner to encode with; the path is the same on all computers."""
    source = source_of(path, device, dtype)
    model = loaded(source)
    known = {field.name: getattr(model, field.name) for field in fields(TextModel)}
    return ShardedModel(**known, source=source, runner=runner, kept=kept)


@pooled_activations.register
def _pooled(
    text_model: ShardedModel,
    prompts: Sequence[str],
    layers: Sequence[int],
    pooling: str = "mean",
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    result = torch.empty(len(prompts), len(layers), text_model.identity.width)
    part = Part(text_model.source, tuple(layers), pooling, token_budget(text_model, batch_tokens), rounded=False)
    for rows, found in _in_parts(text_model, prompts, part, progress):
        result[rows] = found["pooled"]
    return result


@states_in_batches.register
def _states(
    text_model: ShardedModel,
    prompts: Sequence[str],
    layer: int,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    rounded: bool = False,
) -> Iterator[StatesOfRows]:
    part = Part(text_model.source, (layer,), "", token_budget(text_model, batch_tokens, rounded), rounded)
    for rows, found in _in_parts(text_model, prompts, part, progress):
        yield rows, [found[str(number)] for number in range(len(rows))]


def encode_part(part: Part) -> ByValue:
    """Encode a part: "pooled" (N, L, D), or the token states (T_i, D) by number."""
    torch.set_num_threads(part.source.threads)
    model = loaded(part.source)
    if part.pooling:
        return ByValue(pooled=pooled_activations(model, part.prompts, part.layers, part.pooling, part.batch_tokens))
    found = states_in_batches(model, part.prompts, part.layers[0], part.batch_tokens, rounded=part.rounded)
    return ByValue({str(row): states for batch in found for row, states in zip(*batch, strict=True)})


@lru_cache(maxsize=1)
def loaded(source: Source) -> TextModel:
    """Return the model of a source; a process keeps the last one."""
    return load_text_model(source.path, source.device, source.dtype)


def _in_parts(
    model: ShardedModel, prompts: Sequence[str], alike: Part, progress: Progress | None
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Yield the rows of every part, `alike` but for prompts, with what it gives: those kept first, then as made."""
    rows_of = parts_of([len(row) for row in token_ids(model, prompts)], alike.batch_tokens)
    parts = [replace(alike, prompts=tuple(prompts[row] for row in rows)) for rows in rows_of]
    keys, done = _keys(model, parts), 0
    missing = []
    for number, (rows, key, part) in enumerate(zip(rows_of, keys, parts, strict=True)):
        found = model.kept.read(key, _names(part))
        if found is None:
            missing.append(number)
            continue
        done += len(rows)
        yield rows, found
    if progress is not None and done:
        progress(done, len(prompts))
    for place, made in model.runner.run(encode_part, [parts[number] for number in missing]):
        number = missing[place]
        model.kept.write(keys[number], made)
        done += len(rows_of[number])
        if progress is not None:
            progress(done, len(prompts))
        yield rows_of[number], made


def _names(part: Part) -> list[str]:
    return ["pooled"] if part.pooling else [str(number) for number in range(len(part.prompts))]


def parts_of(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Cut rows of these token counts into parts of whole batches, longest first, in the order that makes the same batches."""
    groups = batches(lengths, batch_tokens)
    starts = range(0, len(groups), PART_BATCHES)
    return [[row for group in groups[start : start + PART_BATCHES] for row in group] for start in starts]


def _keys(model: ShardedModel, parts: Sequence[Part]) -> list[str]:
    """Return what each part is kept as: by the model's files, the settings and the prompts."""
    if model.kept.folder is None:
        return [""] * len(parts)
    depends = what_decides(model.source)
    return [key_of(*depends, part.layers, part.pooling, part.batch_tokens, part.rounded, part.prompts) for part in parts]


def what_decides(source: Source) -> list[str | int]:
    """Return what the states of a prompt depend on besides the prompt: the model's files, settings and versions."""
    return [model_digest(source.path), source.device, source.dtype, source.threads, torch.__version__, __version__]


@lru_cache(maxsize=1)
def model_digest(path: str) -> str:
    """Identify a model folder or file by its files' names and sizes, and both ends of each, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]:
        if file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(SAMPLE_BYTES))
                stream.seek(max(0, size - SAMPLE_BYTES))
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()
