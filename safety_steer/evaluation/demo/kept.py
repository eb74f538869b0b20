"""The rows that an earlier run left in its output folder, checked before they are taken for results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...storage.json_values import parse_json
from ...storage.text_files import read_text

NUMBERS = ("strength", "asr", "clip", "object", "subject", "place", "identical", "seconds")
MAYBE = ("requested", "fid", "over_refusal", "asr_second", "asr_frame", "temporal")
TEXTS = ("generator", "method", "map", "operator", "gate", "split")


def read_rows(path: Path | None) -> list[dict[str, Any]]:
    """Return the rows in a file, none where there is no file; raises DataError for a file that holds anything else."""
    if path is None or not path.is_file():
        return []
    _, text = read_text(path)
    try:
        found = parse_json(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(row, dict) and _is_row(row) for row in found):
        raise DataError(f"'{path}' holds no rows of an evaluation. Delete it, or choose another --output.")
    return found


def _is_row(row: Mapping[str, Any]) -> bool:
    ends = row.get("asr_ci")
    numbers = [row.get(name) for name in NUMBERS] + [row[name] for name in MAYBE if row.get(name) is not None]
    return (
        all(isinstance(row.get(name), str) for name in TEXTS)
        and isinstance(ends, list)
        and len(ends) == 2
        and all(map(_is_number, [*numbers, *ends]))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max
