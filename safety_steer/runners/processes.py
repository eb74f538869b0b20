"""Several processes of this computer, each started anew so that no thread or GPU handle is inherited."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from ..errors import WorkerError
from .runner import TRIES, lost

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # by hand; items for each process that are handed out before it is free


@dataclass(frozen=True)
class Processes:
    """Runs items in `count` processes."""

    count: int

    def run(self, task: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield results as they come; when a process dies, all start anew with what is left."""
        left, deaths = list(range(len(items))), 0
        while left:
            done: set[int] = set()
            try:
                for number, result in self._once(task, items, left):
                    done.add(number)
                    yield number, result
            except BrokenProcessPool as error:
                deaths = 1 if done else deaths + 1
                if deaths == TRIES:
                    raise WorkerError(lost(items[left[0]])) from error
            left = [number for number in left if number not in done]

    def _once(
        self, task: Callable[[Item], Result], items: Sequence[Item], numbers: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        waiting = iter(numbers)
        running: dict[Future[Result], int] = {}
        with ProcessPoolExecutor(self.count, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                while True:
                    for number in waiting:
                        running[pool.submit(task, items[number])] = number
                        if len(running) >= AHEAD * self.count:
                            break
                    if not running:
                        return
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield running.pop(future), future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
