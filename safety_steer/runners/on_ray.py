"""A Ray cluster: items are Ray tasks, a few more at a time than there are processors, so that the driver stays small."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import DataError, WorkerError
from .ray_address import check_answers
from .runner import AHEAD, TRIES, Crew, lost

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class OnRay(Crew):
    """Runs items as tasks of the Ray cluster that this process is connected to; Ray gives tasks of dead workers to others.

    `connected` says that the connection was made for this crew, and ends with it.
    """

    ray: Any
    connected: bool = False

    @classmethod
    def connect(cls, address: str) -> OnRay:
        """Connect to a cluster: "host:port", "auto" for the one this computer is part of, "local" for a new one here.

        Raises DataError where Ray is not installed or no cluster answers, within seconds where nothing or something else
        listens there.
        """
        try:
            import ray
        except ImportError as error:
            raise DataError("--ray needs Ray: pip install 'safety-steer[ray]'. --processes N does without it.") from error
        new = not ray.is_initialized()
        if new:
            try:
                check_answers(address, ray.util.get_node_ip_address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise DataError(
                    f"No Ray cluster answers at '{address}' ({reason}). Start one (ray start --head), or correct --ray."
                ) from error
        return cls(ray, new)

    def close(self) -> None:
        """End the connection, and with it this process's tasks and a cluster that was started for it."""
        if self.connected:
            self.ray.shutdown()

    def run(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[int, Result]]:
        """Yield results as they come."""
        ray = self.ray
        remote = ray.remote(max_retries=TRIES - 1)(task)
        waiting, running = iter(enumerate(items)), dict[Any, tuple[int, Item]]()
        while True:
            most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(running) < most and (found := next(waiting, None)) is not None:
                running[remote.remote(found[1])] = found
            if not running:
                return
            [finished], _ = ray.wait(list(running), num_returns=1)
            number, item = running.pop(finished)
            try:
                result: Result = ray.get(finished)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise WorkerError(lost(item)) from error
            yield number, result
