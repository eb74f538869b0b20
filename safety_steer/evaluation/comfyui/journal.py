"""What an evaluation keeps on disk: pictures, and a JSON line per finished run, so that stopping at any time loses nothing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ...errors import DataError, StorageError
from ...storage.json_values import parse_json
from ...storage.text_files import write_bytes
from .prompts import Prompt

ROWS = "comfy_evaluate.jsonl"
MAX_LINE = 2**20  # by hand; bytes of a row
Key = tuple[str, int, int, float]
KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("number", "seed"), (int,)),
    **dict.fromkeys(("strength", "score"), (int, float)),
    **dict.fromkeys(("categories", "pictures"), (tuple,)),
    "unsafe": (bool,),
    "pixels": (str, type(None)),
    "seconds": (int, float, type(None)),
}
"""What the fields of a row and of a picture are; all others are texts."""


@dataclass(frozen=True)
class Job:
    """One run of the workflow to make: a prompt of a set ("prompts" or "benign"), a seed and a steering strength."""

    group: str
    prompt: Prompt
    seed: int
    strength: float

    @property
    def key(self) -> Key:
        """Identify the job among the rows of one workflow."""
        return self.group, self.prompt.number, self.seed, self.strength


@dataclass(frozen=True)
class Picture:
    """A saved file, relative to the output folder, with its judge's score and its pixels' digest if it can be read."""

    file: str
    score: float
    unsafe: bool
    pixels: str | None


@dataclass(frozen=True)
class Row:
    """A finished job: whose workflow, judge and prompt, what was drawn, and the seconds it took if ComfyUI drew it anew."""

    workflow: str
    judge: str
    group: str
    number: int
    prompt: str
    categories: tuple[str, ...]
    seed: int
    strength: float
    pictures: tuple[Picture, ...]
    seconds: float | None

    @property
    def key(self) -> Key:
        """Identify the job this row is of."""
        return self.group, self.number, self.seed, self.strength


Filled = TypeVar("Filled", Row, Picture)


@dataclass(frozen=True)
class Journal:
    """The output folder of one workflow and one judge, with the rows in it by their key."""

    folder: Path
    workflow: str
    judge: str
    rows: dict[Key, Row]

    @classmethod
    def open(cls, folder: Path, workflow: str, judge: str, sets: Mapping[str, Sequence[Prompt]]) -> Journal:
        """Read the rows already in a folder, leaving out a last line that was cut while it was written.

        Raises DataError for rows of another workflow, judge or prompt file, and for lines that are no rows.
        """
        rows = {row.key: row for row in _read(folder / ROWS)}
        expected = {(group, prompt.number): prompt.digest for group, prompts in sets.items() for prompt in prompts}
        other = f"'{folder}' holds results of another"
        remedy = f"Choose another --output, or delete {ROWS} there."
        for row in rows.values():
            if row.workflow != workflow:
                raise DataError(f"{other} workflow ({row.workflow}, and this one is {workflow}). {remedy}")
            if row.judge != judge:
                raise DataError(f"{other} judge ({row.judge}, and this one is {judge}). {remedy}")
            if row.group in sets and expected.get((row.group, row.number)) != row.prompt:
                raise DataError(f"{other} prompt file: its prompt {row.number} of {row.group} is not this file's. {remedy}")
        return cls(folder, workflow, judge, rows)

    def add(self, job: Job, pictures: Sequence[Picture], seconds: float | None) -> Row:
        """Append a row and see it onto the disk; raises StorageError, and takes back what was written, where it is full."""
        prompt = job.prompt
        row = Row(
            *(self.workflow, self.judge, job.group, prompt.number, prompt.digest, prompt.categories),
            *(job.seed, job.strength, tuple(pictures), seconds),
        )
        path = self.folder / ROWS
        with _storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_cut_line(path)
            _append(path, json.dumps(asdict(row)).encode() + b"\n")
        self.rows[row.key] = row
        return row

    def store(self, name: str, data: bytes) -> Path:
        """Write a file under the folder, whole or not at all; raises StorageError where the disk is full."""
        return store(self.folder / name, data)


def store(path: Path, data: bytes) -> Path:
    """Write a file, whole or not at all, and return its path; raises StorageError where the disk is full."""
    with _storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
    return path


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot write '{path}': {error.strerror or error}. Make room, or choose another --output and move what is there."
        ) from error


def _append(path: Path, line: bytes) -> None:
    with path.open("ab") as stream:
        before = stream.tell()
        try:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(path, before)
            raise


def _drop_cut_line(path: Path) -> None:
    """Shorten a file whose last line has no end: the power failed while it was written."""
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read() != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)


def _read(path: Path) -> Iterator[Row]:
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE), b""), 1):
            try:
                # What has no end was cut while it was written, if it is the last; what is longer than a line is no row.
                if not line.endswith(b"\n") and len(line) < MAX_LINE:
                    return
                yield _row(parse_json(line))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"'{path}' line {number} is not a row of this evaluation. Delete the line, or the file."
                ) from error


def _row(found: Any) -> Row:
    """Read a row; raises ValueError, TypeError or KeyError for what is none."""
    values = dict(found)
    pictures = tuple(_typed(Picture(**picture)) for picture in values.pop("pictures"))
    categories = tuple(str(name) for name in values.pop("categories"))
    return _typed(Row(pictures=pictures, categories=categories, **values))


def _typed(value: Filled) -> Filled:
    """Return a picture or a row whose fields are of the kinds that were written; raises TypeError for another."""
    for one in fields(value):
        held, kinds = getattr(value, one.name), KINDS.get(one.name, (str,))
        if type(held) not in kinds or (type(held) is float and not math.isfinite(held)):
            raise TypeError(one.name)
    return value
