"""Where direction files are found and fits are kept on this computer."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..safety_steer.errors import DataError

DIRECTIONS = "safety_directions"
BUNDLED = Path(__file__).resolve().parent.parent / "directions"


def register() -> None:
    """Add `models/safety_directions` and the bundled directions to ComfyUI's model folders.

    Paths a user has set in extra_model_paths.yaml are there already and stay first.
    """
    for folder in (os.path.join(folder_paths.models_dir, DIRECTIONS), str(BUNDLED)):
        folder_paths.add_model_folder_path(DIRECTIONS, folder)
    paths, extensions = folder_paths.folder_names_and_paths[DIRECTIONS]
    folder_paths.folder_names_and_paths[DIRECTIONS] = (paths, set(extensions) | {".safetensors"})
    folder_paths.filename_list_cache.pop(DIRECTIONS, None)


def direction_names() -> list[str]:
    """List the direction files in all registered folders."""
    return list(folder_paths.get_filename_list(DIRECTIONS))


def direction_path(name: str) -> str:
    """Return the path of a listed direction file; raises DataError for any other name."""
    # A queued prompt can carry any string here: not every ComfyUI checks a dropdown against its list.
    if name not in direction_names():
        raise DataError(
            f"There is no direction file '{name[:80]}'. Choose one from the list of Load Safety Direction, or put it "
            f"in {os.path.join(folder_paths.models_dir, DIRECTIONS)} first."
        )
    path = os.path.realpath(folder_paths.get_full_path_or_raise(DIRECTIONS, name))
    if not any(_inside(os.path.realpath(folder), path) for folder in folder_paths.get_folder_paths(DIRECTIONS)):
        raise DataError(
            f"The direction file '{name[:80]}' is a link to a place outside the direction folders. Put the file "
            "itself there, and choose it again in Load Safety Direction."
        )
    return path


def fits_folder() -> Path:
    """Return the folder that keeps fits between sessions, inside ComfyUI's user folder."""
    return Path(folder_paths.get_user_directory()) / "__safety_steer" / "fits"


def _inside(folder: str, path: str) -> bool:
    try:
        return os.path.commonpath((folder, path)) == folder
    except ValueError:
        return False
