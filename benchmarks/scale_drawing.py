"""Measure what the demo's evaluation costs workers and the driver, and with --throughput one worker and two of each kind.

    python -m benchmarks.scale_drawing [--unsafe 64] [--benign 32] [--throughput] [-o results/scale_drawing.json]

The bundled direction's prompts are encoded and three methods drawn on prompts of the tune split, one thread each. Costs are
processor time, in one process: of the parts that workers would do, and of all else (fitting, steering, judging, keeping track).
Throughput is by the clock, in processes and on Ray nodes of this computer, and means something where nothing else runs. All
runs must give the same rows; where they do not, the script ends with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from safety_steer.directions.source import SafetyDirection
from safety_steer.evaluation.demo.drawing import Part
from safety_steer.evaluation.demo.methods import NONE, STANDARD, Method
from safety_steer.evaluation.demo.run import Plan, evaluate, method_inputs
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.runners.on_ray import OnRay
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Runner
from safety_steer.storage.bundled import DEMO_SOURCE, bundled

METHODS = [NONE, Method("negative prompt", "negative"), STANDARD]
Rows = list[dict[str, Any]]


class Timed:
    """Runs items in this process as workers would, and counts the processor time of encoding and of drawing."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.encoding = self.drawing = 0.0

    def run(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield results in order."""
        for number, item in enumerate(items):
            start = time.process_time()
            result = task(item)
            if isinstance(item, Part):
                self.drawing += time.process_time() - start
            else:
                self.encoding += time.process_time() - start
            yield number, result


def untimed(rows: Rows) -> Rows:
    """Return rows without the times in them."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def drawn(session: DemoSession, plan: Plan) -> tuple[Rows, float, float]:
    """Evaluate; return the rows without times, and the seconds of encoding and of drawing by the clock."""
    start = time.perf_counter()
    inputs = method_inputs(session, SafetyDirection.load(bundled(DEMO_SOURCE)), None, None)
    encoded = time.perf_counter()
    rows = evaluate(session, inputs, METHODS, plan)
    return untimed(rows), encoded - start, time.perf_counter() - encoded


def costs(plan: Plan) -> tuple[dict[str, float], Rows]:
    """Return the processor time of encoding, of a picture, and of the driver for a picture; and the rows."""
    timed = Timed()
    session, start = DemoSession.open("image", timed), time.process_time()
    rows, _, _ = drawn(session, plan)
    rest = time.process_time() - start - timed.encoding - timed.drawing
    count = session.pictures
    return {
        "pictures": count,
        "encode_s": timed.encoding,
        "draw_s_per_picture": timed.drawing / count,
        "driver_s_per_picture": rest / count,
    }, rows


def throughput(runner: Runner, plan: Plan) -> tuple[dict[str, float], Rows]:
    """Return the seconds of encoding, start of the workers included, and pictures in a second, by the clock; and the rows."""
    session = DemoSession.open("image", runner)
    rows, encoding, drawing = drawn(session, plan)
    speed = session.pictures / drawing
    return {"encode_s": encoding, "pictures_per_s": speed, "load_average": os.getloadavg()[0]}, rows


def main() -> None:
    """Measure, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unsafe", type=int, default=64, help="prompts that ask for harm")
    parser.add_argument("--benign", type=int, default=32, help="harmless prompts")
    parser.add_argument("--throughput", action="store_true", help="time one worker and two too; needs Ray")
    parser.add_argument("-o", "--output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan({"unsafe": options.unsafe, "benign": options.benign}, stage="tune")
    found: dict[str, Any] = {"machine": f"{platform.machine()}, torch {torch.__version__}"}
    found["costs"], expected = costs(plan)
    if options.throughput:
        found["throughput"] = {}
        for name, runner in crews():
            found["throughput"][name], rows = throughput(runner, plan)
            if rows != expected:
                raise SystemExit(f"The table of {name} is another one.")
    text = json.dumps(found, indent=1)
    print(text)
    if options.output:
        Path(options.output).write_text(text)


def crews() -> Iterator[tuple[str, Runner]]:
    """Yield one and two processes, and a cluster of one node and of two."""
    for count in (1, 2):
        with Processes(count) as processes:
            yield f"processes {count}", processes
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    runner = OnRay.connect(cluster.address)
    yield "Ray nodes 1", runner
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield "Ray nodes 2", runner


if __name__ == "__main__":
    main()
