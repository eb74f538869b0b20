"""Pixels of saved pictures and videos: every frame, whatever the file format, and a digest that tells equal pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...storage.image_files import check_size, opened

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".apng", ".bmp", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v")


def frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a picture, an animation or a video as (H, W, 3) red-green-blue arrays.

    Raises DataError for a file that cannot be read, and where the package that reads it is not installed: Pillow for
    pictures and animations, PyAV for videos.
    """
    yield from _video_frames(path) if path.suffix.lower() in VIDEOS else _picture_frames(path)


def pixel_digest(path: Path) -> str | None:
    """Return a SHA-256 over all pixels: 64 hexadecimal digits, or None where the package that reads the file is missing.

    Files cannot be compared themselves: ComfyUI writes the whole workflow, strength and all, into each.
    """
    digest = hashlib.sha256()
    try:
        for frame in frames(path):
            digest.update(f"{frame.shape}".encode())
            digest.update(np.ascontiguousarray(frame).tobytes())
    except DataError as error:
        if isinstance(error.__cause__, ImportError):
            return None
        raise
    return digest.hexdigest()


def _picture_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    with opened(path, f"'{path}' is not a readable picture", "Delete it and run the command again.") as picture:
        from PIL import ImageSequence

        for frame in ImageSequence.Iterator(picture):
            check_size(path, frame)
            yield np.asarray(frame.convert("RGB"))


def _video_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"Reading '{path.name}' needs PyAV. Install it with: pip install av; or save pictures (Save Image) instead."
        ) from error
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DataError(f"'{path}' is not a readable video: {error}. Delete it and run the command again.") from error
