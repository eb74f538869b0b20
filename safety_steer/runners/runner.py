"""What every runner does: give each item to a task and hand back the results as they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from ..errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
Self = TypeVar("Self", bound="Crew")
AHEAD = 2  # by hand; items for each worker that are handed out before it is free
TRIES = 4  # by hand: a part whose workers die four times will kill the next one too


class Runner(Protocol):
    """Runs a task, a function of a module, on items that can be pickled."""

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the number of every item with its result, in any order; items are asked for as workers take them.

        An item whose worker dies is given to another one. Raises what the task raises, and WorkerError after `TRIES` deaths.
        """
        ...


class Crew(ABC):
    """A runner with an end: after its `with`, however that ends, none of its workers is left. A later run starts new ones."""

    @abstractmethod
    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Run a task as every `Runner` does."""

    def close(self) -> None:
        """End the workers and what they are at."""
        return

    def __enter__(self: Self) -> Self:
        """Return this crew."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        self.close()


class Here(Crew):
    """Runs everything in this process, one item after the other."""

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Yield results in order."""
        for number, item in enumerate(items):
            yield number, task(item)


def open_runner(processes: int | None, ray_address: str | None) -> Crew:
    """Return the crew that `--processes` and `--ray` ask for; raises DataError for both, or for what cannot be had."""
    if processes is not None and ray_address is not None:
        raise DataError("--processes and --ray both say where to run. Give one of them.")
    if ray_address is not None:
        from .on_ray import OnRay

        return OnRay.connect(ray_address)
    if processes is None:
        return Here()
    from .processes import Processes

    if processes < 1:
        raise DataError(f"Expected --processes of at least 1, but got {processes}.")
    return Processes(processes)


def lost(item: Any) -> str:
    """Say that an item's workers died again and again."""
    return (
        f"{TRIES} workers died one after the other on the same part ({type(item).__name__}), most likely for want of memory. "
        "Run fewer at once, or on computers with more memory; the same command goes on from what is kept."
    )
