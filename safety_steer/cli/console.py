"""What the commands share at the terminal: a result, a progress line, a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..extraction.text_model import TextModel
    from ..runners.runner import Runner
    from ..storage.kept_parts import KeptParts

CREW = ("processes", "ray", "keep")


@dataclass(frozen=True)
class Result:
    """What a command found: `data` for `--json`, `text` for people, and the exit code."""

    data: Mapping[str, Any]
    text: str
    code: int = 0


class Bar:
    """A progress bar on stderr that says how long it will still take, made anew by each first call; none where stderr is no
    terminal, so that logs stay readable.
    """

    def __init__(self, label: str) -> None:
        """Draw nothing yet: how much there is comes with the first call."""
        self.label = label
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        from tqdm import tqdm

        if self._bar is None:
            # What is there at the first call (an earlier run's rows) says nothing about the pace of this one. `disable`
            # is named because the variable that silences the bars of model loaders would silence this one too.
            self._bar = tqdm(desc=self.label, total=total, initial=done, file=sys.stderr, disable=None)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the line of the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress_line(label: str, options: argparse.Namespace) -> Bar | None:
    """Return a callback (done, total) that draws a progress bar on stderr, or None with `--quiet`."""
    return None if options.quiet else Bar(label)


@contextmanager
def progress_until(label: str, options: argparse.Namespace) -> Iterator[Bar | None]:
    """Draw a progress bar on stderr whose line ends with the context, however that ends; None with `--quiet`."""
    bar = progress_line(label, options)
    try:
        yield bar
    finally:
        if bar is not None:
            bar.close()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows under a header in aligned columns; floats get three decimals."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that loads a model."""
    parser.add_argument("--device", default="auto", help="auto (all GPUs, else CPU), cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--dtype",
        default="auto",
        help="auto, float32, float16 or bfloat16; auto may round on a CPU",
    )


def add_crew_options(parser: argparse.ArgumentParser, does: str = "encode", made: str = "the encoding") -> None:
    """Add the options of every command that can do its work in parts; `does` and `made` say what the work is."""
    parser.add_argument("--processes", type=int, metavar="N", help=f"{does} in N processes of this computer")
    parser.add_argument("--ray", metavar="ADDRESS", help=f"{does} on a Ray cluster: host:port, auto, or local for one here")
    parser.add_argument("--keep", metavar="FOLDER", help=f"keep parts of {made} there, for a second run to go on")


def shared_out(options: argparse.Namespace) -> bool:
    """Say whether a crew option is given."""
    return any(getattr(options, name) is not None for name in CREW)


@contextmanager
def crew_of(options: argparse.Namespace) -> Iterator[tuple[Runner, KeptParts]]:
    """Give where the crew options say to work, and what is kept of it; its end is the end of the workers."""
    from ..runners.runner import open_runner
    from ..storage.kept_parts import KeptParts

    with open_runner(options.processes, options.ray) as crew:
        yield crew, KeptParts(options.keep and Path(options.keep))


@contextmanager
def models_of(options: argparse.Namespace) -> Iterator[Callable[[str], TextModel]]:
    """Give what loads a text model as the model options say, for one process, several, or a cluster, until the end."""
    if not shared_out(options):
        from ..extraction.text_model import load_text_model

        yield lambda path: load_text_model(path, options.device, options.dtype)
        return
    from ..extraction.shards import load_sharded

    with crew_of(options) as crew:
        yield lambda path: load_sharded(path, options.device, options.dtype, *crew)
