"""A folder of captioned pictures in twos, a safe one and its unsafe twin: what the vision side is read and measured with.

The folder holds the pictures and `tuples.jsonl`, a line for each two:
{"safe": "...", "unsafe": "...", "safe_picture": "a.png", "unsafe_picture": "b.png", "category": "..."}
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from .text_files import read_text

LIST = "tuples.jsonl"
MAX_TUPLES = 100_000  # by hand
MAX_PIXELS = 64 * 2**20  # by hand; of a picture
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
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Reading pictures needs Pillow. Install it with: pip install pillow") from error
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"'{path.name}' has {image.width} x {image.height} pixels. Make it smaller.")
            values = np.asarray(image.convert("RGB"))
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"'{path.name}' is no readable picture: {error}. Save it again as PNG or JPEG.") from error
    return torch.from_numpy(values.astype(np.float32) / 255)


def _tuple(root: Path, number: int, line: str) -> PictureTuple:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{LIST}' line {number} is not JSON. Expected {_EXAMPLE}.") from error
    values: dict[str, Any] = row if isinstance(row, dict) else {}
    texts = {key: _text(number, key, values.get(key)) for key in ("safe", "unsafe", "safe_picture", "unsafe_picture")}
    category = values.get("category")
    safe, unsafe = (_inside(root, number, texts[key]) for key in ("safe_picture", "unsafe_picture"))
    if texts["safe"] == texts["unsafe"] or safe == unsafe:
        raise DataError(f"'{LIST}' line {number} has the same caption or picture on both sides. Each tuple needs two of both.")
    return PictureTuple(texts["safe"], texts["unsafe"], safe, unsafe, category if isinstance(category, str) else "")


def _text(number: int, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"'{LIST}' line {number} has no '{key}'. Expected {_EXAMPLE}.")
    return value.strip()


def _inside(root: Path, number: int, name: str) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise DataError(f"'{LIST}' line {number}: there is no picture '{name[:80]}' in the folder. Put it there.")
    return path
