"""Measure speed and peak memory: extraction and alignment against the bare forward passes they need, the fit, clip.

    python benchmarks/speed.py --pairs pairs.jsonl [--only extract align fit clip] [-o results/speed.json]

Each part runs in a process of its own, so that peak memory is its own. Ratios are taken in the same process, bare passes
and ours in turn, and the best of the repeats counts for both.
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
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from safety_steer.align import AlignSettings, align, align_space
from safety_steer.aligned import LEVELS, AlignedSpace
from safety_steer.anchors import AnchorStates, encode_anchors
from safety_steer.bundled import bundled, packaged_model
from safety_steer.cli.console import table
from safety_steer.data import Pair, read_pairs, read_prompts
from safety_steer.direction import ModelIdentity, SafetyDirection
from safety_steer.encode import BATCH_TOKENS, TextModel, batches, load_text_model
from safety_steer.extract import extract, fit_direction
from safety_steer.steer import steer

FITS = ((576, 384), (4096, 4096))


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
    start = [model.tokenizer.bos_token_id] if model.causal else []
    ids = [[*start, *row] for row in model.tokenizer(prompts, truncation=True, max_length=511)["input_ids"]]
    ready = []
    for rows in batches([len(row) for row in ids], BATCH_TOKENS):
        encoded = model.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        ready.append((encoded["input_ids"], encoded["attention_mask"]))

    def run() -> None:
        with torch.inference_mode():
            for tokens, mask in ready:
                model.model(input_ids=tokens, attention_mask=mask)

    return run


def measure_extract(pairs_file: str) -> dict[str, float]:
    """Extraction of the bundled direction against the bare passes over its 6,188 prompts."""
    model = load_text_model(packaged_model("SmolLM2-135M-Instruct"))
    pairs, anchors = read_pairs(pairs_file), read_prompts(bundled("benign_prompts.txt"))
    prompts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs] + anchors
    bare = best(bare_forward(model, prompts), 1)
    ours = best(lambda: extract(model, pairs, anchors), 1)
    return {"bare_s": bare, "ours_s": ours, "ratio": ours / bare}


def measure_align(_: str) -> dict[str, float]:
    """Alignment of the bundled direction to MiniLM, encoding and fit, against the bare passes over its anchors."""
    model = load_text_model(packaged_model("all-MiniLM-L6-v2"))
    direction = SafetyDirection.load(bundled("smollm2-135m-instruct.safetensors"))
    run = bare_forward(model, list(direction.anchors))

    def ours() -> None:
        align(direction, encode_anchors(model, direction.anchors, model.last_layer), "target")

    ours()
    pairs = [(best(run, 1), best(ours, 1)) for _ in range(7)]
    bare, mine = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return {"bare_s": bare, "ours_s": mine, "ratio": statistics.median(pair[1] / pair[0] for pair in pairs)}


class LargestSquare(TorchDispatchMode):
    """Record whether any tensor of shape (width, width) is made."""

    def __init__(self, width: int) -> None:
        """Watch for one width."""
        super().__init__()
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


def measure_fit(_: str) -> dict[str, float]:
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


def measure_clip(_: str) -> dict[str, float]:
    """`clip` on (1, 512, 4096) against copying it: a benign prompt, and a flagged one with a quarter of its tokens moved.

    "memory" takes another of 32 tensors each time, as a run does that sees its conditioning once; "cached" the same one.
    """
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 512, 4096, generator=generator)
    row = torch.randn(1, 4096, generator=generator) / 64
    levels = torch.tensor(LEVELS)[None]
    space = AlignedSpace(
        vectors=row.clone(),
        readings=row,
        offsets=torch.zeros(1),
        token_quantiles=levels.clone(),
        prompt_quantiles=10 + levels,
        phrase_quantiles=10 + levels,
        prompt_readings=row,
        gate_weights=torch.zeros(3, 4096),
        gate_biases=torch.zeros(3),
        gate_quantiles=levels.expand(4, -1).clone(),
        witness_weights=torch.tensor([1.0, 0.25, 0.25]),
        mean=torch.zeros(4096),
        scale=torch.ones(4096),
        fit_limit=torch.tensor(4.0),
        probes=torch.zeros(8, 4096),
    )
    figures: dict[str, float] = {}
    for name, count in (("cached", 1), ("memory", 32)):
        ring = itertools.cycle([states.clone() for _ in range(count)])
        copy = best(lambda ring=ring: next(ring).clone(), 96)
        benign = best(lambda ring=ring: steer(next(ring), space, ("global",), {"global": 1.0}), 96)
        flagged = best(lambda ring=ring: steer(next(ring), space, ("global",), {"global": 1.0}, gate=torch.ones(1)), 96)
        figures[f"{name}_copy_ms"] = copy * 1e3
        figures |= {f"{name}_benign_ratio": benign / copy, f"{name}_flagged_ratio": flagged / copy}
    return figures


PARTS = {"extract": measure_extract, "align": measure_align, "fit": measure_fit, "clip": measure_clip}


def main() -> None:
    """Run the parts, each in a process of its own, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", help="pairs for the extraction (without it, extraction is left out)")
    parser.add_argument("--only", nargs="*", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", help="JSON file to write; parts not run now stay in it")
    options = parser.parse_args()
    if options.part:
        numbers = PARTS[options.part](options.pairs)
        numbers["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(numbers))
        return
    results = {}
    for part in options.only:
        if part == "extract" and not options.pairs:
            continue
        command = [sys.executable, __file__, "--part", part, *(["--pairs", options.pairs] if options.pairs else [])]
        results[part] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(
        table(["part", "figure", "value"], [[part, name, value] for part in results for name, value in results[part].items()])
    )
    if options.output:
        machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(Path(options.output).read_text()) if Path(options.output).is_file() else {}
        Path(options.output).write_text(json.dumps({**before, "machine": machine, **results}, indent=1))


if __name__ == "__main__":
    main()
