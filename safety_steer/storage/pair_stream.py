"""Pairs one after the other from JSON lines, CSV or Parquet, however many there are: a million need no more memory than one."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from ..errors import DataError
from .prompt_files import MAX_CHARACTERS, Pair, json_row, pair_of

LONGEST_LINE = 16 * MAX_CHARACTERS  # by hand: two prompts of the longest kind, each letter escaped
ROWS_AT_ONCE = 1024  # by hand; of a Parquet file


def stream_pairs(path: str | os.PathLike[str]) -> Iterator[Pair]:
    """Yield the pairs of a file as `read_pairs` reads them, without a limit on their number.

    Raises DataError for what `read_pairs` raises it for, and for a Parquet file that cannot be read or without pyarrow.
    """
    source = Path(path)
    if not source.is_file():
        raise DataError(f"There is no file '{source}'. Check the name and the folder.")
    number = 0
    for number, row in enumerate(_rows(source), 1):
        yield pair_of(source, number, row)
    if not number:
        raise DataError(f"'{source.name}' holds no pairs. Expected rows with safe, unsafe and category.")


def windows(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Yield pairs in lists of `size`, the last one shorter."""
    stream = iter(pairs)
    while window := list(islice(stream, size)):
        yield window


def _rows(source: Path) -> Iterator[object]:
    if source.suffix.lower() == ".parquet":
        yield from _parquet_rows(source)
        return
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            if source.suffix.lower() == ".csv":
                yield from csv.DictReader(line for _, line in _lines(source, stream))
            else:
                yield from (json_row(source, number, line) for number, line in _lines(source, stream) if line.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"'{source.name}' is not UTF-8 text. Save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"'{source.name}' is not a readable table: {error}. Check its quotes and line lengths.") from error


def _lines(source: Path, stream: TextIO) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise DataError(f"'{source.name}' line {number} is longer than {LONGEST_LINE:,} characters. Is it the right file?")
        yield number, line


def _parquet_rows(source: Path) -> Iterator[object]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"'{source.name}' is a Parquet file, which needs pyarrow: pip install 'safety-steer[parquet]'."
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            columns = [name for name in ("safe", "unsafe", "category", "source") if name in file.schema_arrow.names]
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"'{source.name}' is not a readable Parquet file: {reason}. Make or get the file again.") from error
