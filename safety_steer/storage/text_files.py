"""Text files in, files out: size limits, UTF-8, and nothing ever half written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import DataError
from .lfs_pointers import first_pointer, refusal

MAX_BYTES = 64 * 2**20  # by hand: a letter takes up to four bytes in memory, and the text is there twice while it is read


def read_text(path: str | os.PathLike[str], limit: int | None = None, *, as_is: bool = False) -> tuple[Path, str]:
    """Return a file's path and its text; raises DataError for one that is missing, larger than `limit`, or no text in UTF-8.

    With `as_is` line ends and a byte order mark stay as they are, for a file that is written again.
    """
    source, limit = Path(path), limit or MAX_BYTES
    if not source.is_file():
        raise DataError(f"There is no file '{source}'. Check the name and the folder.")
    try:
        # A file may grow while it is looked at, and those of a system's own folders say that they are empty.
        size = source.stat().st_size
        with source.open("rb") as stream:
            data = stream.read(limit + 1) if size <= limit else b""
    except OSError as error:
        raise DataError(f"'{source.name}' cannot be read: {error.strerror or error}. Look at who may read it.") from error
    if max(size, len(data)) > limit:
        raise DataError(f"'{source.name}' is larger than {limit:,} bytes. Split it, or check that it is the right file.")
    if first_pointer([source]) is not None:
        raise DataError(refusal(source.name))
    try:
        text = data.decode("utf-8" if as_is else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{source.name}' is not UTF-8 text. Save it as UTF-8.") from error
    return source, text if as_is else text.replace("\r\n", "\n").replace("\r", "\n")


def write_bytes(target: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` to a temporary name beside `target`, flush it to disk and move it into place; `mode` is who may read."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
