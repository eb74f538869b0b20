"""Workflow files: read with limits, written with every letter that stays as it was, never half."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..storage.text_files import read_text, write_bytes
from .adding import Change
from .files.json_text import parse, rewrite
from .files.letter_for_letter import text_with_steering, text_without_steering
from .files.pictures import SUFFIXES, embedded_text
from .files.wrapped import Place, find_workflows, main_kind
from .format_check import HINT
from .graph import Json
from .removing import Removal

MAX_BYTES = 32 * 2**20  # by hand


@dataclass(frozen=True)
class WorkflowFile:
    """A workflow as it was read: its JSON, the text it was read from, and "editor" or "api".

    `places` are where it is within its JSON, and `read` the name under which a picture or a video held it.
    """

    path: Path
    text: str
    data: Json
    kind: str
    places: tuple[Place, ...] = ((),)
    read: str = ""


def read_workflow(path: str | os.PathLike[str]) -> WorkflowFile:
    """Read a workflow file, or the workflow in a picture or a video.

    Raises DataError for a file that is missing, too large, not UTF-8, not JSON, or holds no workflow.
    """
    if (source := Path(path)).suffix.lower() in SUFFIXES:
        return _read_picture(source)
    source, text = read_text(path, MAX_BYTES, as_is=True)
    return _understood(source, text)


def write_workflow(data: Json, like: WorkflowFile, target: Path) -> None:
    """Write a workflow in the text of the file it came from, changed where the workflow is; moved into place at the end."""
    _write(rewrite(like.text, like.data, data), target)


def write_change(change: Change, like: WorkflowFile, target: Path) -> None:
    """Write a workflow that steering was put in, so that it can be taken out to the letter."""
    _write(text_with_steering(like.text, like.data, change), target)


def write_removal(removal: Removal, like: WorkflowFile, target: Path) -> None:
    """Write a workflow that steering was taken out of: letter for letter the file from before, where that is known."""
    _write(text_without_steering(like.text, like.data, removal), target)


def _write(text: str, target: Path) -> None:
    if target.suffix.lower() in SUFFIXES:
        raise DataError(
            f"'{target.name}' is the name of a picture or a video, and a workflow is written as JSON. Name a .json file."
        )
    write_bytes(target, text.encode())


def _read_picture(source: Path) -> WorkflowFile:
    """Read the editor's workflow in a picture or a video, or where there is none that can be read, the prompt."""
    failed: DataError | None = None
    for name, text in embedded_text(source, MAX_BYTES).items():
        try:
            return _understood(source, text, name)
        except DataError as error:
            failed = failed or error
    raise failed or DataError(f"'{source.name}' holds no workflow. Give a picture or a video that ComfyUI has saved.")


def _understood(source: Path, text: str, name: str = "") -> WorkflowFile:
    within = f"The {name} in '{source.name}'" if name else f"'{source.name}'"
    try:
        data = parse(text)
    except ValueError as error:
        raise DataError(f"{within} is not JSON ({str(error)[:80]}). {HINT}") from error
    try:
        kinds = find_workflows(data)
    except DataError as error:
        raise DataError(f"{within} cannot be used. {error}") from error
    return WorkflowFile(source, text, data, main_kind(kinds), tuple(kinds), name)
