"""Files of models: where they are, whether they are there in full, and what a loader's error means."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from typing import Any

from ..errors import EncoderError
from ..storage.lfs_pointers import first_pointer, refusal


def located(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the folder and loading options for a model folder, a `.gguf` file, or a folder with one of them.

    Raises EncoderError where there is none, or a Git LFS pointer in the place of a file.
    """
    folder, options = _located(path)
    check_fetched(Path(folder, options["gguf_file"]) if options else path)
    return folder, options


def _located(path: Path) -> tuple[str, dict[str, Any]]:
    if path.is_file() and path.suffix.lower() == ".gguf":
        return str(path.parent), {"gguf_file": path.name}
    if not path.is_dir():
        raise EncoderError(f"There is no model at '{path}'. Give a Hugging Face folder or a .gguf file.")
    files = sorted(path.glob("*.gguf"))
    if (path / "config.json").is_file():
        return str(path), {}
    if len(files) == 1:
        return str(path), {"gguf_file": files[0].name}
    raise EncoderError(f"'{path}' holds no config.json and {len(files)} .gguf files. Name the model folder or one file.")


def check_fetched(path: Path) -> None:
    """Raise EncoderError for a model file, or a folder with one, that is a Git LFS pointer and not the file itself."""
    pointer = first_pointer([path] if path.is_file() else sorted(path.iterdir()))
    if pointer is not None:
        raise EncoderError(refusal(pointer.name))


def reason_of(error: BaseException) -> str:
    """Say in one line why a model could not be loaded."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"the file is cut short or damaged ({reason}). Get it again." if _in_gguf(error) else reason


def _in_gguf(error: BaseException) -> bool:
    """Tell whether an error came out of the reader of GGUF files, which says little of what is wrong with one."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and any(str(frame.f_globals.get("__name__")).startswith("gguf.") for frame in frames)
