"""A running ComfyUI over its HTTP API: queue a graph, wait until it is drawn, fetch what it saved. Standard library only."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field
from itertools import count
from typing import Any

from ...errors import DataError, ServerError, ServerGoneError
from ...storage.json_values import is_text, parse_json
from .frames import PICTURES, VIDEOS

ANSWER_SECONDS = 60.0  # by hand: a server loads models in a thread of its own and answers meanwhile
FIRST_PAUSE, LAST_PAUSE = 0.1, 1.0  # seconds between polls, by hand
POLLS_PER_QUEUE_CHECK = 8  # by hand: a job that was taken out of the queue is noticed in seconds
MAX_JSON_BYTES = 64 * 2**20  # by hand; a server that sends more is not read on
MAX_FILE_BYTES = 256 * 2**20  # by hand; as above
MAX_TIME = 2.0**53  # what a float counts in ones
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class SavedFile:
    """A picture or video in a folder of the server ("output" or "temp"), and the node that saved it."""

    node: str
    filename: str
    subfolder: str
    folder: str

    @property
    def suffix(self) -> str:
        """Return the file's ending, lower case, one of `PICTURES` and `VIDEOS`."""
        return "." + self.filename.rpartition(".")[2].lower()


@dataclass(frozen=True)
class Drawn:
    """What a graph left: its files, and the seconds the server spent on it, None when it had everything at hand."""

    files: tuple[SavedFile, ...]
    seconds: float | None


@dataclass(frozen=True)
class ComfyServer:
    """A ComfyUI at a URL. Every method raises ServerError, in one sentence that says what to do, when it cannot do its work."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    retries: int = 3
    retry_seconds: float = 2.0

    def check(self) -> None:
        """Make sure that a ComfyUI answers at the URL."""
        answer = self._json("/system_stats")
        if not isinstance(answer, dict) or "system" not in answer:
            raise ServerError(f"What answers at {self.url} is not a ComfyUI. Correct --comfy-url.")

    def draw(self, graph: Mapping[str, Any]) -> Drawn:
        """Queue a graph and return what it saved once it is done, however long that takes."""
        job = self._queue(graph)
        pause = FIRST_PAUSE
        for poll in count(1):
            entry = self._history(job)
            if entry is not None:
                return _drawn(entry, graph)
            if poll % POLLS_PER_QUEUE_CHECK == 0 and not self._is_queued(job) and self._history(job) is None:
                raise ServerGoneError(
                    "ComfyUI no longer knows the run it was given: it was started anew, or its queue was cleared."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_PAUSE)
        raise AssertionError("count() has no end")

    def fetch(self, file: SavedFile) -> bytes:
        """Return the bytes of a saved file."""
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.folder}
        return self._send(f"/view?{urllib.parse.urlencode(query)}", MAX_FILE_BYTES)

    def _queue(self, graph: Mapping[str, Any]) -> str:
        answer = self._json("/prompt", {"prompt": graph, "client_id": self.client_id})
        job = answer.get("prompt_id") if isinstance(answer, dict) else None
        if not isinstance(job, str) or not is_text(job):
            raise ServerError(f"ComfyUI at {self.url} took the workflow without giving its run a name. Update ComfyUI.")
        if answer.get("node_errors"):
            raise ServerError(_refusal(answer, graph))
        return job

    def _history(self, job: str) -> dict[str, Any] | None:
        answer = self._json(f"/history/{urllib.parse.quote(job, safe='')}")
        entry = answer.get(job) if isinstance(answer, dict) else None
        return entry if isinstance(entry, dict) else None

    def _is_queued(self, job: str) -> bool:
        answer = self._json("/queue")
        runs = [*_list(answer, "queue_running"), *_list(answer, "queue_pending")]
        return any(isinstance(run, list) and job in run[:2] for run in runs)

    def _json(self, path: str, payload: Mapping[str, Any] | None = None) -> Any:
        data = self._send(path, MAX_JSON_BYTES, payload)
        try:
            return parse_json(data)
        except ValueError as error:
            raise ServerError(f"What answers at {self.url} does not speak JSON. Correct --comfy-url.") from error

    def _send(self, path: str, limit: int, payload: Mapping[str, Any] | None = None) -> bytes:
        """Send a request and return its answer; one that only reads is tried again when the connection breaks."""
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "safety-steer"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        for attempt in range(self.retries if body is None else 1):
            if attempt:
                time.sleep(self.retry_seconds)
            try:
                with _opener(self.url).open(request, timeout=ANSWER_SECONDS) as answer:
                    data: bytes = answer.read(limit + 1)
                    content_length = answer.headers.get("Content-Length", "")
            except urllib.error.HTTPError as error:
                with error:
                    raise ServerError(_complaint(error, path, payload)) from error
            except (OSError, http.client.HTTPException) as error:
                reason = error
                continue
            if len(data) > limit:
                raise ServerError(
                    f"ComfyUI answered with more than {limit:,} bytes to {path.partition('?')[0]}. Save smaller files."
                )
            # Reading up to a limit does not notice a connection that broke before the end.
            expected = int(content_length) if re.fullmatch(r"[0-9]{1,18}", content_length) else 0
            if len(data) >= expected:
                return data
            reason = http.client.IncompleteRead(data, expected - len(data))
        raise ServerGoneError(
            f"No ComfyUI answers at {self.url} ({_reason(reason)}). Start it, or correct --comfy-url."
        ) from reason


def comfy_server(url: str) -> ComfyServer:
    """Return the server at a URL like http://127.0.0.1:8188; raises DataError for anything but http and https."""
    given = url if "://" in url else f"http://{url}"
    parts = urllib.parse.urlsplit(given)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment or not given.isascii() or not given.isprintable():
        raise DataError(f"Expected --comfy-url like http://127.0.0.1:8188, but got '{url[:200]}'.")
    return ComfyServer(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what the user named is what is talked to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request to go on with, so that the redirect is reported as it is."""


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Talk to this computer directly, to others through the proxy of the environment if there is one."""
    host = urllib.parse.urlsplit(url).hostname
    proxies = [urllib.request.ProxyHandler({})] if host in LOOPBACK else []
    return urllib.request.build_opener(_NoRedirect, *proxies)


def _complaint(error: urllib.error.HTTPError, path: str, payload: Mapping[str, Any] | None) -> str:
    """Say what an error status means: a refused graph, a file that is gone, a redirect, a login."""
    try:
        answer = parse_json(error.read(MAX_JSON_BYTES))
    except (ValueError, OSError, http.client.HTTPException):
        answer = None
    if payload is not None and isinstance(answer, dict) and ("error" in answer or "node_errors" in answer):
        return _refusal(answer, payload.get("prompt", {}))
    if error.code == 404 and path.startswith("/view"):
        return "ComfyUI no longer has a file it saved. Restart ComfyUI, so that it forgets that it drew it."
    where = f" (it points to {error.headers['Location'][:200]})" if error.headers.get("Location") else ""
    return f"The server answered {error.code} {error.reason} to {path.partition('?')[0]}{where}. Correct --comfy-url."


def _refusal(answer: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    """Say which node of a graph is wrong and how, from the answer to a graph the server does not take."""
    found = []
    for node, problem in _object(answer, "node_errors").items():
        for one in _list(problem, "errors"):
            words = [str(one[key]) for key in ("message", "details") if isinstance(one, dict) and one.get(key)]
            found.append(f"node {node} ({_class_of(graph, node)}): {', '.join(words)}")
    if not found:
        general = answer.get("error")
        found = [str(general.get("message") or general) if isinstance(general, dict) else str(general)]
    return f"ComfyUI refuses the workflow: {'; '.join(found)[:800]}. Run it once in ComfyUI, fix it there and export it again."


def _drawn(entry: Mapping[str, Any], graph: Mapping[str, Any]) -> Drawn:
    """Read a finished run; raises ServerError when a node failed or the run was stopped."""
    status = _object(entry, "status")
    told = [one for one in _list(status, "messages") if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str)]
    messages = {name: data for name, data in told}
    if "execution_error" in messages:
        error = _object(messages, "execution_error")
        said = " ".join(str(error.get("exception_message", "")).split())[:800]
        said = said or str(error.get("exception_type", "no reason given"))
        raise ServerError(f"Node {error.get('node_id')} ({error.get('node_type')}) failed in ComfyUI: {said.rstrip('.')}.")
    if "execution_interrupted" in messages:
        raise ServerError("The run was stopped in ComfyUI.")
    if status.get("status_str") == "error":
        raise ServerError("The run failed in ComfyUI, which gives no reason. Look at ComfyUI's own window.")
    return Drawn(tuple(_files(_object(entry, "outputs"))), _seconds(messages, graph))


def _seconds(messages: Mapping[str, Any], graph: Mapping[str, Any]) -> float | None:
    """Return how long the server worked on a run; None where it says nothing or drew nothing, having drawn it before."""
    cached = _list(_object(messages, "execution_cached"), "nodes")
    start, end = (_time(_object(messages, name).get("timestamp")) for name in ("execution_start", "execution_success"))
    # A server's clock may be set back while it works.
    if start is None or end is None or end < start or {one for one in cached if isinstance(one, str)} >= set(graph):
        return None
    return (end - start) / 1000


def _files(outputs: Mapping[str, Any]) -> Iterator[SavedFile]:
    """Yield pictures and videos whatever key they come under: "images", "gifs", "video" and what packs invent."""
    for node, shown in outputs.items():
        for items in shown.values() if isinstance(shown, dict) else ():
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict) and isinstance(item.get("filename"), str):
                    folder, subfolder = item.get("type", "output"), item.get("subfolder", "")
                    file = SavedFile(str(node), item["filename"], str(subfolder), str(folder))
                    if file.suffix in (*PICTURES, *VIDEOS) and all(map(is_text, astuple(file))):
                        yield file


def _time(value: object) -> float | None:
    """Return milliseconds of a clock; None for what cannot be."""
    return float(value) if isinstance(value, int | float) and abs(value) < MAX_TIME else None


def _object(answer: object, key: str) -> Mapping[str, Any]:
    """Return the object under a key of an answer; an empty one where the server says anything else."""
    found = answer.get(key) if isinstance(answer, Mapping) else None
    return found if isinstance(found, dict) else {}


def _list(answer: object, key: str) -> list[Any]:
    """Return the list under a key of an answer; an empty one where the server says anything else."""
    found = answer.get(key) if isinstance(answer, Mapping) else None
    return found if isinstance(found, list) else []


def _class_of(graph: Mapping[str, Any], node: str) -> str:
    one = graph.get(node)
    return str(one.get("class_type")) if isinstance(one, dict) else "unknown"


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer within {ANSWER_SECONDS:g} seconds"
    return str(getattr(inner, "strerror", None) or inner) or type(inner).__name__
