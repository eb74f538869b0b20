"""Two builds by turns, each run in a process of its own, and every run noted, so that a second one goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

SCRIPT = Path(__file__).with_name("one_build.py")
BEFORE, AFTER = "before", "after"
MEASURED = ("seconds", "processor", "peak", "before", "hidden")
Json = dict[str, Any]


class Journal:
    """What runs gave, a line each, so that a second run goes on from there."""

    def __init__(self, path: Path) -> None:
        """Read what there is; a line cut short by a run that was killed is measured again."""
        self.path, self.known = path, dict[str, Json]()
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            self.known[entry["key"]] = entry["result"]

    def once(self, key: Sequence[object], work: Callable[[], Json], anew: bool = False) -> Json:
        """Return what is known under a key, or do the work and note it; `anew` does it whatever is known."""
        name = json.dumps(key)
        if anew or name not in self.known:
            self.known[name] = work()
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write("\n" + json.dumps({"key": name, "result": self.known[name]}) + "\n")
        return self.known[name]


@dataclass(frozen=True)
class Run:
    """Both checkouts by name, what they are told, and where results are kept."""

    builds: Mapping[str, Path]
    work: Path
    threads: int
    repeats: int
    journal: Journal

    def child(self, name: str, job: Json) -> Json:
        """Have one build do a job in a process of its own; raises SystemExit with its last words where it fails."""
        build = self.builds[name]
        count = str(self.threads)
        environment = {**os.environ, "PYTHONPATH": str(build), "OMP_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-c", SCRIPT.read_text(encoding="utf-8"), json.dumps({**job, "threads": self.threads})]
        done = subprocess.run(command, cwd=build, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {job['do']} failed.\n{done.stderr[-2000:]}")
        found: Json = json.loads(done.stdout.splitlines()[-1])
        return found

    def side_by_side(self, title: str, key: Sequence[object], job: Json, suffix: str) -> dict[str, Json]:
        """Have both builds do a job in turn, as often as asked for; return medians, and the file of each one's first run."""
        runs: dict[str, list[Json]] = {BEFORE: [], AFTER: []}
        marks = {name: mark(build) for name, build in self.builds.items()}
        files = {name: self.work / f"{digest(*key, marks[name])}-{name}{suffix}" for name in runs}
        for repeat in range(self.repeats):
            for name in (BEFORE, AFTER) if repeat % 2 == 0 else (AFTER, BEFORE):
                target = files[name] if repeat == 0 else files[name].with_stem(f"{files[name].stem}-again")

                def work(name: str = name, target: Path = target) -> Json:
                    return self.child(name, {**job, "output": str(target)})

                # What follows reads the file of the first run.
                lost = repeat == 0 and not target.is_file()
                found = self.journal.once([*key, name, marks[name], self.threads, repeat], work, anew=lost)
                runs[name].append(found)
                print(f"{title}, {name} {repeat + 1}: {found['seconds']:.1f} s, {found['peak'] / 2**20:,.0f} MiB", flush=True)
        return {name: summary(found) | {"file": str(files[name])} for name, found in runs.items()}


def summary(runs: Sequence[Json]) -> Json:
    """Return medians of seconds and bytes, each run's, and what all runs share."""
    same = {name: value for name, value in runs[0].items() if name not in MEASURED and all(run[name] == value for run in runs)}
    each = {f"all_{name}": [run[name] for run in runs] for name in ("seconds", "peak")}
    return {name: median(run[name] for run in runs) for name in MEASURED} | each | same


def compared(found: Mapping[str, Json], limits: Mapping[str, float]) -> Json:
    """Return what was found, without where it lies, the ratios of after to before, and which of those keep their limits."""
    shown = {name: {key: value for key, value in one.items() if key != "file"} for name, one in found.items()}
    ratios = {name: found[AFTER][name] / found[BEFORE][name] for name in ("seconds", "processor", "peak")}
    kept = {name: ratios[name] <= limit for name, limit in limits.items()}
    return {**shown, "ratio": ratios, "kept": kept}


def digest(*parts: object) -> str:
    """Return a short hash of some values."""
    joined = b"\0".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()[:16]


def mark(build: Path) -> str:
    """Identify a build by its library's code, what it aligns, and the script that it runs."""
    files = [*sorted((build / "safety_steer").rglob("*.py")), *sorted((build / "directions").glob("*.safetensors")), SCRIPT]
    return digest(*(part for file in files for part in (file.name, file.read_bytes())))


def about_model(path: Path) -> list[object]:
    """Identify a model by its files' names and sizes."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size] for file in files]


def commit(build: Path) -> str:
    """Return the commit of a checkout, "unknown" without git; "+" says that something in it differs from that."""
    command = ["git", "-C", str(build), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
