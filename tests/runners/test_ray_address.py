"""An address where no Ray cluster is: said within seconds, before a model is loaded, and by what is there instead."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import builders, wording
from support.commands import Capture, complaint

from safety_steer.errors import DataError
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.runners import ray_address
from safety_steer.runners.ray_address import HELLO, check_answers
from safety_steer.runners.runner import open_runner

FIRST_FRAME = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100))  # settings, as a gRPC server sends them


def this_one() -> str:
    return "127.0.0.1"


def never() -> str:
    raise AssertionError("asked for")


@pytest.fixture
def closed() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads the hello of one client and answers it: its port, and what it has read."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.settimeout(10)
                heard.append(client.recv(len(HELLO)))
                answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_grpc_server_will_do(scheme: str) -> None:
    def in_pieces(client: socket.socket) -> None:
        client.sendall(FIRST_FRAME[:2])
        time.sleep(0.1)
        client.sendall(FIRST_FRAME[2:])

    with listening(in_pieces) as (port, heard):
        check_answers(f"{scheme}127.0.0.1:{port}", this_one)
    assert heard == [HELLO]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_nothing_listens_the_connection_is_refused(scheme: str, closed: int) -> None:
    with pytest.raises(ConnectionError, match=f"127.0.0.1, port {closed}: Connection refused"):
        check_answers(f"{scheme}127.0.0.1:{closed}", this_one)


def test_an_http_server_is_not_ray() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(ConnectionError, match=r"is not Ray.* 6379 .* 8265 is only its dashboard"):
            check_answers(f"127.0.0.1:{server.server_port}", this_one)


def test_one_that_hangs_up_is_not_ray() -> None:
    with listening(lambda client: client.close()) as (port, _), pytest.raises(ConnectionError, match="is not Ray"):
        check_answers(f"127.0.0.1:{port}", this_one)


def test_one_that_says_nothing_is_waited_for_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "SECONDS", 0.2)
    with listening(lambda client: client.recv(1)) as (port, _), pytest.raises(ConnectionError, match="timed out"):
        check_answers(f"127.0.0.1:{port}", this_one)


def test_with_tls_any_server_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listening(lambda _: None) as (port, heard):
        check_answers(f"127.0.0.1:{port}", this_one)
    assert heard == [b""]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConnectionError, match="a-name, port 6379: Name or service not known"):
        check_answers("a-name:6379", never)


@pytest.mark.parametrize("address", ["..:6379", f"127.0.0.1:{10**30}"])
def test_what_can_be_no_address_is_one_error(address: str) -> None:
    with pytest.raises(ConnectionError, match=", port "):
        check_answers(address, this_one)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_ray_s_own_address_of_this_computer_is_tried(name: str, closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def refuse(place: tuple[str, int], _: float) -> None:
        tried.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    for scheme, own in (("", lambda: "192.0.2.1"), ("ray://", never)):
        with pytest.raises(ConnectionError):
            check_answers(f"{scheme}{name}:{closed}", own)
    assert tried == [("192.0.2.1", closed), (name.strip("[]"), closed)]


@pytest.mark.parametrize("address", ["auto", "local", "a-name", "a-name:", "other://a-name:6379"])
def test_other_addresses_are_left_to_ray(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_answers(address, never)


def test_auto_is_what_the_environment_names(closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed}")
    check_answers("local", never)
    with pytest.raises(ConnectionError, match="Connection refused"):
        check_answers("auto", this_one)


def test_ray_itself_is_not_asked(closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests may have connected to a cluster
    start = time.monotonic()
    with pytest.raises(DataError, match=rf"^No Ray cluster answers at '127\.0\.0\.1:{closed}' \(.*refused\)\. Start one"):
        open_runner(None, f"127.0.0.1:{closed}")
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("command", ["evaluate", "extract", "align", "score"])
def test_commands_find_out_before_they_load_a_model(
    command: str, closed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ray = SimpleNamespace(is_initialized=lambda: False, init=never, util=SimpleNamespace(get_node_ip_address=this_one))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(DemoSession, "open", never)
    builders.planted_direction().save(direction := str(tmp_path / "direction.safetensors"))
    pairs = str(wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs()))
    anchors = str(wording.write_prompts(tmp_path / "anchors.txt", wording.sentences(400)))
    made = str(tmp_path / "made")
    nowhere = str(tmp_path / "no-model")  # would be an error of its own
    arguments = {
        "evaluate": ["--output", made],
        "extract": ["--source", nowhere, "--pairs", pairs, "--anchors", anchors, "-o", f"{made}.safetensors"],
        "align": [direction, "--encoder", nowhere, "-o", f"{made}.safetensors"],
        "score": [direction, "--encoder", nowhere, "--pairs", pairs],
    }
    line = complaint([command, *arguments[command], "--ray", f"127.0.0.1:{closed}"], capsys, tmp_path)
    assert "No Ray cluster answers" in line
