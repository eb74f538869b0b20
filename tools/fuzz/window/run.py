"""Fuzz the scripts of the window's commands, guided by what they run, and compare a sample with what `safety-steer add` does.

    python -m tools.fuzz.window.run [--minutes 8] [--seed 0] [--work build/fuzz/window] [-o results/fuzz-window.json]

Needs node besides the tests' extra. The same seed and `--inputs` give the same inputs with the same node. One that breaks a
law is kept in the folder as `fault`, and this command ends with 1: put it into tests/corpus/workflow, a zero byte before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..workflows import sound
from . import twins

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("run.mjs")
SAMPLE = 3000


def prepared(work: Path) -> Path:
    """Write what the scripts need into an empty folder within `work`: workflows to begin with, and a new node of each type."""
    from support.browser.twins import new_nodes

    seeds = work / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    seeds.mkdir(parents=True)
    shapes = [one for one in sound() if "nodes" in one]
    for number, one in enumerate(shapes):
        (seeds / f"{number:03d}.json").write_text(json.dumps(one))
    for path in sorted((ROOT / "example_workflows").glob("*.json")):
        shutil.copy(path, seeds / path.name)
    for path in sorted((ROOT / "tests/corpus/workflow").iterdir()):
        if (data := path.read_bytes())[:1] == b"\0":
            (seeds / f"{path.name}.json").write_bytes(data[1:])
    (work / "new_nodes.json").write_text(new_nodes())
    return seeds


def fuzzed(
    work: Path, *, seconds: float, seed: int = 0, inputs: int = 10**9, sample: int = SAMPLE, guided: bool = True
) -> dict[str, Any]:
    """Fuzz for some seconds, or until so many inputs were run; return what came of it, with the comparison of a sample.

    Without `guided` only the seeds are begun with, so that every version of node makes the same inputs.

    Raises AssertionError where the window's scripts and the command line differ.
    """
    options: dict[str, Any] = {
        "seeds": str(prepared(work)),
        "newNodes": str(work / "new_nodes.json"),
        "fault": str(work / "fault"),
    }
    options |= {
        "samples": str(work / "samples.jsonl"),
        "seconds": seconds,
        "seed": seed,
        "inputs": inputs,
        "sample": sample,
        "guided": guided,
    }
    command = [str(shutil.which("node")), str(SCRIPT), json.dumps(options)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    found: dict[str, Any] = json.loads(ran.stdout)
    with (work / "samples.jsonl").open(encoding="utf-8") as lines:
        found["compared"] = twins.compared(lines)
    return found


def main() -> int:
    """Fuzz, print what came of it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--inputs", type=int, default=10**9, help="end after so many, for a run that can be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz/window"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    found = fuzzed(options.work, seconds=60 * options.minutes, seed=options.seed, inputs=options.inputs)
    found = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "minutes": options.minutes, **found}
    print(json.dumps({key: value for key, value in found.items() if key != "lines"}))
    if options.output and not found["fault"]:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    return int(bool(found["fault"]))


if __name__ == "__main__":
    sys.exit(main())
