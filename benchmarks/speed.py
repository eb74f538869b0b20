"""Measure speed and peak memory: extraction and alignment against the bare forward passes they need, the fit, clip, erase.

    python -m benchmarks.speed --pairs pairs.jsonl [--only extract align fit clip erase] [--targets MODEL ...] [--threads N]
        [-o results/speed.json]

Each part runs in a process of its own, so that peak memory is its own. Ratios are taken in the same process, bare passes
and ours in turn. Alignment is timed with the bundled direction and, side by side, with the older one, whose gate knows short
prompts only: to all-MiniLM-L6-v2 and to the models that --targets names.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from safety_steer.alignment.align_direction import AlignSettings, align, align_space
from safety_steer.alignment.anchors import AnchorStates, encode_anchors
from safety_steer.alignment.target_layer import target_layer
from safety_steer.cli.console import table
from safety_steer.directions.source import ModelIdentity, SafetyDirection
from safety_steer.extraction.batching import BATCH_TOKENS, batches
from safety_steer.extraction.extract_direction import extract, fit_direction
from safety_steer.extraction.text_model import TextModel, load_text_model, token_ids
from safety_steer.storage.bundled import SOURCE, bundled, packaged_model
from safety_steer.storage.prompt_files import Pair, read_pairs, read_prompts

from .steering_speed import measure_clip, measure_erase

FITS = ((576, 384), (4096, 4096))
OLDER = "smollm2-135m-instruct.safetensors"
REPEATS = 3


def best(function: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def bare_forward(model: TextModel, prompts: list[str]) -> Callable[[], None]:
    """Return a run of the model alone over ready-made batches of the same prompts: no tokenising, no pooling."""
    ids = token_ids(model, prompts)
    ready = []
    for rows in batches([len(row) for row in ids], BATCH_TOKENS):
        encoded = model.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        ready.append((encoded["input_ids"], encoded["attention_mask"]))

    def run() -> None:
        with torch.inference_mode():
            for tokens, mask in ready:
                model.model(input_ids=tokens, attention_mask=mask)

    return run


def measure_extract(options: argparse.Namespace) -> dict[str, float]:
    """Extraction of the bundled direction against the bare passes over its prompts."""
    model = load_text_model(packaged_model("SmolLM2-135M-Instruct"))
    pairs, anchors = read_pairs(options.pairs), read_prompts(bundled("harmless_prompts.txt"))
    prompts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs] + anchors
    bare = best(bare_forward(model, prompts), 1)
    ours = best(lambda: extract(model, pairs, anchors), 1)
    return {"pairs": len(pairs), "harmless": len(anchors), "bare_s": bare, "ours_s": ours, "ratio": ours / bare}


def measure_align(options: argparse.Namespace) -> dict[str, Any]:
    """Alignment with today's direction and the older one in turn, encoding and fit, against bare passes over the prompts.

    Medians by target; those of today's to all-MiniLM-L6-v2 at the top too. Bare passes run all layers, also those after the
    one that is read.
    """
    found: dict[str, Any] = {}
    for path in (packaged_model("all-MiniLM-L6-v2"), *options.targets):
        model = load_text_model(path, "cpu")
        name = "all-MiniLM-L6-v2" if not found else model.identity.name
        found[name] = _align_times(model)
    return {**found["all-MiniLM-L6-v2"]["newer"], "targets": found}


def _align_times(model: TextModel) -> dict[str, dict[str, float]]:
    """Time the newer and the older direction on one target, after some prompts that do not count."""
    layer = target_layer(model, "auto")
    runs = {"newer": SafetyDirection.load(bundled(SOURCE)), "older": SafetyDirection.load(bundled(OLDER))}
    bare = {name: bare_forward(model, [*direction.anchors, *direction.passages]) for name, direction in runs.items()}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
    encode_anchors(model, runs["older"].anchors[:64], layer)
    for _, (name, direction) in itertools.product(range(REPEATS), runs.items()):
        times[name].append((best(bare[name], 1), *_align_once(model, direction, layer)))
    counts = {name: len(direction.anchors) + len(direction.passages) for name, direction in runs.items()}
    return {name: {"prompts": counts[name], **_medians(rows)} for name, rows in times.items()}


def _align_once(model: TextModel, direction: SafetyDirection, layer: int) -> tuple[float, float]:
    """Align once: seconds for encoding and for the fit."""
    start = time.perf_counter()
    states = encode_anchors(model, direction.anchors, layer)
    passages = encode_anchors(model, direction.passages, layer) if direction.passages else None
    encoded = time.perf_counter()
    align(direction, states, "target", passages=passages)
    return encoded - start, time.perf_counter() - encoded


def _medians(rows: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Return the medians of bare passes, encoding, fit, all of an alignment, and its ratio to bare passes."""
    bare, encoding, fit = (statistics.median(column) for column in zip(*rows, strict=True))
    whole = statistics.median(row[1] + row[2] for row in rows)
    ratio = statistics.median((row[1] + row[2]) / row[0] for row in rows)
    return {"bare_s": bare, "encoding_s": encoding, "fit_s": fit, "ours_s": whole, "ratio": ratio}


class LargestSquare(TorchDispatchMode):
    """Record whether any tensor of shape (width, width) is made."""

    def __init__(self, width: int) -> None:
        """Watch for one width."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.width, self.seen = width, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Run the operation and look at its results."""
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor) and tuple(value.shape) == (self.width, self.width):
                self.seen = True
        return result


def planted(source_width: int, target_width: int, count: int = 2048) -> tuple[SafetyDirection, AnchorStates]:
    """Return a direction and target states that share 256 latent factors, with seven categories."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    latent, to_source, to_target = noise(count, 256), noise(256, source_width), noise(256, target_width)
    anchors = latent @ to_source + 4 * noise(count, source_width)
    pairs = [Pair(f"safe {index}", f"unsafe {index}", f"category_{index % 6}") for index in range(360)]
    shared = noise(360, 256)
    safe, unsafe = shared @ to_source, (shared + 0.3 * noise(1, 256)) @ to_source
    identity = ModelIdentity("planted", "planted", source_width, 1)
    direction = fit_direction(
        identity, (1,), "mean", "mean", pairs, [f"prompt {index}" for index in range(count)], (safe, unsafe, anchors), {}
    )
    target = latent @ to_target + 4 * noise(count, target_width)
    tokens = [(row + noise(12, target_width)).half() for row in target]
    return direction, AnchorStates(target, tokens)


def measure_fit(_: argparse.Namespace) -> dict[str, float]:
    """The fit alone, map to calibrated direction with its held-out report, at two sizes."""
    result: dict[str, float] = {}
    for source_width, target_width in FITS:
        direction, states = planted(source_width, target_width)

        def fit(direction: SafetyDirection = direction, states: AnchorStates = states) -> object:
            return align_space(direction, direction.anchor_activations, states, AlignSettings(), "cross_attn")

        fit()
        result[f"{source_width}->{target_width}_s"] = best(fit, 3)
        with LargestSquare(target_width) as watch:
            fit()
        result[f"{source_width}->{target_width}_square_formed"] = float(watch.seen)
    return result


Measure = Callable[[argparse.Namespace], dict[str, Any]]
PARTS: dict[str, Measure] = {
    "extract": measure_extract,
    "align": measure_align,
    "fit": measure_fit,
    "clip": measure_clip,
    "erase": measure_erase,
}


def figures_of(results: Mapping[str, Any], parts: tuple[str, ...] = ()) -> Iterator[list[Any]]:
    """Yield a row for every number: its part, its name and its value."""
    for name, value in results.items():
        if isinstance(value, Mapping):
            yield from figures_of(value, (*parts, name))
        else:
            yield [*parts[:1], " ".join([*parts[1:], name]), value]


def main() -> None:
    """Run the parts, each in a process of its own, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", help="pairs for the extraction (without it, extraction is left out)")
    parser.add_argument("--targets", nargs="*", default=[], metavar="MODEL", help="more models to align to")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="how many threads to run with")
    parser.add_argument("--only", nargs="*", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", help="JSON file to write; parts not run now stay in it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.part:
        numbers = PARTS[options.part](options)
        numbers["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(numbers))
        return
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    results = {}
    for part in options.only:
        if part == "extract" and not options.pairs:
            continue
        command = [sys.executable, "-m", "benchmarks.speed", "--part", part, "--threads", str(options.threads)]
        command += ["--pairs", options.pairs] if options.pairs else []
        command += ["--targets", *options.targets]
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        results[part] = {**figures, "machine": machine}
    print(table(["part", "figure", "value"], list(figures_of(results))))
    if options.output:
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(Path(options.output).read_text()) if Path(options.output).is_file() else {}
        Path(options.output).write_text(json.dumps({**before, **results}, indent=1))


if __name__ == "__main__":
    main()
