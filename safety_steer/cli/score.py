"""`safety-steer score`: how well a direction separates safe from unsafe prompts, in its own space or an aligned one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ..directions.any_direction import load_any
from ..evaluation.pair_readings import Readings, Window, read_all, score_windows
from ..extraction.shards import source_of
from ..storage.pair_stream import stream_pairs, windows
from .console import Result, add_crew_options, add_model_options, crew_of, progress_line, table

WINDOW = 4096  # by hand; pairs that are read, encoded and forgotten together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", help="a direction (scored in its source model) or an aligned direction (in its encoder)")
    parser.add_argument("--encoder", required=True, help="that model: a Hugging Face folder or a .gguf file")
    parser.add_argument("--pairs", required=True, help="JSON lines, CSV or Parquet with safe, unsafe and category")
    add_model_options(parser)
    add_crew_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode both sides of the pairs, window by window, and score them."""
    stream = windows(stream_pairs(options.pairs), WINDOW)
    first = next(stream)
    direction = load_any(options.file)
    source, file = source_of(options.encoder, options.device, options.dtype), str(Path(options.file).resolve())
    pair_categories: list[str] = []

    def to_read() -> Iterator[Window]:
        for pairs in chain([first], stream):
            pair_categories.extend(sys.intern(pair.category) for pair in pairs)
            yield Window(source, file, tuple([pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]))

    with crew_of(options) as crew:
        found: dict[int, Readings] = dict(read_all(to_read(), *crew, progress_line("encoding pairs", options)))
    result = score_windows([found[number] for number in range(len(found))], pair_categories, direction.categories)
    data = result.document()
    rows = [["direction", result.auroc], ["pair accuracy", result.pair_accuracy]]
    rows += [[f"  {name}", value] for name, value in result.per_category.items()]
    rows += [["gate", result.gate.auroc], ["  unsafe flagged", result.gate.tpr], ["  safe flagged", result.gate.fpr]]
    return Result(data, table([f"{result.pairs:,} pairs", "AUROC"], rows))
