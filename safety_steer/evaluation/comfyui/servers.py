"""Several ComfyUI servers at one list of jobs: each takes the next job when it is free, and what one leaves the others do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from ...errors import DataError, ServerGoneError
from ...storage.text_files import read_text
from .client import ComfyServer, comfy_server

Job = TypeVar("Job")
Result = TypeVar("Result")
Lost = Callable[[ComfyServer, ServerGoneError], None]


def comfy_servers(names: Sequence[str]) -> list[ComfyServer]:
    """Return the servers at URLs, and at the URLs in files, one a line; each once. Raises DataError for what is neither."""
    urls: list[str] = []
    for name in names:
        if "://" not in name and Path(name).is_file():
            _, text = read_text(name)
            urls += [line.strip() for line in text.split("\n") if line.strip()]
        else:
            urls.append(name)
    if not urls:
        raise DataError(f"'{os.fspath(names[0])}' names no ComfyUI. Write one URL a line, such as http://127.0.0.1:8188.")
    found = {server.url: server for server in map(comfy_server, urls)}
    return list(found.values())


def those_there(servers: Sequence[ComfyServer], lost: Lost) -> list[ComfyServer]:
    """Return the servers that answer, telling `lost` of the rest; raises ServerError for none, and for what is no ComfyUI."""
    there, gone = [], None
    for server in servers:
        try:
            server.check()
        except ServerGoneError as error:
            gone = error
            if len(servers) > 1:
                lost(server, error)
        else:
            there.append(server)
    if not there and gone is not None:
        raise gone
    return there


def on_all(
    servers: Sequence[ComfyServer], jobs: Sequence[Job], do: Callable[[ComfyServer, Job], Result], lost: Lost
) -> Iterator[tuple[Job, Result]]:
    """Yield every job with what `do` made of it, as they are done; a server has one job at a time.

    A job whose server is gone is done by another, before those that wait; `lost` is told. Raises ServerGoneError when none
    is left, and at once what else `do` raises: the same would go wrong on every server. `do` runs in a thread for each server.
    """
    waiting, done = deque(jobs), SimpleQueue[tuple[ComfyServer, Job, Result | BaseException]]()
    inboxes = {server.url: SimpleQueue[Job | None]() for server in servers}
    busy = 0
    for server in servers:
        Thread(target=_work, args=(server, inboxes[server.url], do, done), daemon=True).start()
    idle = deque(servers)
    try:
        while waiting or busy:
            while waiting and idle:
                inboxes[idle.popleft().url].put(waiting.popleft())
                busy += 1
            server, job, result = done.get()
            busy -= 1
            if isinstance(result, ServerGoneError):
                if not busy and not idle:
                    raise result
                lost(server, result)
                waiting.appendleft(job)
            elif isinstance(result, BaseException):
                raise result
            else:
                # The next job is handed out first, so that no server waits for what is done with this result.
                if waiting:
                    inboxes[server.url].put(waiting.popleft())
                    busy += 1
                else:
                    idle.append(server)
                yield job, result
    finally:
        for inbox in inboxes.values():
            inbox.put(None)


def _work(
    server: ComfyServer,
    inbox: SimpleQueue[Job | None],
    do: Callable[[ComfyServer, Job], Result],
    done: SimpleQueue[tuple[ComfyServer, Job, Result | BaseException]],
) -> None:
    """Do the jobs of an inbox until there is None in it."""
    while (job := inbox.get()) is not None:
        try:
            done.put((server, job, do(server, job)))
        except BaseException as error:  # it is raised again where the results are read
            done.put((server, job, error))
