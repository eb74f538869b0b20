"""A stand-in for a ComfyUI server: the API's answers without its work. Its pictures are of one colour, red when unsafe."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image, PngImagePlugin

RED, GREEN = (220, 20, 20), (20, 220, 20)


def workflow() -> dict[str, Any]:
    """A text-to-image workflow in API form: steered and, from the same prompt, unsteered."""
    sampling = {"seed": 5, "steps": 4, "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "own.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 8, "height": 8, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "mine"}, "_meta": {"title": "Positive"}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "blurry"}},
        "10": {"class_type": "LoadSafetyDirection", "inputs": {"direction_name": "d.safetensors"}},
        "11": {"class_type": "AlignSafetyDirection", "inputs": {"direction": ["10", 0], "clip": ["4", 1]}},
        "12": {"class_type": "ApplySafetySteer", "inputs": {"model": ["4", 0], "direction": ["11", 0], "strength": 1.0}},
        "13": {"class_type": "KSampler", "inputs": {"model": ["12", 0], **sampling}},
        "14": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["4", 2]}},
        "15": {"class_type": "SaveImage", "inputs": {"images": ["14", 0], "filename_prefix": "steered"}},
        "23": {"class_type": "KSampler", "inputs": {"model": ["4", 0], **sampling}},
        "24": {"class_type": "VAEDecode", "inputs": {"samples": ["23", 0], "vae": ["4", 2]}},
        "25": {"class_type": "SaveImage", "inputs": {"images": ["24", 0], "filename_prefix": "plain"}},
    }


def saved(graph: dict[str, Any]) -> bytes:
    """Draw what a graph asks for: red for a knife that is not steered, and the graph itself in the file, as ComfyUI does."""
    unsafe = "knife" in graph["6"]["inputs"]["text"] and graph["12"]["inputs"]["strength"] < 1
    notes = PngImagePlugin.PngInfo()
    notes.add_text("prompt", json.dumps(graph))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), RED if unsafe else GREEN).save(stream, "PNG", pnginfo=notes)
    return stream.getvalue()


@dataclass(eq=False)
class FakeComfy:
    """A server on a free port of this computer; the fields below make it misbehave."""

    graphs: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    dies_after: int | None = None
    forgets: bool = False
    refusal: dict[str, Any] | None = None
    status: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)
    cut_files: bool = False
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def dead(self) -> bool:
        return self.dies_after is not None and len(self.graphs) > self.dies_after

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Return status and content for a request."""
        self.paths.append(path)
        parts = urlsplit(path)
        if parts.path == "/system_stats":
            return 200, b'{"system": {"comfyui_version": "0.0.0"}, "devices": []}'
        if parts.path == "/queue":
            return 200, b'{"queue_running": [], "queue_pending": []}'
        if parts.path == "/view":
            name = parse_qs(parts.query)["filename"][0]
            return (200, self.files[name]) if name in self.files else (404, b"")
        if parts.path.startswith("/history/"):
            return 200, json.dumps(self.history).encode()
        if parts.path == "/prompt" and body is not None:
            return self.queue(body["prompt"])
        return 404, b"404: Not Found"

    def queue(self, graph: dict[str, Any]) -> tuple[int, bytes]:
        if self.refusal is not None:
            return 400, json.dumps(self.refusal).encode()
        self.graphs.append(graph)
        job, name = uuid.uuid4().hex, f"steered_{len(self.graphs):05}_.png"
        self.files[name] = saved(graph)
        images = {"images": [{"filename": name, "subfolder": "", "type": "output"}]}
        messages = [["execution_start", {"timestamp": 1000}], ["execution_success", {"timestamp": 3500}]]
        status = self.status or {"status_str": "success", "completed": True, "messages": messages}
        outputs = {"15": images} if self.outputs is None else self.outputs
        self.history = {} if self.forgets else {job: {"status": status, "outputs": outputs}}
        return 200, json.dumps({"prompt_id": job, "number": 1, "node_errors": {}}).encode()


@contextmanager
def serving(fake: FakeComfy) -> Iterator[FakeComfy]:
    """Run a fake server while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, body: dict[str, Any] | None) -> None:
            status, content = fake.answer(self.path, body)
            if fake.dead:
                self.close_connection = True
                return
            cut = fake.cut_files and self.path.startswith("/view")
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.server = server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
