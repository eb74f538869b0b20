"""A runner whose workers are killed half way, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safety_steer.runners.runner import Runner


def ray_workers(task: str) -> list[int]:
    """Return the processes that are at work on a task of this name for Ray."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes().startswith(f"ray::{task}".encode()):
                found.append(int(folder.name))
    return found


class Killing:
    """Kills the workers it finds after the third result of a task, once; counts them and the results."""

    def __init__(self, runner: Runner, workers: Callable[[], Sequence[int]], task: str = "") -> None:
        self.runner, self.workers, self.task = runner, workers, task
        self.killed, self.results = 0, 0

    def run(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        counts = task.__name__.startswith(self.task)
        for result in self.runner.run(task, items):
            self.results += counts
            yield result
            if self.results >= 3 and not self.killed:
                for worker in self.workers():
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                        self.killed += 1
