"""Pictures from a stranger: opened with a limit on their size, and with one error for all that Pillow finds wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 2**25  # by hand: 8,192 x 4,096; Pillow holds 4 bytes for each, and it is copied twice on its way


@contextmanager
def opened(path: Path, trouble: str, remedy: str, most: int | None = None) -> Iterator[Image]:
    """Open a picture of at most so many pixels, MAX_PIXELS if not said; whoever reads it on does so within.

    Raises DataError for what is no picture or is damaged, also where only its pixels show it, with what is the `trouble` and
    the `remedy`; for one that is too large, and where Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"Reading '{path.name}' needs Pillow. Install it with: pip install pillow") from error
    try:
        with Image.open(path) as image:
            check_size(path, image, most)
            yield image
    except DataError:
        raise
    except Exception as error:  # its readers raise whatever a damaged file leads them to
        raise DataError(f"{trouble}: {error or type(error).__name__}. {remedy}") from error


def check_size(path: Path, image: Any, most: int | None = None) -> None:
    """Raise DataError for a picture, or the frame it is at, of more pixels than are read."""
    if image.width * image.height > (MAX_PIXELS if most is None else most):
        raise DataError(f"'{path.name}' has {image.width} x {image.height} pixels. Make it smaller.")
