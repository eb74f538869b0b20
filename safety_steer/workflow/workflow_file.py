"""Workflow files: read with limits, written in the style they were written in, never half."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..storage.text_files import read_text, write_bytes
from .format_check import HINT, kind_of
from .graph import Json

MAX_BYTES = 32 * 2**20  # by hand


@dataclass(frozen=True)
class WorkflowFile:
    """A workflow as it was read: its JSON, the text it was read from, and "editor" or "api"."""

    path: Path
    text: str
    data: Json
    kind: str


def read_workflow(path: str | os.PathLike[str]) -> WorkflowFile:
    """Read a workflow file.

    Raises DataError for a file that is missing, too large, not UTF-8, not JSON or not a workflow.
    """
    source, text = read_text(path, MAX_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{source.name}' is not JSON ({str(error)[:80]}). {HINT}") from error
    try:
        kind = kind_of(data)
    except DataError as error:
        raise DataError(f"'{source.name}' cannot be used. {error}") from error
    return WorkflowFile(source, text, data, kind)


def write_workflow(data: Json, like: WorkflowFile, target: Path) -> None:
    """Write a workflow with the indentation, line end and letters of the file it came from, moved into place at the end."""
    write_bytes(target, (like.text if data == like.data else _in_style(data, like.text)).encode())


def _in_style(data: Json, text: str) -> str:
    """Write JSON with the indentation, separators, letters and end of another text."""
    indented = re.match(r"\s*\{\r?\n([ \t]+)", text)
    spaced = indented or re.match(r'\s*\{"[^"]*": ', text)
    # Half of a letter that takes two can stand in JSON as an escape, but not in UTF-8.
    escaped = text.isascii() or re.search(r"\\u[dD][89a-fA-F]", text) is not None
    indent, separators = indented.group(1) if indented else None, None if spaced else (",", ":")
    ending = text[len(text.rstrip()) :]
    return json.dumps(data, indent=indent, separators=separators, ensure_ascii=escaped) + ending
