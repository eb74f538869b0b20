"""Measure how much memory alignment takes above the encoder, at widths from 1,024 to 53,248 channels (Ideogram 4).

    python -m benchmarks.align_memory [--widths 1024 53248 ...] [--anchors 3072] [--tokens 20] [-o results/align_memory.json]

The encoder is a stand-in that makes token states of a prompt as they are asked for and keeps none. Every width runs in a
process of its own: its peak, less what the process took before it collected the first prompt.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import choose_anchors, choose_passages, collect, collect_passages, spans_of
from safety_steer.cli.console import table
from safety_steer.directions.source import SafetyDirection
from safety_steer.storage.bundled import SOURCE, bundled

WIDTHS = (1024, 4096, 6144, 7680, 11520, 30720, 53248)
LIMIT = 2**30
AXES = 64  # of the source that the stand-in knows
LONG = 120  # tokens of a long prompt
BATCH_BYTES = 2**26
STATUS = Path("/proc/self/status")


def states(direction: SafetyDirection, rows: Sequence[int], width: int, tokens: int) -> Iterator[dict[str, list[Tensor]]]:
    """Yield token states of prompts in batches of 64 MiB: what they mean, in random directions, and noise."""
    generator = torch.Generator().manual_seed(0)
    known = direction.anchor_activations[:, :AXES].float()
    carried = torch.randn(AXES, width, generator=generator)
    size = max(1, BATCH_BYTES // (6 * width * tokens))
    for start in range(0, len(rows), size):
        batch = []
        for row in rows[start : start + size]:
            count = tokens // 2 + row % tokens + 1
            batch.append(known[row % len(known)] @ carried + 4 * torch.randn(count, width, generator=generator))
        yield {"cross_attn": batch}


def measure(width: int, anchors: int, tokens: int) -> dict[str, float]:
    """Align once, and return the peak above what was there before, in bytes, and the seconds it took."""
    direction = SafetyDirection.load(bundled(SOURCE))
    rows, long = choose_anchors(direction, anchors), choose_passages(direction, anchors)
    before, started = _taken("VmRSS"), time.perf_counter()
    found = collect(states(direction, rows, width, tokens), len(rows), spans={})
    passages = collect_passages(states(direction, range(len(long)), width, LONG), len(long), spans_of(found))
    settings = AlignSettings(require_better_than_chance=False)
    aligned = align(direction, found, "stand-in", settings, anchors=rows, passages=passages)
    seconds = time.perf_counter() - started
    return {
        "width": aligned.spaces["cross_attn"].width,
        "anchors": len(rows),
        "peak": _taken("VmHWM") - before,
        "seconds": seconds,
    }


def _taken(what: str) -> int:
    """Return the memory of this process, or its peak, in bytes; where the system does not say, the peak."""
    if STATUS.is_file():
        [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(what)]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measure every width in a process of its own and print a table; the exit status says whether all keep the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--anchors", type=int, default=3072)
    parser.add_argument("--tokens", type=int, default=20, help="mean tokens of an anchor")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.anchors, options.tokens)))
        return
    shared = ["--anchors", str(options.anchors), "--tokens", str(options.tokens)]
    found = []
    for width in options.widths:
        command = [sys.executable, __file__, "--one", str(width), *shared]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    rows = [
        [f"{row['width']:,}", f"{row['anchors']:,}", f"{row['peak'] / 2**20:,.0f} MiB", f"{row['seconds']:.1f} s"]
        for row in found
    ]
    print(table(["width", "anchors", "peak above the encoder", "time"], rows))
    if options.output:
        options.output.write_text(json.dumps({"anchors": options.anchors, "tokens": options.tokens, "runs": found}, indent=1))
    sys.exit(any(row["peak"] > LIMIT for row in found))


if __name__ == "__main__":
    main()
