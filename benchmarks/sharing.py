"""Measure shared alignments: what loading one costs beside making it, and which stored weights still count as the same encoder.

    python -m benchmarks.sharing [--targets MODEL ...] [--anchors N] [--only-probes] [-o results/sharing.json]

The linear weights of each target are stored in fewer bits and read back, as text encoders are shared. Then probe prompts of an
alignment to the unchanged target are compared, and pairs of the bundled harmless stand-ins and unseen harmless prompts are
read by that alignment and by one of the stored target's own. Nothing is random but the alignment's networks, which are seeded.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import align
from safety_steer.alignment.anchors import choose_anchors, choose_passages, encode_anchors
from safety_steer.alignment.target_layer import target_layer
from safety_steer.cli.console import table
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import MATCH_COSINE
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.text_model import load_text_model, token_states
from safety_steer.statistics import auroc
from safety_steer.steering.gate import gate_threshold, open_gate
from safety_steer.storage.bundled import SOURCE, STAND_INS, bundled, packaged_model
from safety_steer.storage.prompt_files import read_pairs

SPACE = "cross_attn"
REPEATS = 5
UNSEEN = 256


def eight_bits(weight: Tensor) -> Tensor:
    """Round to whole steps of 1/127 of each row's largest weight."""
    step = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / step).round() * step


def float_eight(weight: Tensor) -> Tensor:
    """Round to E4M3, the largest weight at 448."""
    scale = weight.abs().max().clamp(min=1e-12) / 448
    return (weight / scale).to(torch.float8_e4m3fn).float() * scale


def four_bits(weight: Tensor) -> Tensor:
    """Round to 16 steps in blocks of 32, as Q4_0 does."""
    blocks = weight.reshape(-1, 32)
    step = blocks.abs().amax(1, keepdim=True).clamp(min=1e-12) / 7
    return ((blocks / step).round().clamp(-8, 7) * step).reshape(weight.shape)


def low_rank(weight: Tensor) -> Tensor:
    """Add a random change of rank 4 and a tenth of the weights' norm, as a LoRA might."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = (torch.randn(size, 4, generator=generator) for size in weight.shape)
    change = rows @ columns.T
    changed: Tensor = weight + change * (0.1 * weight.norm() / change.norm())
    return changed


STORED: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda weight: weight,
    "bfloat16": lambda weight: weight.bfloat16().float(),
    "int8": eight_bits,
    "float8_e4m3": float_eight,
    "4 bits": four_bits,
    "a LoRA": low_rank,
}


def measured(target: str, direction: SafetyDirection, anchors: int, unseen: Sequence[str], only_probes: bool) -> dict[str, Any]:
    """Align to a target, load that again, and read with both what differently stored targets say."""
    model = load_text_model(target, "cpu", "float32")
    layer, rows = target_layer(model, "auto"), choose_anchors(direction, anchors)
    passages = choose_passages(direction, anchors)
    linear = [module for module in model.model.modules() if isinstance(module, torch.nn.Linear)]
    kept = [module.weight.detach().clone() for module in linear]

    def aligned() -> AlignedDirection:
        states = encode_anchors(model, [direction.anchors[row] for row in rows], layer)
        return align(direction, states, target, anchors=rows, passages=encode_anchors(model, passages, layer))

    def probes(found: AlignedDirection) -> Tensor:
        return encode_anchors(model, found.probe_prompts, layer)[SPACE].pooled

    start = time.perf_counter()
    made = aligned()
    took = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shared.safetensors"
        made.save(path)
        size = path.stat().st_size
        loads = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            shared = AlignedDirection.load(path)
            shared.check_encoder(SPACE, probes(shared))
            loads.append(time.perf_counter() - start)
    same = all(torch.equal(tensor, shared._tensors()[name]) for name, tensor in made._tensors().items())
    stored = []
    for name, change in STORED.items():
        with torch.no_grad():
            for module, weight in zip(linear, kept, strict=True):
                module.weight.copy_(change(weight))
        cosine = shared.spaces[SPACE].encoder.agreement(probes(shared))
        found: dict[str, Any] = {"stored": name, "cosine": cosine, "loads": cosine >= MATCH_COSINE}
        stored.append(found)
        if only_probes:
            continue
        own = made if name == "as it is" else aligned()
        states = [token_states(model, texts, layer) for texts in (*sides(), unseen)]
        for whose, alignment in (("shared", shared), ("own", own)):
            found.update({f"{whose} {key}": value for key, value in scored(alignment, states).items()})
    return {
        "target": Path(target).name,
        "anchors": len(rows),
        "passages": len(passages),
        "align_seconds": took,
        "load_seconds": statistics.median(loads),
        "megabytes": size / 2**20,
        "same_tensors": same,
        "stored": stored,
    }


def sides() -> tuple[list[str], list[str]]:
    """Return the safe and the unsafe sides of the bundled stand-ins."""
    pairs = read_pairs(bundled(STAND_INS))
    return [pair.safe for pair in pairs], [pair.unsafe for pair in pairs]


def scored(found: AlignedDirection, states: Sequence[Sequence[Tensor]]) -> dict[str, float]:
    """Return the gate's AUROC of (safe, unsafe, unseen harmless) states, and the shares of the last two that are flagged."""
    space = found.spaces[SPACE]
    safe, unsafe, harmless = (torch.cat([open_gate(rows[None], space).scores for rows in part]) for part in states)
    limit = gate_threshold(space)
    return {
        "auroc": auroc(unsafe, safe),
        "flagged": float((unsafe > limit).double().mean()),
        "harmless": float((harmless > limit).double().mean()),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=[str(packaged_model("all-MiniLM-L6-v2"))])
    parser.add_argument("--anchors", type=int, default=1024)
    parser.add_argument("--only-probes", action="store_true", help="compare probe prompts and read nothing else")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    direction = SafetyDirection.load(bundled(SOURCE))
    unseen = direction.anchors[-UNSEEN:]
    results = []
    for target in options.targets:
        anchors = min(options.anchors, len(direction.anchors) - UNSEEN)
        results.append(measured(target, direction, anchors, unseen, options.only_probes))
        one = results[-1]
        print(f"{one['target']}: aligned in {one['align_seconds']:.1f} s, loaded and checked in {one['load_seconds']:.2f} s")
        print(table(list(one["stored"][0]), [list(row.values()) for row in one["stored"]]), flush=True)
    machine = f"{platform.machine()}, one thread, torch {torch.__version__}"
    if options.output:
        options.output.write_text(json.dumps({"machine": machine, "direction": SOURCE, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
