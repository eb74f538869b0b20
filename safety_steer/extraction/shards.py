"""Encoding in parts: prompts are cut where batches end, so that every part gives the very bits of encoding them all at once.

A `ShardedModel` stands where a `TextModel` does; `pooled_activations` and `token_states` of it run in parts, and keep each part
in a folder where one is given, for a second run to go on from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..runners.runner import Runner
from ..storage.text_files import write_bytes
from .text_model import (
    BATCH_TOKENS,
    Progress,
    TextModel,
    batches,
    load_text_model,
    pooled_activations,
    token_ids,
    token_states,
)

PART_BATCHES = 8  # by hand; a part is some seconds of work on a CPU, and its result some megabytes
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
    """Prompts to encode: their means at layers, or with no pooling the token states of one layer."""

    source: Source
    layers: tuple[int, ...]
    pooling: str
    batch_tokens: int
    prompts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ShardedModel(TextModel):
    """A text model whose prompts are encoded in parts by a runner; each part is kept in the folder `kept`, if there is one."""

    source: Source
    runner: Runner
    kept: Path | None


def load_sharded(path: str, device: str, dtype: str, runner: Runner, kept: Path | None) -> ShardedModel:
    """Load a model as `load_text_model` does, for a runner to encode with; the path is the same on all computers."""
    model = load_text_model(path, device, dtype)
    source = Source(str(Path(path).resolve()), device, dtype, torch.get_num_threads())
    known = {field.name: getattr(model, field.name) for field in fields(TextModel)}
    return ShardedModel(**known, source=source, runner=runner, kept=kept)


@pooled_activations.register
def _pooled(
    text_model: ShardedModel,
    prompts: Sequence[str],
    layers: Sequence[int],
    pooling: str = "mean",
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> Tensor:
    result = torch.empty(len(prompts), len(layers), text_model.identity.width)
    for rows, found in _in_parts(text_model, prompts, tuple(layers), pooling, batch_tokens, progress):
        result[rows] = found["pooled"]
    return result


@token_states.register
def _tokens(
    text_model: ShardedModel,
    prompts: Sequence[str],
    layer: int,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> list[Tensor]:
    result: list[Tensor] = [torch.empty(0)] * len(prompts)
    for rows, found in _in_parts(text_model, prompts, (layer,), "", batch_tokens, progress):
        for number, row in enumerate(rows):
            result[row] = found[str(number)]
    return result


def encode_part(part: Part) -> dict[str, Tensor]:
    """Encode a part: "pooled" (N, L, D), or the token states (T_i, D) by number."""
    torch.set_num_threads(part.source.threads)
    model = _loaded(part.source)
    if part.pooling:
        return {"pooled": pooled_activations(model, part.prompts, part.layers, part.pooling, part.batch_tokens)}
    states = token_states(model, part.prompts, part.layers[0], part.batch_tokens)
    return {str(number): rows for number, rows in enumerate(states)}


@lru_cache(maxsize=1)
def _loaded(source: Source) -> TextModel:
    return load_text_model(source.path, source.device, source.dtype)


def _in_parts(
    model: ShardedModel,
    prompts: Sequence[str],
    layers: tuple[int, ...],
    pooling: str,
    batch_tokens: int,
    progress: Progress | None,
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Yield the rows of every part with what it gives: those kept first, then the rest as the runner makes them."""
    rows_of = parts_of([len(row) for row in token_ids(model, prompts)], batch_tokens)
    parts = [Part(model.source, layers, pooling, batch_tokens, tuple(prompts[row] for row in rows)) for rows in rows_of]
    files = _files(model, parts)
    done, missing = 0, []
    for number, (rows, file) in enumerate(zip(rows_of, files, strict=True)):
        found = _read(file, parts[number])
        if found is None:
            missing.append(number)
            continue
        done += len(rows)
        yield rows, found
    if progress is not None and done:
        progress(done, len(prompts))
    task: Callable[[Part], dict[str, Tensor]] = encode_part
    for place, made in model.runner.run(task, [parts[number] for number in missing]):
        number = missing[place]
        if (target := files[number]) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, safetensors.torch.save({name: one.contiguous() for name, one in made.items()}))
        done += len(rows_of[number])
        if progress is not None:
            progress(done, len(prompts))
        yield rows_of[number], made


def parts_of(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Cut rows of these token counts into parts of whole batches, longest first, in the order that makes the same batches."""
    groups = batches(lengths, batch_tokens)
    starts = range(0, len(groups), PART_BATCHES)
    return [[row for group in groups[start : start + PART_BATCHES] for row in group] for start in starts]


def _files(model: ShardedModel, parts: Sequence[Part]) -> list[Path | None]:
    """Return where each part is kept: a name of the model's files, the settings and the prompts."""
    if model.kept is None:
        return [None] * len(parts)
    name = model_digest(Path(model.source.path))
    settings = (model.source.device, model.source.dtype, model.source.threads, torch.__version__)
    keys = [json.dumps([name, *settings, part.layers, part.pooling, part.batch_tokens, part.prompts]) for part in parts]
    return [model.kept / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors" for key in keys]


def model_digest(path: Path) -> str:
    """Identify a model folder or file by its files' names and sizes, and both ends of each, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(SAMPLE_BYTES))
                stream.seek(max(0, size - SAMPLE_BYTES))
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _read(file: Path | None, part: Part) -> dict[str, Tensor] | None:
    """Read a kept part; None for one that is not there, or is damaged or not of these prompts."""
    if file is None or not file.is_file():
        return None
    try:
        found: dict[str, Any] = safetensors.torch.load(file.read_bytes())
    except Exception:  # a damaged file is made again, however it is damaged
        return None
    names = {"pooled"} if part.pooling else {str(number) for number in range(len(part.prompts))}
    whole = set(found) == names and (not part.pooling or found["pooled"].shape[:2] == (len(part.prompts), len(part.layers)))
    return found if whole else None
