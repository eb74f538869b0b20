"""Pairs and prompt lists from text files, with one clear error for everything that cannot be used."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from ..categories import GLOBAL, normalised
from ..errors import DataError
from .json_values import is_text, parse_json
from .text_files import read_text

MAX_PROMPTS = 200_000  # by hand; in a file
MAX_CHARACTERS = 20_000  # by hand; in a prompt
MAX_COLUMNS = 256  # by hand; in a table, whose every row is filled up to all of them

Row = TypeVar("Row")


@dataclass(frozen=True)
class Pair:
    """Two prompts that differ in safety only, the category of what makes one unsafe, and the set they are from, if told."""

    safe: str
    unsafe: str
    category: str
    source: str = ""


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read pairs from JSON lines or CSV with the columns safe, unsafe and category, and source where a file has it.

    Categories and sources are lower-cased with underscores. Raises DataError for a missing file, a row without both sides,
    two equal sides, a category named "global", a source that is no text, or no pairs at all; it names the row.
    """
    source, text = read_text(path)
    rows: Iterable[object]
    if source.suffix.lower() == ".csv":
        rows = read_table(source, text, ",")
    else:
        rows = (json_row(source, number, line) for number, line in numbered_lines(source, text))
    pairs = [pair_of(source, number, row) for number, row in enumerate(rows, 1)]
    if not pairs:
        raise DataError(f"'{source.name}' holds no pairs. Expected lines like {_EXAMPLE}.")
    return pairs


def read_prompts(path: str | os.PathLike[str]) -> list[str]:
    """Read a prompt list: one prompt a line, the column "Prompt" of a `.tsv`, blank lines and repeats left out.

    Raises DataError for a missing or empty file, and for absurdly many or long lines.
    """
    source, text = read_text(path)
    if source.suffix.lower() == ".tsv":
        table = read_table(source, text, "\t")
        column = next((name for name in (table[0] if table else {}) if name and name.strip().lower() == "prompt"), None)
        if column is None:
            raise DataError(f"'{source.name}' has no column named Prompt. Add a header line, or use a plain .txt list.")
        lines: Iterable[str] = (row[column] or "" for row in table)
    else:
        lines = (line for _, line in numbered_lines(source, text))
    return clean_prompts(lines, source.name)


def clean_prompts(lines: Iterable[str], origin: str) -> list[str]:
    """Strip lines, drop blank ones and repeats; raises DataError when nothing is left or it is absurdly much."""
    # A line far too long is refused below, and cutting it into words would take eight times its memory.
    tidy = (line if len(line) > 4 * MAX_CHARACTERS else " ".join(line.split()) for line in lines if line.strip())
    prompts = list(dict.fromkeys(tidy))
    if not prompts:
        raise DataError(f"{origin} holds no prompts. Write one prompt a line.")
    if len(prompts) > MAX_PROMPTS or max(map(len, prompts)) > MAX_CHARACTERS:
        raise DataError(
            f"{origin} holds {len(prompts):,} prompts of up to {max(map(len, prompts)):,} characters; "
            f"at most {MAX_PROMPTS:,} of {MAX_CHARACTERS:,} are allowed."
        )
    return prompts


def pairs_hash(pairs: Iterable[Pair]) -> str:
    """Return the SHA-256 of pairs in their order, whatever kind of file they came in: 64 hexadecimal digits."""
    rows = [[pair.safe, pair.unsafe, pair.category, pair.source] for pair in pairs]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()


def prompts_hash(prompts: Iterable[str]) -> str:
    """Return the SHA-256 of prompts in their order, one a line: 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(prompts).encode()).hexdigest()


def category_rows(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    """Map each category, sorted by name after "global", to the numbers of its pairs."""
    rows: dict[str, list[int]] = {GLOBAL: list(range(len(pairs)))}
    for category in sorted({pair.category for pair in pairs}):
        rows[category] = [number for number, pair in enumerate(pairs) if pair.category == category]
    return rows


def read_table(source: Path, text: str, delimiter: str) -> list[dict[str, str]]:
    """Read a table with a header line; tab-separated ones have no quoting.

    Raises DataError for one csv cannot read, and for absurdly many rows or columns; columns without a name are left out.
    """
    plain = delimiter == "\t"
    try:
        table = csv.reader(_lines(text), delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
        header = next(table, [])
        if len(header) > MAX_COLUMNS:
            raise DataError(f"'{source.name}' has {len(header):,} columns; at most {MAX_COLUMNS} are read. Take some out.")
        rows = (row for row in table if row)
        return [dict(zip_longest(header, row[: len(header)])) for row in limited(source, rows)]
    except csv.Error as error:
        raise DataError(f"'{source.name}' is not a readable table: {error}. Check its quotes and line lengths.") from error


def numbered_lines(source: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text that are not blank with their numbers from 1 on, without a list of all of them."""
    return limited(source, ((number, line.rstrip("\n")) for number, line in enumerate(_lines(text), 1) if line.strip()))


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def limited(source: Path, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows of a file; raises DataError where there are absurdly many."""
    for number, row in enumerate(rows):
        if number >= MAX_PROMPTS:
            raise DataError(f"'{source.name}' holds more than {MAX_PROMPTS:,} rows, the most that are read. Split it.")
        yield row


_EXAMPLE = '{"safe": "...", "unsafe": "...", "category": "..."}'


def json_row(source: Path, number: int, line: str) -> object:
    """Return what a line of a pairs file says; raises DataError for one that is not JSON."""
    try:
        return parse_json(line)
    except ValueError as error:
        raise DataError(f"'{source.name}' line {number} is not JSON. Expected {_EXAMPLE}.") from error


def pair_of(source: Path, number: int, row: object) -> Pair:
    """Return the pair in a row of a file; raises DataError, naming the row, for one that is none."""
    values = row if isinstance(row, dict) else {}
    sides = {}
    for side in ("safe", "unsafe", "category"):
        value = values.get(side)
        if not isinstance(value, str) or not value.strip() or not is_text(value):
            raise DataError(f"'{source.name}' row {number} has no '{side}'. Expected {_EXAMPLE}.")
        sides[side] = value.strip()[:MAX_CHARACTERS]
    category = normalised(sides["category"])
    if category == GLOBAL or len(category) > 64 or not category.isprintable():
        raise DataError(f"'{source.name}' row {number} has the category '{category[:64]}', which is not usable. Rename it.")
    if sides["safe"] == sides["unsafe"]:
        raise DataError(f"'{source.name}' row {number} has the same text on both sides. Each pair needs two.")
    return Pair(sides["safe"], sides["unsafe"], category, _source(source, number, values.get("source")))


def _source(source: Path, number: int, value: object) -> str:
    """Return the name of the set a row is from; a blank or missing one is no name."""
    if value is None:
        return ""
    name = normalised(value) if isinstance(value, str) else None
    if name is None or len(name) > 64 or not name.isprintable():
        raise DataError(f"'{source.name}' row {number} has a 'source' that is no short text. Rename it or leave it out.")
    return name
