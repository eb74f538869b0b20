"""Write a direction into one of ComfyUI's model folders, under a name that is free, and say what came of it."""

from __future__ import annotations

from ..safety_steer.errors import DataError
from ..safety_steer.storage.stored import Stored
from . import folders


def save(value: Stored, kind: str, filename: str) -> str:
    """Write a direction to the folder of its kind; raises DataError for an unusable name and where the disk refuses."""
    try:
        path = folders.new_path(kind, filename)
        value.save(path)
    except OSError as error:
        raise DataError(
            f"Could not write '{filename[:80]}' to models/{kind}: {error.strerror or error}. Make room on the disk, or let "
            f"ComfyUI write there, and run {folders.SAVING[kind]} again."
        ) from error
    return f"saved as {path.name}, {path.stat().st_size / 2**20:.1f} MB"
