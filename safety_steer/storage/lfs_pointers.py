"""Git LFS pointers: a few lines of text that a repository holds in place of a large file, until that is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

START = b"version https://git-lfs.github.com/spec/"
LARGEST = 1024  # bytes, by Git LFS's specification


def is_pointer(data: bytes) -> bool:
    """Tell whether a file's bytes are those of a pointer."""
    return len(data) < LARGEST and data.startswith(START)


def refusal(name: str) -> str:
    """Say what is wrong with a pointer, and what to do."""
    return (
        f"'{name}' is a Git LFS pointer, a note in place of the file, and not the file itself. Run `git lfs pull` where it "
        "comes from, or download the file itself."
    )


def first_pointer(files: Iterable[Path]) -> Path | None:
    """Return the first of some files that is a pointer; only small ones are opened."""
    small = (file for file in files if file.is_file() and file.stat().st_size < LARGEST)
    return next((file for file in small if is_pointer(file.read_bytes())), None)
