"""Measure reading pairs in one worker and in two, what it costs the driver, and simulate the driver at 1,000 GPUs.

    python -m benchmarks.scale --encoder MODEL --direction FILE [--pairs 2048] [--gpus 1000] [--prompts 100000000]
        [--rate 2000] [-o results/scale.json]

Throughput: `safety-steer score` over made-up harmless pairs, in processes and on Ray nodes of this computer, one thread each.
Driver: the same windows through Ray with a task that does nothing, so that what is left is the work of the driver; what
travels and is kept; the score of all readings at the end. Simulation: handing out and taking in every window costs the
driver the seconds just measured, one after the other; a GPU reads `--rate` prompts a second, a number that is assumed.
"""

from __future__ import annotations

import argparse
import heapq
import json
import pickle
import platform
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch

from safety_steer.evaluation.pair_readings import Readings, Window, read_window, score_windows
from safety_steer.extraction.shards import Source, source_of
from safety_steer.runners.on_ray import OnRay
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Runner
from safety_steer.storage.bundled import bundled
from safety_steer.storage.kept_parts import KeptParts, key_of
from safety_steer.storage.pair_stream import stream_pairs, windows
from safety_steer.storage.prompt_files import read_prompts

WINDOW = 4096  # pairs, as in `safety-steer score`
SMALL = 256  # pairs of a window where throughput is measured: more windows than workers
CATEGORIES = 10  # of the readings that a task gives back
NAMES = [str(number) for number in range(CATEGORIES)]


def made_up(count: int) -> Iterator[dict[str, str]]:
    """Yield harmless pairs: two prompts of the bundled list each."""
    prompts, draw = read_prompts(bundled("harmless_prompts.txt")), random.Random(0)
    for number in range(count):
        safe, other = draw.sample(prompts, 2)
        yield {"safe": f"{safe} {number}", "unsafe": f"{other} {number}", "category": NAMES[1 + number % (CATEGORIES - 1)]}


def to_read(file: Path, source: Source, direction: str, size: int) -> Iterator[Window]:
    """Yield the windows of a file as `safety-steer score` does."""
    for pairs in windows(stream_pairs(file), size):
        yield Window(source, direction, tuple([pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]))


def throughput(runner: Runner, work: list[Window], workers: int) -> dict[str, float]:
    """Time all windows, and apart from the workers' start those after each worker's first."""
    start = time.perf_counter()
    times = [time.perf_counter() for _ in runner.run(read_window, work)]
    prompts = sum(len(window.prompts) for window in work)
    later = prompts * (len(work) - workers) / len(work) / (times[-1] - times[workers - 1])
    return {"seconds": times[-1] - start, "prompts_per_s": prompts / (times[-1] - start), "prompts_per_s_after_first": later}


def nothing(window: Window) -> Readings:
    """Return readings of the size that a window gives."""
    count = len(window.prompts)
    return Readings(
        torch.zeros(count, CATEGORIES, dtype=torch.float64), torch.zeros(count, dtype=torch.float64), torch.tensor(0.0)
    )


def driver_costs(runner: Runner, file: Path, source: Source, count: int) -> dict[str, float]:
    """Return the driver's seconds and bytes for a window of `WINDOW` pairs, by doing everything but the reading."""
    work = list(to_read(file, source, "none", WINDOW))
    list(runner.run(nothing, work[:1]))
    start = time.process_time()
    for _ in stream_pairs(file):
        pass
    reading = (time.process_time() - start) / count * WINDOW
    start, processor = time.perf_counter(), time.process_time()
    for _ in runner.run(nothing, work * 8):
        pass
    wall, own = (time.perf_counter() - start) / (8 * len(work)), (time.process_time() - processor) / (8 * len(work))
    made = nothing(work[0])
    with TemporaryDirectory() as folder:
        kept = KeptParts(Path(folder))
        start = time.perf_counter()
        for number in range(32):
            kept.write(
                key_of(number, work[0].prompts), {name: getattr(made, name) for name in ("readings", "gate", "threshold")}
            )
        keeping = (time.perf_counter() - start) / 32
        size = fmean(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "stream_s": reading,
        "ray_wall_s": wall,
        "ray_driver_s": own,
        "keep_s": keeping,
        "sent_bytes": len(pickle.dumps(work[0])),
        "received_bytes": len(pickle.dumps(made)),
        "kept_bytes": size,
    }


def final_score(pairs: int) -> dict[str, float]:
    """Time the table of many pairs, and the memory it takes."""
    generator = torch.Generator().manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = Readings(
        torch.randn(2 * pairs, CATEGORIES, generator=generator, dtype=torch.float64),
        torch.randn(2 * pairs, generator=generator, dtype=torch.float64),
        torch.tensor(0.0),
    )
    start = time.perf_counter()
    score_windows([part], [NAMES[1 + number % (CATEGORIES - 1)] for number in range(pairs)], NAMES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"pairs": pairs, "seconds": time.perf_counter() - start, "peak_mib": (peak - before) / 1024}


def simulate(gpus: int, prompts: int, rate: float, out_s: float, in_s: float) -> dict[str, float]:
    """Run a driver that serves `gpus` workers one at a time; return the seconds it takes and how busy driver and workers are.

    A window takes a worker its prompts over `rate`, give or take a tenth. Two windows are out for each worker, so that one
    waits there while the driver is busy.
    """
    draw = random.Random(0)
    left = -(-prompts // (2 * WINDOW))
    total, per_window = left, 2 * WINDOW / rate
    free_at = [0.0] * gpus
    now, busy = 0.0, 0.0
    finished: list[tuple[float, int]] = []

    def hand_out(worker: int) -> None:
        nonlocal now, busy, left
        left -= 1
        now += out_s
        busy += out_s
        free_at[worker] = max(now, free_at[worker]) + per_window * draw.uniform(0.9, 1.1)
        heapq.heappush(finished, (free_at[worker], worker))

    for _ in range(2):
        for worker in range(gpus):
            if left:
                hand_out(worker)
    while finished:
        at, worker = heapq.heappop(finished)
        now = max(now, at) + in_s
        busy += in_s
        if left:
            hand_out(worker)
    work = total * per_window
    return {
        "windows": total,
        "seconds": now,
        "driver_busy": busy / now,
        "workers_busy": work / (gpus * now),
        "ideal_s": work / gpus,
    }


def main() -> None:
    """Measure, simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="a text model folder")
    parser.add_argument("--direction", required=True, help="a direction made with that model")
    parser.add_argument("--pairs", type=int, default=2048, help="pairs of the throughput runs")
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--prompts", type=int, default=10**8)
    parser.add_argument("--rate", type=float, default=2000.0, help="prompts that a GPU reads in a second; assumed")
    parser.add_argument("-o", "--output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    from ray.cluster_utils import Cluster

    found: dict[str, Any] = {"machine": f"{platform.machine()}, torch {torch.__version__}", "throughput": {}}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in made_up(options.pairs)))
        source = source_of(options.encoder, "cpu", "auto")
        work = list(to_read(file, source, str(Path(options.direction).resolve()), SMALL))
        for count in (1, 2):
            with Processes(count) as processes:
                found["throughput"][f"processes {count}"] = throughput(processes, work, count)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        runner = OnRay.connect(cluster.address)
        found["throughput"]["Ray nodes 1"] = throughput(runner, work, 1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        found["throughput"]["Ray nodes 2"] = throughput(runner, work, 2)
        file.write_text("".join(json.dumps(row) + "\n" for row in made_up(4 * WINDOW)))
        costs = driver_costs(runner, file, source, 4 * WINDOW)
    found["driver"], found["final"] = costs, final_score(1_000_000)
    count = -(-options.prompts // (2 * WINDOW))
    found["simulation"] = {
        "gpus": options.gpus,
        "prompts": options.prompts,
        "rate": options.rate,
        **simulate(options.gpus, options.prompts, options.rate, costs["stream_s"] + costs["ray_driver_s"], costs["keep_s"]),
        "sent_gb": count * costs["sent_bytes"] / 1e9,
        "received_gb": count * costs["received_bytes"] / 1e9,
        "kept_gb": count * costs["kept_bytes"] / 1e9,
    }
    text = json.dumps(found, indent=1)
    print(text)
    if options.output:
        Path(options.output).write_text(text)


if __name__ == "__main__":
    main()
