"""Several processes of this computer, each started anew so that no thread or GPU handle is inherited."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import TypeVar

from ..errors import WorkerError
from .runner import AHEAD, TRIES, Crew, lost

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class Processes(Crew):
    """Runs items in `count` processes, which stay for the next run until `close`.

    A run that is cut short, by an error, an interruption or because nobody asks for its results any more, ends them too, and
    so does the end of this process, however it comes.
    """

    count: int
    _pool: _Pool | None = field(default=None, init=False, repr=False)

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Yield results as they come; when a process dies, all start anew with the items that were handed out."""
        waiting = iter(enumerate(items))
        out: dict[int, Item] = {}
        deaths = 0
        while True:
            if self._pool is None:
                self._pool = _Pool(self.count)
            pool = self._pool
            try:
                for number, result in self._once(pool, task, chain(list(out.items()), waiting), out):
                    deaths = 0
                    yield number, result
                return
            except BrokenProcessPool as error:
                self._end(pool)
                deaths += 1
                if deaths == TRIES:
                    raise WorkerError(lost(next(iter(out.values())))) from error
            except BaseException:
                self._end(pool)
                raise

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._pool is not None:
            self._end(self._pool)

    def _end(self, pool: _Pool) -> None:
        # A run within a run may have started another pool by now, which stays.
        if self._pool is pool:
            self._pool = None
        pool.end()

    def _once(
        self, pool: _Pool, task: Callable[[Item], Result], items: Iterator[tuple[int, Item]], out: dict[int, Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yield results until a process dies; `out` holds what was handed out and has no result yet."""
        running: dict[Future[Result], int] = {}
        while True:
            while len(running) < AHEAD * self.count and (found := next(items, None)) is not None:
                number, item = found
                out[number] = item
                running[pool.executor.submit(_do, task, item)] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                number = running.pop(future)
                del out[number]
                yield number, result


class _Pool:
    """Processes that hold one end of a pipe, and end when the other end is closed."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._theirs, self._mine = context.Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(count, context, initializer=_end_with, initargs=(self._theirs,))

    def end(self) -> None:
        """End the processes at once, and wait until they have ended."""
        self._mine.close()
        queue = getattr(self.executor, "_call_queue", None)
        if sys.version_info < (3, 11, 5) and queue is not None:
            # Before, Python waited for ever to hand a large item to a process that had ended (its issue 94777).
            queue._reader.close()
        self.executor.shutdown(cancel_futures=True)
        self._theirs.close()


class _Work:
    """Whether a worker is at a task, and whether it shall end.

    One that is not may be handing over a result. It must finish that: whoever reads it would wait for the rest for ever.
    """

    def __init__(self) -> None:
        self._lock, self._at_task, self._ending = Lock(), False, False

    def do(self, task: Callable[[Item], Result], item: Item) -> Result:
        """Run a task, unless this process shall end."""
        with self._lock:
            if self._ending:
                os._exit(1)
            self._at_task = True
        try:
            return task(item)
        finally:
            with self._lock:
                self._at_task = False

    def end(self) -> None:
        """End this process now if it is at a task, else before the next one."""
        with self._lock:
            self._ending = True
            if self._at_task:
                os._exit(1)


_WORK = _Work()


def _do(task: Callable[[Item], Result], item: Item) -> Result:
    return _WORK.do(task, item)


def _end_with(pipe: Connection) -> None:
    """Have this process end when the other end of the pipe is closed, or the process that holds it has ended."""
    # An interruption from the terminal reaches every process; the first one decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_await_end, args=(pipe,), daemon=True).start()


def _await_end(pipe: Connection) -> None:
    with suppress(EOFError, OSError):
        pipe.recv_bytes()
    _WORK.end()
    if (starter := multiprocessing.parent_process()) is not None:
        starter.join()
    os._exit(1)
