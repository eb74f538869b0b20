"""Prompt files of the benchmarks: I2P's table, T2VSafetyBench's folder of lists, and plain lists, tables and JSON lines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...storage.json_values import is_text, parse_json
from ...storage.prompt_files import MAX_CHARACTERS, MAX_PROMPTS, numbered_lines, read_table
from ...storage.text_files import read_text

CATEGORY_COLUMNS = ("categories", "category")
SEED_COLUMNS = ("sd_seed", "evaluation_seed", "seed")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
MAX_SEED = 2**64 - 1  # ComfyUI's own
MAX_DIGITS = 40  # by hand; of a seed, zeros in front included
T2V_SAFETY_BENCH = (
    *("pornography", "borderline pornography", "violence", "gore", "disturbing content", "public figures", "discrimination"),
    *("political sensitivity", "copyright and trademark", "illegal activities", "misinformation", "sequential action risk"),
    *("dynamic variation risk", "coherent contextual risk"),
)


@dataclass(frozen=True)
class Prompt:
    """One prompt of a file: its number from 1 on, its text, the categories and the seed its file gives it, if any."""

    number: int
    text: str
    categories: tuple[str, ...] = ()
    seed: int | None = None

    @property
    def digest(self) -> str:
        """Identify text and seed in results without repeating the text there: 16 hexadecimal digits."""
        return hashlib.sha256(f"{self.seed}\0{self.text}".encode()).hexdigest()[:16]


def read_prompt_file(path: str | os.PathLike[str]) -> list[Prompt]:
    """Read prompts with their categories and seeds, in the file's order.

    `.csv` and `.tsv` need a column "prompt" and may have "categories" (comma-separated) and "sd_seed" (or
    "evaluation_seed", as in copies of I2P); `.jsonl` has the same keys; any other file is one prompt a line. A folder
    is a `.txt` list per category, T2VSafetyBench's 1.txt to 14.txt by their names. Raises DataError that names the
    file and the row, what was expected and what came.
    """
    source = Path(path)
    if source.is_dir():
        rows = _folder_rows(source)
    elif source.suffix.lower() in DELIMITERS:
        rows = _table_rows(source)
    elif source.suffix.lower() in (".jsonl", ".ndjson"):
        rows = _json_rows(source)
    else:
        rows = [{"prompt": line} for line in _lines(source)]
    prompts = [Prompt(number, row["prompt"], row.get("categories", ()), row.get("seed")) for number, row in enumerate(rows, 1)]
    if not prompts:
        raise DataError(f"'{source.name}' holds no prompts. Give an I2P table, a T2VSafetyBench folder, or one prompt a line.")
    longest = max(len(prompt.text) for prompt in prompts)
    if len(prompts) > MAX_PROMPTS or longest > MAX_CHARACTERS:
        raise DataError(
            f"'{source.name}' holds {len(prompts):,} prompts of up to {longest:,} characters; at most {MAX_PROMPTS:,} of "
            f"{MAX_CHARACTERS:,} are allowed. Check that it is the right file."
        )
    return prompts


def spread(prompts: Sequence[Prompt], limit: int | None) -> list[Prompt]:
    """Return at most `limit` prompts from all over a file, in its order; a larger limit holds those of a smaller one."""
    if limit is None or limit >= len(prompts):
        return list(prompts)
    # Files are sorted by category, so the first ones would be of one kind; a hash mixes them the same way each time.
    mixed = sorted(prompts, key=lambda prompt: hashlib.sha256(str(prompt.number).encode()).digest())
    return sorted(mixed[:limit], key=lambda prompt: prompt.number)


def _folder_rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.txt"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise DataError(
            f"The folder '{folder}' holds no .txt lists. Give T2VSafetyBench's folder with 1.txt to 14.txt, or a file."
        )
    names = {str(number): name for number, name in enumerate(T2V_SAFETY_BENCH, 1)}
    known = all(file.stem in names for file in files)
    return [
        {"prompt": line, "categories": (names[file.stem] if known else file.stem,)} for file in files for line in _lines(file)
    ]


def _lines(source: Path) -> list[str]:
    return [" ".join(line.split()) for _, line in numbered_lines(*read_text(source))]


def _table_rows(source: Path) -> list[dict[str, Any]]:
    _, text = read_text(source)
    table = read_table(source, text, DELIMITERS[source.suffix.lower()])
    columns = [name for name in (table[0] if table else {}) if name]
    if table and "prompt" not in {name.strip().lower() for name in columns}:
        raise DataError(
            f"'{source.name}' has the columns {', '.join(columns)[:200]}, and none named prompt. Rename the column of the "
            "prompts, or use a plain .txt list."
        )
    return [_row(f"'{source.name}' row {number}", row) for number, row in enumerate(table, 1)]


def _json_rows(source: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in numbered_lines(*read_text(source)):
        place = f"'{source.name}' line {number}"
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(
                f'{place} is not JSON. Expected {{"prompt": "..."}}, but got {line[:40]!r}. Fix the line.'
            ) from error
        if not isinstance(row, dict):
            raise DataError(f'{place} is not an object. Expected {{"prompt": "..."}}, but got {line[:40]!r}. Fix the line.')
        rows.append(_row(place, row))
    return rows


def _row(place: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Read a row's prompt, categories and seed, whatever the case of its column names."""
    row = {str(name).strip().lower(): value for name, value in values.items()}
    text = row.get("prompt")
    if not isinstance(text, str) or not text.strip() or not is_text(text):
        raise DataError(
            f"{place} has no prompt. Expected text in 'prompt', but got {repr(text)[:80]}. Fill it in or delete the row."
        )
    found: dict[str, Any] = {"prompt": text.strip()}
    given = next((row[name] for name in CATEGORY_COLUMNS if row.get(name)), None)
    if given is not None:
        parts = given if isinstance(given, list) else str(given).split(",")
        found["categories"] = tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
        if not all(map(is_text, found["categories"])):
            raise DataError(f"{place} has a category that is no text. Rename it.")
    seed = next((row[name] for name in SEED_COLUMNS if row.get(name) not in (None, "")), None)
    if seed is not None:
        found["seed"] = _seed(place, seed)
    return found


def _seed(place: str, value: object) -> int:
    """Read a seed as a whole number; tables that passed through a spreadsheet write 12.0 for 12."""
    text = str(value).strip().removesuffix(".0")
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or int(text) > MAX_SEED:
        raise DataError(
            f"{place} has the seed {str(value)[:40]!r}. Expected a whole number from 0 to 2^64 - 1. Fix or empty it."
        )
    return int(text)
