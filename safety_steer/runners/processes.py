"""Several processes of this computer, each started anew so that no thread or GPU handle is inherited."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from ..errors import WorkerError
from .runner import AHEAD, TRIES, lost

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class Processes:
    """Runs items in `count` processes, which stay for the next run."""

    count: int
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False)

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Yield results as they come; when a process dies, all start anew with the items that were handed out."""
        waiting = iter(enumerate(items))
        out: dict[int, Item] = {}
        deaths = 0
        while True:
            try:
                for number, result in self._once(task, chain(list(out.items()), waiting), out):
                    deaths = 0
                    yield number, result
                return
            except BrokenProcessPool as error:
                self._pool = None
                deaths += 1
                if deaths == TRIES:
                    raise WorkerError(lost(next(iter(out.values())))) from error

    def _once(
        self, task: Callable[[Item], Result], items: Iterator[tuple[int, Item]], out: dict[int, Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yield results until a process dies; `out` holds what was handed out and has no result yet."""
        running: dict[Future[Result], int] = {}
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context("spawn"))
        try:
            while True:
                while len(running) < AHEAD * self.count and (found := next(items, None)) is not None:
                    number, item = found
                    out[number] = item
                    running[self._pool.submit(task, item)] = number
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    number = running.pop(future)
                    del out[number]
                    yield number, result
        finally:
            for future in running:
                future.cancel()
