"""Fuzz everything that reads a file from a stranger, guided by coverage, for as long as is said; a second run goes on.

    pip install -e '.[test,fuzz]'
    python -m tools.fuzz.run [TARGET ...] [--minutes 10] [--work build/fuzz] [-o results/fuzz.json]

Targets take turns, each in a process of its own that holds at most 1 GiB and may spend 10 seconds on an input. What was run is
a line each in the journal of the folder; inputs that reach something new stay in its corpus. An input that finds a fault is
kept in its faults, the process says how it came about, and this command ends with 1: put the input into tests/corpus/TARGET.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
MOST_MIB, MOST_SECONDS = 1024, 10
SHORTEST_TURN = 20.0  # seconds; a process needs five to begin
SLOW = ("-timeout-", "-slow-unit-")
NAMES = (
    *("direction", "aligned", "patch", "refusal", "prompts", "pairs", "tables", "captions", "journal", "results", "workflow"),
    *("evaluated", "pictures", "videos", "pixels", "replies"),
)


def turn(name: str, seconds: float, work: Path) -> dict[str, Any]:
    """Fuzz one target for some seconds; return how many inputs it ran, what of the library they reached, and its faults."""
    corpus, faults = work / "corpus" / name, work / "faults"
    corpus.mkdir(parents=True, exist_ok=True)
    faults.mkdir(exist_ok=True)
    before = set(faults.iterdir())
    options = [f"-max_total_time={int(seconds)}", f"-rss_limit_mb={MOST_MIB}", f"-timeout={MOST_SECONDS}"]
    options += [f"-artifact_prefix={faults}/{name}-", "-print_final_stats=1", "-reload=0"]
    command = [sys.executable, "-m", "tools.fuzz.guided", name, str(corpus), *options]
    started = time.time()
    ran = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, errors="replace", check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    reached = re.findall(r"cov: (\d+) ft: (\d+)", ran.stderr)
    [(edges, features)] = reached[-1:] or [("0", "0")]
    counts = re.findall(r"stat::number_of_executed_units:\s+(\d+)", ran.stderr) or re.findall(r"^#(\d+)", ran.stderr, re.M)
    memory = re.findall(r"stat::peak_rss_mb:\s+(\d+)", ran.stderr)
    found = sorted(path.name for path in set(faults.iterdir()) - before)
    if ran.returncode:
        print(ran.stderr[-6000:], file=sys.stderr)
    return {
        **{"target": name, "inputs": int(counts[-1]) if counts else 0, "seconds": round(time.time() - started, 1)},
        **{"edges": int(edges), "features": int(features), "peak_mib": int(memory[-1]) if memory else None},
        **{"status": ran.returncode, "faults": found},
    }


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up a journal: of each target the inputs, hours, edges reached, the most memory, its faults and its slow inputs."""
    found: dict[str, Any] = {}
    for line in lines:
        one = found.setdefault(line["target"], {"inputs": 0, "seconds": 0.0, "edges": 0, "peak_mib": 0, "faults": 0, "slow": 0})
        one["inputs"] += line["inputs"]
        one["seconds"] = round(one["seconds"] + line["seconds"], 1)
        one["edges"], one["peak_mib"] = max(one["edges"], line["edges"]), max(one["peak_mib"], line["peak_mib"] or 0)
        slow = sum(any(mark in name for mark in SLOW) for name in line["faults"])
        one["faults"], one["slow"] = one["faults"] + len(line["faults"]) - slow, one["slow"] + slow
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "limits": {"mib": MOST_MIB, "seconds": MOST_SECONDS},
        "inputs": sum(one["inputs"] for one in found.values()),
        "targets": dict(sorted(found.items())),
    }


def read_journal(work: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal, none where there is none yet."""
    path = work / JOURNAL
    for line in path.read_text().splitlines() if path.is_file() else ():
        yield json.loads(line)


def main() -> int:
    """Let targets take turns until the time is over, and write what all runs so far come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], help="all, if none is named")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    names = options.targets or NAMES
    end, failed = time.monotonic() + 60 * options.minutes, False
    each = max(SHORTEST_TURN, 60 * options.minutes / len(names))
    for name in names:
        if (left := end - time.monotonic()) < SHORTEST_TURN / 2:
            break
        done = turn(name, min(each, left) - 5, options.work)
        failed = failed or bool(done["status"])
        with (options.work / JOURNAL).open("a") as stream:
            stream.write(json.dumps(done) + "\n")
        print(json.dumps(done), flush=True)
    found = summary(list(read_journal(options.work)))
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['inputs']:,} inputs in all")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
