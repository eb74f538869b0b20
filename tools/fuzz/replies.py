"""The replies of a ComfyUI server that is broken or hostile: JSON of any shape, and HTTP that is not quite."""

from __future__ import annotations

import http.client
import io
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from safety_steer.evaluation.comfyui import client
from safety_steer.evaluation.comfyui.client import ComfyServer
from safety_steer.evaluation.comfyui.frames import PICTURES, VIDEOS

from .stream import Stream, edited
from .target import Target, refusing

GRAPH = {"3": {"class_type": "KSampler", "inputs": {}}, "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}}
DONE = {
    "status": {
        "status_str": "success",
        "messages": [
            ["execution_start", {"timestamp": 1000}],
            ["execution_cached", {"nodes": ["3"]}],
            ["execution_success", {"timestamp": 2500}],
        ],
    },
    "outputs": {"9": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}], "animated": [False]}},
}
FAILED = {
    "status": {
        "status_str": "error",
        "messages": [["execution_error", {"node_id": "3", "node_type": "KSampler", "exception_message": "no\n memory"}]],
    }
}
REFUSED = {"error": {"message": "bad"}, "node_errors": {"3": {"errors": [{"message": "m", "details": "d"}], "class_type": "K"}}}
SOUND: tuple[Any, ...] = (
    {"system": {"os": "posix"}},
    {"prompt_id": "a", "node_errors": {}},
    {"a": DONE},
    {"a": FAILED},
    {"queue_running": [[0, "a", {}]], "queue_pending": []},
    REFUSED,
    {**REFUSED, "prompt_id": "a"},
)
STATUSES = (b"200 OK", b"400 Bad Request", b"404 Not Found", b"302 Found", b"500 Oh", b"999 \x1b[31m", b"200")


class _Socket:
    """A connection on which an answer has come already."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.answer)

    def sendall(self, _: bytes) -> None:
        """Take a request."""

    def close(self) -> None:
        """End."""

    def settimeout(self, _: float) -> None:
        """Wait for nothing."""


class _Connection(http.client.HTTPConnection):
    answers: Iterator[bytes] = iter(())

    def connect(self) -> None:
        """Be connected with what answers as it is told to."""
        self.sock = cast(Any, _Socket(next(_Connection.answers, b"")))


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Open no connection."""
        return self.do_open(_Connection, request)


OPENER = urllib.request.build_opener(client._NoRedirect, _Handler)


def _opener(url: str) -> urllib.request.OpenerDirector:
    assert url
    return OPENER


@contextmanager
def _answering(answers: Iterator[bytes]) -> Iterator[None]:
    """Let every connection be answered by the next of these, and nobody sleep."""
    before, sleep, _Connection.answers = client._opener, time.sleep, answers
    try:
        client._opener, time.sleep = _opener, lambda _: None
        yield
    finally:
        client._opener, time.sleep = before, sleep


def _answers(stream: Stream) -> Iterator[bytes]:
    """Yield answers: raw ones, or sound ones with an edited body, another status or another length."""
    for _ in range(64):
        mode = stream.byte()
        if stream.ended:
            return
        if mode % 8 == 0:
            yield stream.take(stream.byte() << 8 | stream.byte())
            continue
        body = json.dumps(SOUND[mode // 8 % len(SOUND)])
        if mode % 2:
            try:
                body = json.dumps(edited(json.loads(body), stream))
            except RecursionError:
                body = "[" * 3000
        status = STATUSES[stream.byte() % len(STATUSES)] if mode % 8 == 2 else STATUSES[0]
        length = (str(len(body)), "²", "-1", "9" * 5000, "0", "")[stream.byte() % 6] if mode % 8 == 3 else str(len(body))
        more = b"Location: " + stream.take(8) + b"\r\n" if mode % 8 == 4 else b""
        head = b"HTTP/1.1 " + status + b"\r\n" + more + b"Content-Length: " + length.encode("latin-1") + b"\r\n\r\n"
        yield head + body.encode("utf-8", "surrogatepass")


def _replies(data: bytes) -> None:
    """Draw with a server that answers as the input says, and fetch what it says it has drawn."""
    server = ComfyServer("http://127.0.0.1:8188", retries=2, retry_seconds=0.0)
    with _answering(_answers(Stream(data))):
        with refusing():
            server.check()
        with refusing():
            drawn = server.draw(GRAPH)
            assert all(file.suffix in (*PICTURES, *VIDEOS) for file in drawn.files)
            assert drawn.seconds is None or isinstance(drawn.seconds, float)
            for file in drawn.files[:2]:
                server.fetch(file)


def _seeds() -> Iterator[bytes]:
    # A check, a queued graph, and the end of its run: fine, failed, refused, gone.
    yield bytes((6, 14, 22, 6, 0))
    yield bytes((6, 14, 30, 6, 0))
    yield bytes((6, 46, 46, 54, 0))
    yield bytes((6, 14, 38, 38, 38, 38, 38, 38, 38, 38, 38, 22, 0))
    yield bytes((7, 1, 2, 3, 15, 4, 5, 6, 23, 7, 8, 9, 10, 11, 12))


TARGETS = (Target("replies", _replies, _seeds, longest=2048),)
