"""A folder of captioned pictures in twos, a safe one and its unsafe twin: what the vision side is read and measured with.

The folder holds the pictures and `tuples.jsonl`, a line for each two:
{"safe": "...", "unsafe": "...", "safe_picture": "a.png", "unsafe_picture": "b.png", "category": "..."}
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .image_files import MAX_PIXELS as MAX_PIXELS
from .image_files import opened
from .json_values import is_text, parse_json
from .text_files import read_text

LIST = "tuples.jsonl"
MAX_TUPLES = 100_000  # by hand
_EXAMPLE = '{"safe": "...", "unsafe": "...", "safe_picture": "a.png", "unsafe_picture": "b.png"}'


@dataclass(frozen=True)
class PictureTuple:
    """A safe and an unsafe text with their pictures, and the category of what makes one unsafe, if told."""

    safe: str
    unsafe: str
    safe_picture: Path
    unsafe_picture: Path
    category: str = ""


def read_tuples(folder: str | os.PathLike[str]) -> list[PictureTuple]:
    """Read the tuples of a folder.

    Raises DataError, naming the line, for one that lacks a caption or a picture, names a picture outside the folder or one that
    is not there, or has the same on both sides; and for a folder without tuples.
    """
    root = Path(folder)
    if not (root / LIST).is_file():
        raise DataError(f"The folder '{root}' has no {LIST}. Put one there, with lines like {_EXAMPLE}.")
    _, text = read_text(root / LIST)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not 0 < len(lines) <= MAX_TUPLES:
        raise DataError(f"'{LIST}' holds {len(lines):,} tuples; 1 to {MAX_TUPLES:,} are allowed. Lines are like {_EXAMPLE}.")
    return [_tuple(root, number, line) for number, line in lines]


def read_picture(path: Path) -> Tensor:
    """Read a picture file: (H, W, 3) float32 in 0..1; raises DataError for what is no picture, or is absurdly large."""
    with opened(path, f"'{path.name}' is no readable picture", "Save it again as PNG or JPEG.", MAX_PIXELS) as image:
        values = np.asarray(image.convert("RGB")).astype(np.float32)
    values /= 255
    return torch.from_numpy(values)


def _tuple(root: Path, number: int, line: str) -> PictureTuple:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise DataError(f"'{LIST}' line {number} is not JSON. Expected {_EXAMPLE}.") from error
    values: dict[str, Any] = row if isinstance(row, dict) else {}
    texts = {key: _text(number, key, values.get(key)) for key in ("safe", "unsafe", "safe_picture", "unsafe_picture")}
    category = values.get("category")
    safe, unsafe = (_inside(root, number, texts[key]) for key in ("safe_picture", "unsafe_picture"))
    if texts["safe"] == texts["unsafe"] or safe == unsafe:
        raise DataError(f"'{LIST}' line {number} has the same caption or picture on both sides. Each tuple needs two of both.")
    return PictureTuple(texts["safe"], texts["unsafe"], safe, unsafe, category if isinstance(category, str) else "")


def _text(number: int, key: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) and is_text(value) else ""
    if not text:
        raise DataError(f"'{LIST}' line {number} has no '{key}'. Expected {_EXAMPLE}.")
    return text


def _inside(root: Path, number: int, name: str) -> Path:
    try:
        path = (root / name).resolve()
        found = path.is_relative_to(root.resolve()) and path.is_file()
    except (OSError, ValueError):  # a name no file system takes
        found = False
    if not found:
        raise DataError(f"'{LIST}' line {number}: there is no picture '{name[:80]}' in the folder. Put it there.")
    return path
