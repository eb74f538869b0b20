"""Folders of captioned pictures, as LoRA training has them: every picture with a text file of the same name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .image_files import opened
from .prompt_files import MAX_CHARACTERS
from .text_files import read_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CAPTION_BYTES = 2**20  # by hand


@dataclass(frozen=True)
class Captioned:
    """A picture's file and what its caption says, in one line."""

    path: Path
    caption: str


def captioned_pictures(folder: str | os.PathLike[str], most: int, told: str) -> list[Captioned]:
    """Return at most so many pictures of a folder with their captions, spread evenly over its names in order.

    `told` names the input that the folder came by. Raises DataError for a folder that is not there, has no pictures, or has
    pictures without a caption, in files that are missing, empty or not UTF-8.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"There is no folder '{place.name}' for {told}. Choose another one.")
    found = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise DataError(
            f"The folder '{place.name}' of {told} holds no pictures ({', '.join(ENDINGS)}). Put captioned pictures into it, or "
            "choose another one."
        )
    bare = [path for path in found if not path.with_suffix(".txt").is_file()]
    if bare:
        raise DataError(
            f"{len(bare):,} of {len(found):,} pictures in the folder '{place.name}' of {told} have no caption, such as "
            f"'{bare[0].name}'. Put a text file of the same name beside each: '{bare[0].stem}.txt'."
        )
    count = min(most, len(found))
    chosen = [found[number * len(found) // count] for number in range(count)]
    return [Captioned(path, _caption(path.with_suffix(".txt"))) for path in chosen]


def read_picture(path: Path) -> Picture:
    """Return a picture's colours (H, W, 3); raises DataError for a file that is none, or is absurdly large."""
    import numpy as np

    trouble = f"'{path.name}' is not a picture that can be read"
    with opened(path, trouble, "Take it out, or save it again.") as image:
        from PIL import ImageOps

        upright: Any = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGB"))


def _caption(path: Path) -> str:
    _, text = read_text(path, CAPTION_BYTES)
    caption = " ".join(text.split())[:MAX_CHARACTERS]
    if not caption:
        raise DataError(f"The caption '{path.name}' is empty. Write into it what its picture shows.")
    return caption
