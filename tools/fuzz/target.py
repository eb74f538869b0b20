"""A target: a plain function of bytes that succeeds, or raises what the library declares; anything else is a fault."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from safety_steer.errors import SafetySteerError

MEMORY = Path("/dev/shm")  # a folder without a disk behind it, where the system has one
LONGEST_LINE = 4000


@dataclass(frozen=True)
class Target:
    """What a fuzzer runs: a name, a function of one input, and small sound inputs to begin with."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 4096


@cache
def folder() -> Path:
    """Return an empty folder of this process, deleted when it ends."""
    made = tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def given(name: str, data: bytes) -> Path:
    """Write an input as a file of that name and return its path."""
    path = folder() / name
    with open(path, "wb") as stream:
        stream.write(data)
    return path


@contextmanager
def refusing() -> Iterator[None]:
    """Let pass what the library says of inputs that it refuses: one line, not endless."""
    try:
        yield
    except SafetySteerError as error:
        text = str(error)
        assert text.strip(), "an error without words"
        assert text.isprintable(), "an error that is not one line of letters"
        assert len(text) < LONGEST_LINE, f"an error of {len(text):,} characters"


def whole(path: Path, before: bytes | None) -> None:
    """Assert that a folder holds nothing half written, and a file what it held before if nothing was written to it."""
    left = [one.name for one in path.parent.iterdir() if one.name.endswith(".part")]
    assert not left, f"half written: {left}"
    if before is not None:
        assert path.read_bytes() == before, f"'{path.name}' was changed"
