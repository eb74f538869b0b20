"""What `benchmarks/first_run.py` has one build do, in a process of its own: align, align anew, extract, encode, or judge.

It is run as text in a checkout's folder, so that `import safety_steer` is that checkout's, and uses only what both have. Its
one argument is a job in JSON; its last line of output is what came of it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import safety_steer
from safety_steer.alignment.align_direction import align
from safety_steer.alignment.anchors import choose_anchors, choose_passages, encode_anchors
from safety_steer.cli import align as align_command
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.pooling import pool
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import extract
from safety_steer.extraction.text_model import load_text_model, token_states
from safety_steer.steering.gate import open_gate
from safety_steer.storage.bundled import SOURCE, bundled
from safety_steer.storage.prompt_files import read_pairs, read_prompts

SPACE = "cross_attn"
WARM_UP = 16
TOGETHER = 256
STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
Json = dict[str, Any]


def main() -> None:
    """Do the job and print what came of it."""
    job = json.loads(sys.argv[1])
    here = Path(safety_steer.__file__).resolve().parents[1]
    if here != Path.cwd().resolve():
        raise SystemExit(f"Expected the library of '{Path.cwd()}', but got that of '{here}'.")
    torch.set_num_threads(job["threads"])
    print(json.dumps(JOBS[job["do"]](job)))


def measured(work: Callable[[], Any]) -> tuple[Any, Json]:
    """Run something, and say how long it took, in all and of the processors, and its peak above what was taken before.

    Free memory is given back first, and the system's high-water mark taken down: what loading left behind hides nothing then.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        REFERENCES.write_text(RESET_PEAK)
    before, hidden = taken("VmRSS"), taken("VmHWM")
    began, busy = time.perf_counter(), time.process_time()
    result = work()
    seconds = {"seconds": time.perf_counter() - began, "processor": time.process_time() - busy}
    return result, {**seconds, "peak": taken("VmHWM") - before, "before": before, "hidden": hidden - before}


def taken(what: str) -> int:
    """Return the memory of this process, or its peak, in bytes."""
    if not STATUS.is_file():
        raise SystemExit("Peaks are read from /proc/self/status, which only Linux has.")
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def read_all(model: Any) -> None:
    """Read all weights once: those of rare words lie in the model's file until then, and are nothing a build takes above it."""
    for weights in model.model.parameters():
        weights.sum()


def do_align(job: Json) -> Json:
    """Align the build's bundled direction with its default settings, and save what came of it."""
    model, direction, layer = to_align(job)
    token_states(model, direction.anchors[:WARM_UP], layer)
    read_all(model)
    aligned, found = measured(lambda: align(direction, **encoded(model, direction, layer)))
    aligned.save(job["output"])
    return found | {"layer": layer, "anchors": aligned.settings["anchors"], "hash": aligned.content_hash}


def do_align_anew(job: Json) -> Json:
    """Align as often as `outputs` are asked for, each time with what teaches the gate in another order, and save each."""
    model, direction, layer = to_align(job)
    given, examples = encoded(model, direction, layer), direction.examples
    for seed, output in enumerate(job["outputs"], 1):
        order = torch.randperm(len(examples.unsafe), generator=torch.Generator().manual_seed(seed))
        turned = replace(examples, unsafe=examples.unsafe[order], weights=examples.weights[order])
        align(replace(direction, examples=turned), **given).save(output)
    return {}


def to_align(job: Json) -> tuple[Any, Any, int]:
    """Return the model, the direction and the layer of a job."""
    model = load_text_model(job["model"], "cpu")
    return model, SafetyDirection.load(job["direction"] or bundled(SOURCE)), target_layer(model)


def encoded(model: Any, direction: Any, layer: int) -> Json:
    """Encode what an alignment with default settings needs: return what `align` takes besides the direction."""
    parser = argparse.ArgumentParser()
    align_command.add_arguments(parser)
    most = parser.get_default("max_anchors")
    rows = choose_anchors(direction, most)
    states = encode_anchors(model, [direction.anchors[row] for row in rows], layer)
    passages = choose_passages(direction, most)
    long = encode_anchors(model, passages, layer) if passages else None
    return {"states": states, "encoder": f"{model.identity.name}, layer {layer}", "anchors": rows, "passages": long}


def do_extract(job: Json) -> Json:
    """Extract a direction with the default settings, and save it."""
    model = load_text_model(job["model"], "cpu")
    pairs, benign = read_pairs(job["pairs"]), read_prompts(job["benign"])
    token_states(model, benign[:WARM_UP], model.last_layer)
    read_all(model)
    direction, found = measured(lambda: extract(model, pairs, benign))
    direction.save(job["output"])
    return found | {"pairs": len(pairs), "benign": len(benign), "layers": direction.layers, "hash": direction.content_hash}


def do_encode(job: Json) -> Json:
    """Save the token states (T_i, D) of prompts, in order, at the layer that alignments take."""
    model = load_text_model(job["model"], "cpu")
    layer = target_layer(model)
    prompts = json.loads(Path(job["prompts"]).read_text(encoding="utf-8"))
    torch.save(token_states(model, prompts, layer), job["output"])
    return {"layer": layer, "prompts": len(prompts)}


def do_judge(job: Json) -> Json:
    """Return every prompt's reading (+ is safer) and gate score (+ is unsafe) by an aligned direction."""
    space = AlignedDirection.load(job["aligned"]).spaces[SPACE]
    states = torch.load(job["states"], mmap=True, weights_only=True)
    readings, scores = torch.zeros(len(states), dtype=torch.float64), torch.zeros(len(states), dtype=torch.float64)
    for rows, batch in of_one_length(states):
        readings[rows] = space.safe_score(pool(batch))[:, 0].double()
        decision = open_gate(batch, space)
        scores[rows] = decision.scores.double()
    return {"readings": readings.tolist(), "scores": scores.tolist(), "threshold": float(decision.threshold)}


def of_one_length(states: Sequence[Tensor]) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the numbers and states (B, T, D) of prompts of one length."""
    lengths: dict[int, list[int]] = {}
    for number, rows in enumerate(states):
        lengths.setdefault(len(rows), []).append(number)
    for numbers in lengths.values():
        for start in range(0, len(numbers), TOGETHER):
            part = numbers[start : start + TOGETHER]
            yield part, torch.stack([states[number] for number in part])


def target_layer(model: Any) -> int:
    """Return the layer that alignments take; the function has moved between builds."""
    try:
        from safety_steer.alignment.target_layer import target_layer as chosen
    except ImportError:
        chosen = align_command.target_layer  # type: ignore[attr-defined]
    return int(chosen(model, "auto"))


JOBS = {"align": do_align, "align anew": do_align_anew, "extract": do_extract, "encode": do_encode, "judge": do_judge}

if __name__ == "__main__":
    main()
