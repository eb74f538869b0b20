"""What to say where memory runs out: the error stays of its type, by which ComfyUI knows that it has to unload its models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management

BESIDE = ("not enough memory", "can't allocate memory")  # torch's own words for the computer's memory


@contextmanager
def told(node: str, remedy: str) -> Iterator[None]:
    """Say in one line which node ran out of memory, that nothing was kept or changed, and what to do.

    Raises an error of the type that came, which is how ComfyUI knows that memory is short; all others pass.
    """
    try:
        yield
    except Exception as error:
        if not _is_memory(error):
            raise
        first = str(error).strip().splitlines()[:1]
        said = f"{node} ran out of memory{''.join(f' ({line[:160]})' for line in first)}. Nothing was kept or changed. {remedy}"
        raise type(error)(said) from error


def _is_memory(error: Exception) -> bool:
    """Tell whether memory ran out, on a graphics card or beside it."""
    on_card: type[Exception] = comfy.model_management.OOM_EXCEPTION  # Exception itself, where torch knows no such error
    beside = type(error) is RuntimeError and any(words in str(error) for words in BESIDE)
    return beside or isinstance(error, MemoryError if on_card is Exception else (on_card, MemoryError))
