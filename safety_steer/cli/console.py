"""What the commands share at the terminal: a result, a progress line, a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..extraction.text_model import Progress


@dataclass(frozen=True)
class Result:
    """What a command found: `data` for `--json`, `text` for people."""

    data: Mapping[str, Any]
    text: str


def progress_line(label: str, options: argparse.Namespace) -> Progress | None:
    """Return a callback that redraws one progress line on stderr, or None with `--quiet`."""
    if options.quiet:
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        print(f"\r{label} {done:,}/{total:,}", end=end, file=sys.stderr, flush=True)

    return show


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows under a header in aligned columns; floats get three decimals."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that loads a model."""
    parser.add_argument("--device", default="auto", help="auto (all GPUs, else CPU), cpu, cuda, cuda:1, mps")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
