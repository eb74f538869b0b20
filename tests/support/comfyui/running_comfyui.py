"""A real ComfyUI in this process, with Safety Steer loaded the way a server loads it.

On the CPU, unless SAFETY_STEER_DEVICE says gpu.

Import this module before anything of ComfyUI: the base folder has to be set before `folder_paths` is imported.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHECKOUT = os.environ.get("COMFYUI_PATH", "")
if not CHECKOUT:
    pytest.skip("needs a real ComfyUI: set COMFYUI_PATH to a checkout of it", allow_module_level=True)
if not (Path(CHECKOUT) / "comfy").is_dir():
    pytest.fail(f"COMFYUI_PATH is '{CHECKOUT}', which is not a ComfyUI checkout", pytrace=False)

REPOSITORY = Path(__file__).resolve().parents[3]
BASE = Path(tempfile.mkdtemp(prefix="safety-steer-comfyui-"))
atexit.register(shutil.rmtree, BASE, ignore_errors=True)
sys.path.insert(0, CHECKOUT)
sys.dont_write_bytecode = True

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing(False)

from comfy.cli_args import args  # noqa: E402

args.cpu = os.environ.get("SAFETY_STEER_DEVICE") != "gpu"
args.base_directory = str(BASE)

import folder_paths  # noqa: E402, F401
import utils.json_util  # noqa: E402, F401  # as in a server: `nodes` puts comfy/ on the path, where another `utils` lies

DIRECTIONS, ALIGNED = BASE / "models" / "safety_directions", BASE / "models" / "safety_aligned"
for folder in (BASE / "custom_nodes", DIRECTIONS, BASE / "user"):
    folder.mkdir(parents=True)

import execution  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402

from . import versions  # noqa: E402

torch.set_num_threads(1)
LINK = BASE / "custom_nodes" / "safety-steer"
LINK.symlink_to(REPOSITORY, target_is_directory=True)
PACKAGE = str(LINK).replace(".", "_x_")
EXTRAS = (
    "custom_sampler",
    "model_merging",
    "hunyuan",
    "video",
    "model_advanced",
    "qwen",
    "string",
    "wan",
    "logic",
    "video_model",
    "textgen",
    "primitive",
    "preview_any",
)


def _load() -> tuple[float, set[str]]:
    with contextlib.suppress(ImportError):
        importlib.import_module("comfy_config.config_parser")
    known, started = set(sys.modules), time.process_time()
    assert asyncio.run(nodes.load_custom_node(str(LINK))), "the pack did not load; see the log"
    seconds, loaded = time.process_time() - started, set(sys.modules) - known
    for name in EXTRAS:
        asyncio.run(
            nodes.load_custom_node(str(Path(CHECKOUT) / "comfy_extras" / f"nodes_{name}.py"), module_parent="comfy_extras")
        )
    return seconds, loaded


LOAD_SECONDS, LOADED_MODULES = _load()


def module(name: str) -> ModuleType:
    """Return a module of the pack as ComfyUI loaded it, such as "adapters.sampling.entries" or "safety_steer.errors"."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def comfyui_version() -> str:
    """Return the version of the ComfyUI under test."""
    return str(importlib.import_module("comfyui_version").__version__)


def fits() -> list[Path]:
    """List what lies in the folder of kept fits."""
    folder = module("adapters.folders").fits_folder()
    return sorted(folder.iterdir()) if folder.is_dir() else []


def forget_fits() -> None:
    """Empty the folder of kept fits."""
    shutil.rmtree(module("adapters.folders").fits_folder(), ignore_errors=True)


def prepared(node: str) -> Any:
    """Return a node class of the newer API as ComfyUI prepares it before it runs."""
    from comfy_api.latest import io

    return nodes.NODE_CLASS_MAPPINGS[node].PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "1"}})


def call(node: str, **inputs: Any) -> tuple[Any, ...]:
    """Execute a node class of either API outside a graph, and return its outputs."""
    cls = nodes.NODE_CLASS_MAPPINGS[node]
    if hasattr(cls, "define_schema"):
        return tuple(prepared(node).execute(**inputs).args)
    return tuple(getattr(cls(), cls.FUNCTION)(**inputs))


def shown(node: str, **inputs: Any) -> tuple[Any, str]:
    """Execute a node outside a graph, and return its output and the text it leaves on itself."""
    output = prepared(node).execute(**inputs)
    [text] = output.ui.as_dict()["text"]
    return output.args[0], str(text)


def validate(graph: dict[str, Any]) -> tuple[bool, Any, list[str], Any]:
    """Ask ComfyUI whether a graph in API form is valid."""
    return asyncio.run(execution.validate_prompt("test", graph, None))


class Server:
    """Stands in for the server: records what would be sent to a browser."""

    client_id = "test"
    last_node_id = last_prompt_id = None
    sockets_metadata: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send_sync(self, event: str, data: Any, _sid: str | None = None) -> None:
        self.sent.append((event, data))


class Queue:
    """Runs graphs one after another with one cache, as a server does."""

    def __init__(self) -> None:
        self.server, self.queued = Server(), 0
        self.executor = versions.executor(execution, self.server)

    def run(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Run a graph and return the outputs shown on its nodes; the test fails when ComfyUI reports an error."""
        valid, error, outputs, node_errors = validate(graph)
        assert valid, (error, node_errors)
        self.server.sent.clear()
        self.queued += 1
        self.executor.execute(graph, f"test {self.queued}", {"client_id": "test"}, outputs)
        assert self.executor.success, self.executor.status_messages
        return dict(self.executor.history_result["outputs"])

    @property
    def executed(self) -> list[str]:
        """Which nodes the last run executed; cached ones are left out."""
        return [data["node"] for event, data in self.server.sent if event == "executing" and data["node"]]
