"""Workflows within pictures and videos, as ComfyUI and common packs save them.

ComfyUI names them: PNG chunks and video tags `workflow` (the editor's) and `prompt` (the API's), EXIF texts that begin with
the name and a colon. Other packs put one JSON object with both into a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import DataError
from ...storage.json_values import parse_json
from ..format_check import looks_like_workflow
from .chunks import JPEG, PNG, Texts, jpeg_texts, png_texts, webp_texts
from .videos import video_texts

SUFFIXES = (".png", ".apng", ".webp", ".jpg", ".jpeg", ".mp4", ".mov", ".webm", ".mkv")
NAMES = ("workflow", "prompt")
"""What is read, the first before the second."""


def embedded_text(path: Path, limit: int) -> dict[str, str]:
    """Return the texts of the workflow and the prompt in a picture or a video, those of them that are there, in this order.

    Raises DataError for a file that is missing, no picture or video of a known kind, or holds texts above `limit` bytes.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path}'. Check the name and the folder.")
    with path.open("rb") as stream:
        try:
            found = dict(_named(_together(_reader(stream.read(16))(stream, limit), limit)))
        except DataError as error:
            raise DataError(f"'{path.name}' cannot be used. {error}") from error
    return {name: found[name] for name in NAMES if name in found}


def _reader(begin: bytes) -> Callable[[BinaryIO, int], Texts]:
    """Choose how to read a file by how it begins, whatever its name says."""
    if begin.startswith(PNG):
        return png_texts
    if begin.startswith(JPEG):
        return jpeg_texts
    if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
        return webp_texts
    if begin[4:8] == b"ftyp":
        return lambda stream, _: video_texts(stream, "mp4")
    if begin.startswith(b"\x1aE\xdf\xa3"):
        return lambda stream, _: video_texts(stream, "matroska")
    raise DataError("It is no PNG, WebP, JPEG, MP4 or WebM file. Give a picture or a video that ComfyUI has saved.")


def _together(texts: Texts, limit: int) -> Texts:
    """Pass on texts; raises DataError where all of them together are larger than the limit, as many small ones can be."""
    size = 0
    for name, text in texts:
        size += len(text)
        if size > limit:
            raise DataError(f"The texts in it take more than {limit:,} letters, the most that is read.")
        yield name, text


def _named(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield what is a workflow or a prompt, the last of a name counting: comments come first."""
    found = list(texts)
    for _, text in found:
        if text.lstrip().startswith("{"):
            yield from _commented(text)
    for name, text in found:
        if name.lower() in NAMES:
            yield name.lower(), text
        elif said := re.match(r"\s*(workflow|prompt)\s*:\s*(?=\{)", text, re.IGNORECASE):
            yield said.group(1).lower(), text[said.end() :]


def _commented(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a comment holds: an object with both, as objects or as texts, or a workflow itself."""
    try:
        comment: Any = parse_json(text)
    except ValueError:
        return
    if looks_like_workflow(comment):
        yield ("workflow" if isinstance(comment.get("nodes"), list) else "prompt"), text
        return
    for name, value in comment.items():
        if name.lower() in NAMES and isinstance(value, dict | str):
            yield name.lower(), value if isinstance(value, str) else json.dumps(value)
