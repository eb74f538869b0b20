"""The client against a stand-in server: what is sent, what is read, and every way a server fails as one clear error."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from support import fake_comfy
from support.fake_comfy import FakeComfy

from safety_steer.errors import DataError, ServerError
from safety_steer.evaluation.comfyui.client import ComfyServer, SavedFile, comfy_server

GRAPH = fake_comfy.workflow()


def client(fake: FakeComfy) -> ComfyServer:
    return replace(comfy_server(fake.url), retry_seconds=0.01)


def failure(fake: FakeComfy) -> str:
    with pytest.raises(ServerError) as failed:
        client(fake).draw(GRAPH)
    return str(failed.value)


def status(event: str, **data: Any) -> dict[str, Any]:
    return {"status_str": "error", "completed": False, "messages": [["execution_start", {"timestamp": 1}], [event, data]]}


def test_a_graph_is_queued_waited_for_and_fetched(fake: FakeComfy) -> None:
    server = client(fake)
    server.check()
    drawn = server.draw(GRAPH)
    assert drawn.seconds == 2.5
    [file] = drawn.files
    assert file == SavedFile("15", "steered_00001_.png", "", "output")
    assert server.fetch(file) == fake_comfy.saved(GRAPH)
    assert fake.graphs == [GRAPH]


def test_pictures_and_videos_come_under_any_key_and_other_files_are_left_out(fake: FakeComfy) -> None:
    fake.outputs = {
        "1": {"images": [{"filename": "a.webp", "subfolder": "x y", "type": "temp"}], "animated": [True]},
        "2": {"gifs": [{"filename": "B.MP4", "subfolder": "", "type": "output", "fullpath": "/somewhere/B.MP4"}]},
        "3": {"text": ["a.png"], "audio": [{"filename": "c.flac"}], "latents": [{"filename": "d.latent"}], "x": None},
        "4": None,
    }
    files = client(fake).draw(GRAPH).files
    assert [(file.node, file.filename, file.suffix) for file in files] == [("1", "a.webp", ".webp"), ("2", "B.MP4", ".mp4")]
    fake.files["a.webp"] = b"webp"
    assert client(fake).fetch(files[0]) == b"webp"
    assert "subfolder=x+y&type=temp" in fake.paths[-1]


def test_a_run_drawn_before_has_no_time(fake: FakeComfy) -> None:
    messages = [["execution_start", {"timestamp": 1}], ["execution_cached", {"nodes": list(GRAPH)}]]
    fake.status = {"status_str": "success", "completed": True, "messages": [*messages, ["execution_success", {"timestamp": 2}]]}
    assert client(fake).draw(GRAPH).seconds is None


def test_a_refused_graph_names_node_and_reason(fake: FakeComfy) -> None:
    error = {"type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name: 'own' not in []"}
    fake.refusal = {"error": {"message": "Prompt outputs failed validation"}, "node_errors": {"4": {"errors": [error]}}}
    said = failure(fake)
    assert "node 4 (CheckpointLoaderSimple): Value not in list, ckpt_name: 'own' not in []" in said
    fake.refusal = {"error": {"type": "x", "message": "Cannot execute because node Own does not exist."}, "node_errors": []}
    assert "node Own does not exist" in failure(fake)


def test_a_node_that_fails_is_named(fake: FakeComfy) -> None:
    fake.status = status("execution_error", node_id="13", node_type="KSampler", exception_message="Out of\n memory.\n")
    assert failure(fake) == "Node 13 (KSampler) failed in ComfyUI: Out of memory."
    fake.status = status("execution_interrupted", node_id="13")
    assert "was stopped in ComfyUI" in failure(fake)
    fake.status = status("something_new")
    assert "gives no reason" in failure(fake)


def test_a_forgotten_run_is_noticed(fake: FakeComfy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety_steer.evaluation.comfyui.client.LAST_PAUSE", 0.01)
    fake.forgets = True
    assert "no longer knows the run" in failure(fake)


def test_a_server_that_goes_away_is_named_after_trying_again(fake: FakeComfy) -> None:
    fake.dies_after = 0
    assert f"No ComfyUI answers at {fake.url}" in failure(fake)
    fake.paths.clear()
    with pytest.raises(ServerError, match="Start it, or correct --comfy-url"):
        client(fake).check()
    assert fake.paths == ["/system_stats"] * 3


def test_nothing_at_the_address_is_named() -> None:
    with fake_comfy.serving(FakeComfy()) as fake:
        url = fake.url
    with pytest.raises(ServerError, match=rf"No ComfyUI answers at {url} \(Connection refused\)"):
        replace(comfy_server(url), retry_seconds=0.01).check()


def test_a_file_that_breaks_off_or_is_gone_is_noticed(fake: FakeComfy) -> None:
    [file] = client(fake).draw(GRAPH).files
    fake.cut_files = True
    with pytest.raises(ServerError, match="No ComfyUI answers"):
        client(fake).fetch(file)
    fake.cut_files = False
    fake.files.clear()
    with pytest.raises(ServerError, match="no longer has a file it saved"):
        client(fake).fetch(file)


class Other(BaseHTTPRequestHandler):
    """Some other server."""

    def do_GET(self) -> None:
        status, headers, content = ANSWERS[self.path.split("/")[1]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "page": (200, {}, b"<html>hello</html>"),
    "json": (200, {}, b'{"hello": 1}'),
    "absent": (404, {}, b"nothing"),
    "login": (401, {}, b""),
    "moved": (302, {"Location": "file:///etc/passwd"}, b""),
    "endless": (200, {}, b" " * 2048),
}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("page", "does not speak JSON"),
        ("json", "is not a ComfyUI"),
        ("absent", "answered 404 Not Found to /system_stats"),
        ("login", "401"),
        ("moved", "it points to file:///etc/passwd"),
        ("endless", "more than 1,024 bytes"),
    ],
)
def test_another_server_is_not_taken_for_a_comfyui(kind: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety_steer.evaluation.comfyui.client.MAX_JSON_BYTES", 1024)
    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with pytest.raises(ServerError) as failed:
            comfy_server(f"http://127.0.0.1:{server.server_address[1]}/{kind}").check()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert word in str(failed.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("https://box.example/comfy/", "https://box.example/comfy"),
        ("http://[::1]:8188/", "http://[::1]:8188"),
    ],
)
def test_addresses_are_read(given: str, url: str) -> None:
    assert comfy_server(given).url == url


@pytest.mark.parametrize(
    "given",
    [
        "file:///etc/passwd",
        "ftp://host",
        "http://",
        "",
        "http://host:x",
        "http://me:secret@host",
        "http://host/?a=b",
        "http://h\nx",
    ],
)
def test_other_addresses_are_refused(given: str) -> None:
    with pytest.raises(DataError, match="Expected --comfy-url like"):
        comfy_server(given)
