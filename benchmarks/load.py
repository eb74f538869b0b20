"""Queue 200 runs in one real ComfyUI server, alternating ten workflows and directions: pictures, reports and memory.

    COMFYUI_PATH=path/to/ComfyUI path/to/its/python -m benchmarks.load [--runs 200] [-o results/load.json]

First a server of its own draws every workflow with four seeds, all runs of one workflow after the other: what is right. Then
another server draws them in turns, each run with another workflow, direction and seed than the one before. Every picture has to
be the very one, pixel by pixel, every report has to be on the node of its run and say the same, and the memory of the server,
once each workflow has run twice, has to stay as it is. The demo's generator is used as it comes with the pack, with harmless
prompts and one that shows a knife.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "comfyui")]

from support.comfyui import running_comfyui  # noqa: E402  # isort: skip
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from support.comfyui import comfy_queue  # noqa: E402
from support.comfyui.comfy_process import ComfyProcess  # noqa: E402
from test_examples import EXAMPLES  # noqa: E402
from test_server import graph_of, of_type  # noqa: E402

PICTURE = "example.png"
SEEDS = 4
STEP = 7  # prime to the number of workflows: each run has another than the one before, and all have their turn
WARM_ROUNDS = 2
FLAT = 0.02  # of the memory held when all workflows have run twice
THIRD = "third.safetensors"
TELLING = ("LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer", "ApplySafetySteer", "SafetyReport")
APPLY = "ApplySafetySteer"


@dataclass(frozen=True)
class Case:
    """One workflow: an example, the direction in it, and what is set on its nodes, by class and input."""

    example: str
    direction: str
    changes: dict[str, dict[str, Any]]

    def graph(self, seed: int, run: int) -> dict[str, Any]:
        """Return the graph to queue. ComfyUI executes its nodes anew for every number of a run, which none of them takes."""
        [path] = [path for path in EXAMPLES if path.stem == self.example]
        graph: dict[str, Any] = graph_of(path)
        changes = {**self.changes, "LoadSafetyDirection": {"direction_name": self.direction}}
        for node in graph.values():
            node["inputs"].update(changes.get(node["class_type"], {}))
            node["inputs"].update({"run": run} if node["class_type"] in (*TELLING, "KSampler", "SaveImage") else {})
            node["inputs"].update({"seed": 1000 + seed} if node["class_type"] == "KSampler" else {})
        return graph


@dataclass(frozen=True)
class Shown:
    """What a run left: a hash of the pixels of each picture it saved, and what its Apply nodes said."""

    pictures: tuple[str, ...]
    reports: tuple[str, ...]


def cases() -> tuple[Case, ...]:
    """Return ten workflows: three examples and three directions, with other settings."""
    bundled = running_comfyui.module("safety_steer.storage.bundled")
    older, newer = bundled.DEMO_SOURCE, bundled.SOURCE
    text, mixing, picture = "demo-text-to-image", "demo-category-mixing", "demo-image-to-image"
    harmless = {"CLIPTextEncode": {"text": "a cat next to a kite on the beach"}}
    return (
        *(Case(text, name, {}) for name in (older, newer, THIRD)),
        *(Case(mixing, name, {}) for name in (older, newer)),
        *(Case(picture, name, {}) for name in (older, newer)),
        Case(text, older, {APPLY: {"site": "cross-attention"}}),
        Case(text, newer, {APPLY: {"operator": "clip", "strength": 0.5}}),
        Case(text, older, harmless),
    )


def third_direction() -> Any:
    """Return a direction of three categories of the newest one's."""
    source = running_comfyui.module("safety_steer.directions.source")
    bundled = running_comfyui.module("safety_steer.storage.bundled")
    newest = source.SafetyDirection.load(bundled.bundled(bundled.SOURCE))
    rows = ("vectors", "readings", "probe_weights", "probe_biases", "safe_means", "unsafe_means")
    return replace(newest, categories=newest.categories[:3], **{name: getattr(newest, name)[:3].clone() for name in rows})


@contextmanager
def server() -> Iterator[ComfyProcess]:
    """Start a server with the picture and the third direction that the workflows name."""
    with tempfile.TemporaryDirectory() as folder:
        comfy = ComfyProcess(Path(folder))
        (comfy.base / "input").mkdir()
        (comfy.base / "input" / PICTURE).write_bytes((Path(running_comfyui.CHECKOUT) / "input" / PICTURE).read_bytes())
        (comfy.base / "models" / "safety_directions").mkdir()
        third_direction().save(comfy.base / "models" / "safety_directions" / THIRD)
        comfy.start()
        try:
            yield comfy
        finally:
            comfy.kill()


def shown(comfy: ComfyProcess, graph: dict[str, Any]) -> tuple[Shown, list[str]]:
    """Run a graph; return what it left, and the nodes that a report was sent to though they have none."""
    ran = comfy_queue.run(comfy, graph)
    assert ran.succeeded, comfy.log
    files = [
        comfy.base / "output" / one["subfolder"] / one["filename"]
        for number in sorted(graph)
        if graph[number]["class_type"] == "SaveImage"
        for one in ran.history["outputs"][number]["images"]
    ]
    pictures = tuple(hashlib.sha256(Image.open(path).convert("RGB").tobytes()).hexdigest()[:16] for path in files)
    wrong = [number for number in ran.texts if graph.get(number, {}).get("class_type") not in TELLING]
    return Shown(pictures, tuple(ran.texts.get(number, "") for number in sorted(of_type(graph, APPLY)))), wrong


def expected(made: Sequence[Case]) -> dict[tuple[int, int], Shown]:
    """Draw every workflow with every seed, one workflow after the other."""
    with server() as comfy:
        asked = [(place, seed) for place in range(len(made)) for seed in range(SEEDS)]
        return {(place, seed): shown(comfy, made[place].graph(seed, run))[0] for run, (place, seed) in enumerate(asked)}


def load(made: Sequence[Case], right: dict[tuple[int, int], Shown], runs: int) -> dict[str, Any]:
    """Queue runs in turns and compare each with what is right."""
    other_pictures, other_reports, misplaced, held = [], [], [], []
    with server() as comfy:
        for number in range(runs):
            place, seed = number * STEP % len(made), number // len(made) % SEEDS
            found, wrong = shown(comfy, made[place].graph(seed, number))
            other_pictures += [number] if found.pictures != right[place, seed].pictures else []
            other_reports += [number] if found.reports != right[place, seed].reports else []
            misplaced += [[number, *wrong]] if wrong else []
            held.append(round(comfy_queue.resident_bytes(comfy) / 2**20, 1))
            if number % len(made) == len(made) - 1:
                print(f"{number + 1} runs, {held[-1]} MiB", file=sys.stderr, flush=True)
    warm = held[WARM_ROUNDS * len(made) :]
    return {
        "runs": runs,
        "with_other_pictures": other_pictures,
        "with_other_reports": other_reports,
        "with_reports_on_other_nodes": misplaced,
        "mib_after_each": held,
        "mib_when_warm": warm[0],
        "most_mib_after": max(warm),
        "grew_by": round(max(warm) / warm[0] - 1, 4),
        "flat": max(warm) / warm[0] - 1 <= FLAT,
    }


def main() -> int:
    """Measure, write the results, and end with 1 where a picture, a report or the memory is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "load.json")
    options = parser.parse_args()
    made, started = cases(), time.monotonic()
    right = expected(made)
    steered = [right[place, 0].pictures for place in range(len(made))]
    found = {
        "comfyui": running_comfyui.comfyui_version(),
        "machine": f"{platform.machine()}, 1 thread of {os.cpu_count()}, torch {torch.__version__}",
        "workflows": [[case.example, case.direction, case.changes] for case in made],
        "that_draw_alike": len(made) - len(set(steered)),
        **load(made, right, options.runs),
        "seconds": round(time.monotonic() - started),
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "mib_after_each"}, indent=1))
    failed = any(found[key] for key in ("with_other_pictures", "with_other_reports", "with_reports_on_other_nodes"))
    return int(failed or not found["flat"])


if __name__ == "__main__":
    sys.exit(main())
