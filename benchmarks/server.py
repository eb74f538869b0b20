"""Measure the pack in a real ComfyUI server: what loading costs, the demo examples run twice, and memory over many runs.

    COMFYUI_PATH=path/to/ComfyUI path/to/its/python -m benchmarks.server [--runs 20] [-o results/server-VERSION.json]

Loading is timed apart from the server, whose log has one decimal: in fresh processes, before Python has compiled the files
and after. Examples run as they are, all harmless prompts and steps. In the runs for memory, each has another seed, prompt,
strength and map, so that all that steers is done anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "comfyui")]

from support.comfyui import running_comfyui  # noqa: E402  # isort: skip
import torch  # noqa: E402
from support.comfyui import comfy_queue  # noqa: E402
from support.comfyui.comfy_process import ComfyProcess  # noqa: E402
from test_examples import DEMOS, to_api  # noqa: E402
from test_server import graph_of, of_type, varied  # noqa: E402

STARTS = 5
PICTURE = "example.png"
# Loads the pack once more under another name: what ComfyUI itself brings along is loaded by then.
LOAD = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[1])
from support.comfyui import running_comfyui
import nodes
sys.dont_write_bytecode = False
clocks = time.perf_counter, time.process_time
before = [clock() for clock in clocks]
assert asyncio.run(nodes.load_custom_node(sys.argv[2]))
print(*(clock() - then for clock, then in zip(clocks, before)))
"""


def loading(folder: Path) -> dict[str, Any]:
    """Time loading in fresh processes that share compiled files: seconds on the clock and of the processor."""
    link = folder / "safety-steer"
    link.symlink_to(ROOT, target_is_directory=True)
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    settings |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LOAD, str(TESTS), str(link)]
    said = [subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout for _ in range(STARTS)]
    first, *later = [[float(seconds) for seconds in one.splitlines()[-1].split()] for one in said]
    wall, processor = (statistics.median(times) for times in zip(*later, strict=True))
    return {"first_s": first[0], "first_cpu_s": first[1], "later_s": wall, "later_cpu_s": processor}


def example(comfy: ComfyProcess, path: Path) -> dict[str, Any]:
    """Run an example twice: how long both take, what is executed, and which nodes have texts in the history."""
    graph = to_api(json.loads(path.read_text(encoding="utf-8")))
    found: dict[str, Any] = {"nodes": len(graph)}
    for name in ("first", "second"):
        started = time.perf_counter()
        ran = comfy_queue.run(comfy, graph)
        texts = {graph[number]["class_type"] for number, shown in ran.history["outputs"].items() if shown.get("text")}
        found[name] = {
            "s": round(time.perf_counter() - started, 2),
            "succeeded": ran.succeeded,
            "executed": len(set(ran.executed)),
            "texts_in_history": sorted(texts),
        }
    return found


def memory(comfy: ComfyProcess, runs: int) -> dict[str, Any]:
    """Return what the server holds after each of many runs, in MiB."""
    [path] = [path for path in DEMOS if path.stem == "demo-text-to-image"]
    graph, held = graph_of(path), []
    for number in range(runs):
        ran = comfy_queue.run(comfy, varied(graph, number))
        assert ran.succeeded
        assert set(ran.executed) >= set(of_type(graph, "ApplySafetySteer"))
        held.append(round(comfy_queue.resident_bytes(comfy) / 2**20, 1))
    half = len(held) // 2
    return {"mib": held, "second_half_grew_mib": round(held[-1] - held[half], 1)}


def main() -> None:
    """Measure all three and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "-o", "--output", type=Path, default=ROOT / "results" / f"server-{running_comfyui.comfyui_version()}.json"
    )
    options = parser.parse_args()
    found: dict[str, Any] = {
        "comfyui": running_comfyui.comfyui_version(),
        "machine": f"{platform.machine()}, 1 thread of {os.cpu_count()}, torch {torch.__version__}",
    }
    with tempfile.TemporaryDirectory() as folder:
        found["loading"] = loading(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        comfy = ComfyProcess(Path(folder))
        (comfy.base / "input").mkdir()
        (comfy.base / "input" / PICTURE).write_bytes((Path(running_comfyui.CHECKOUT) / "input" / PICTURE).read_bytes())
        comfy.start()
        try:
            found["examples"] = {path.stem: example(comfy, path) for path in DEMOS}
            found["memory"] = memory(comfy, options.runs)
        finally:
            comfy.kill()
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
