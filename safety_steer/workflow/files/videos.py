"""The texts that video files carry, read with PyAV, which ComfyUI brings; no frame is shown or kept."""

from __future__ import annotations

from importlib import import_module
from typing import BinaryIO

from ...errors import DataError
from .chunks import Texts


def video_texts(stream: BinaryIO, kind: str) -> Texts:
    """Yield the names and texts of an open video of a kind, "mp4" or "matroska".

    Raises DataError where PyAV is missing and for what it cannot read; whoever takes the texts counts their letters.
    """
    try:
        av = import_module("av")
    except ImportError as error:
        raise DataError(
            "Reading a workflow in a video needs PyAV, which ComfyUI has: run this with ComfyUI's Python, or pip install av."
        ) from error
    stream.seek(0)
    try:
        # An open file and a named format: FFmpeg opens nothing by itself, whatever the file says it is.
        with av.open(stream, format=kind, metadata_errors="replace") as container:
            found = {str(name): str(text) for name, text in container.metadata.items()}
    except (av.error.FFmpegError, ValueError) as error:
        raise DataError(f"PyAV cannot read it ({str(error)[:80]}).") from error
    yield from found.items()
