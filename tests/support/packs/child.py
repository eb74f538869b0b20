"""Runs the cases of one pack in a ComfyUI of their own: `python -m support.packs.child FOLDER_OF_THE_PACK OUT.safetensors`.

A pack may change ComfyUI when it is imported, so each gets a process. Written are the results of every case as tensors,
"CASE plain", "CASE steered" and "CASE library", and in the file's metadata what the command and the log said.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..comfyui import running_comfyui  # isort: skip
import comfy.sd
import pytest
import safetensors.torch
import server
import torch

import nodes

from ..comfyui import small_loaders
from . import files
from .case import Case, Json
from .cases import CASES, NEEDS
from .steering import ALIGN, APPLY, KEEP, KEPT, LOAD, NODES

EMPTY = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
WIDGETS = (*EMPTY, "COMBO")


def load(folder: Path) -> str:
    """Load the nodes that come with ComfyUI, and a pack, as a server does; return why it could not be, or nothing."""
    files.write_all()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_builtin_extra_nodes())
    needed = [folder.with_name(name) for name in NEEDS.get(folder.name, ())]
    with _logged("WARNING", "root") as said:
        made = [nodes.load_custom_node(str(one), module_parent="custom_nodes") for one in (*needed, folder)]
        loaded = all([loop.run_until_complete(one) for one in made])
    nodes.NODE_CLASS_MAPPINGS.update(NODES)
    return "" if loaded else said.getvalue().strip().splitlines()[-1]


def run_case(case: Case) -> Json:
    """Run the graph of a case as it is, steered by the command, and steered by the library; return what was said."""
    plain = {key: filled(one) for key, one in case.graph.items()}
    steered, said = add(plain)
    changed = steered != plain
    for one in steered.values():
        one["inputs"] |= {"gate": case.gate} if one["class_type"] == APPLY else {}
    _run("plain", plain, case)
    with _logged("INFO", "safety_steer") as log:
        _run("steered", steered, case)
    if any(one["class_type"] == APPLY for one in steered.values()):
        _run("library", by_library(case, plain, steered), case)
    return {"said": said, "changed": changed, "log": log.getvalue()}


def add(graph: Json) -> tuple[Json, str]:
    """Return what `safety-steer add` makes of a graph, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.json"
        path.write_text(json.dumps(graph), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = running_comfyui.module("safety_steer.cli").main(["add", str(path), "-o", str(path)])
        assert code == 0
        return json.loads(path.read_text(encoding="utf-8")), said.getvalue()


def filled(one: Json) -> Json:
    """Return a node with all its widgets, those that are not given as they are in a new node: so a file has them."""
    kinds = nodes.NODE_CLASS_MAPPINGS[one["class_type"]].INPUT_TYPES().get("required", {})
    given = {name: _first(*kind) for name, kind in kinds.items() if name not in one["inputs"] and not _is_wire(*kind)}
    return {**one, "inputs": {**given, **one["inputs"]}}


def _is_wire(kind: Any, options: Any = ()) -> bool:
    return not isinstance(kind, list | tuple) and (kind not in WIDGETS or "forceInput" in options)


def _first(kind: Any, options: Any = ()) -> Any:
    """Return the value of a new widget."""
    choices = kind if isinstance(kind, list | tuple) else options.get("options", ("",)) if kind == "COMBO" else (EMPTY[kind],)
    return options["default"] if "default" in options else choices[0]


def by_library(case: Case, plain: Json, steered: Json) -> Json:
    """Return the graph of a case with its prompts steered by the library, by the direction that the command has aligned."""
    graph = copy.deepcopy(plain)
    graph |= {key: copy.deepcopy(one) for key, one in steered.items() if one["class_type"] in (LOAD, ALIGN)}
    [align] = [key for key, one in graph.items() if one["class_type"] == ALIGN]
    for key, inputs in case.given.items():
        graph[key]["inputs"] |= inputs
    for number, prompt in enumerate(case.prompts):
        for one in graph.values():
            one["inputs"] = {
                name: [f"library {number}", 0] if value == list(prompt) else value for name, value in one["inputs"].items()
            }
        inputs = {"conditioning": list(prompt), "direction": [align, 0], "gate": case.gate}
        graph[f"library {number}"] = {"class_type": "SteerByLibrary", "inputs": inputs}
    return graph


def _run(name: str, graph: Json, case: Case) -> None:
    keep = {"class_type": KEEP, "inputs": {"value": list(case.result), "name": name}}
    running_comfyui.Queue().run({**graph, "keep": keep})


@contextlib.contextmanager
def _logged(level: str, name: str) -> Iterator[io.StringIO]:
    """Write down what is logged."""
    said = io.StringIO()
    handler, logger = logging.StreamHandler(said), logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    yield said
    logger.removeHandler(handler)
    logger.setLevel(before)


def sockets() -> Json:
    """Return what nodes take and give that an export does not tell, of those that the table knows and that are loaded."""
    known = running_comfyui.module("safety_steer.workflow.packs").SOCKETS
    loaded = {name: nodes.NODE_CLASS_MAPPINGS[name] for name in known if name in nodes.NODE_CLASS_MAPPINGS}
    return {
        name: {"inputs": _takes(cls) if "inputs" in known[name] else [], "outputs": " ".join(map(str, cls.RETURN_TYPES))}
        for name, cls in loaded.items()
    }


def _takes(cls: Any) -> list[str]:
    return [f"{name}:{kind}" for name, (kind, *_) in cls.INPUT_TYPES().get("optional", {}).items() if isinstance(kind, str)]


def main(folder: Path, out: Path) -> None:
    """Run all cases of a pack, and write what they gave and said."""
    tensors: dict[str, torch.Tensor] = {}
    missing = load(folder)
    told: Json = {"missing": missing, "sockets": {} if missing else sockets()}
    cases = {} if missing else CASES[folder.name]
    small = small_loaders.model("sd15"), small_loaders.clip("sd15"), small_loaders.vae("sd15"), None
    for title, case in cases.items():
        KEPT.clear()
        with pytest.MonkeyPatch.context() as patch, small_loaders.in_place(case.encoder):
            patch.setattr(comfy.sd, "load_checkpoint_guess_config", lambda *_, **__: small)
            patch.setattr(nodes.CLIPVisionLoader, "load_clip", lambda *_, **__: (files.vision(),))
            try:
                told[title] = run_case(case)
            except BaseException:
                told[title] = {"failed": traceback.format_exc()}
        tensors |= {f"{title} {name}": value.contiguous() for name, value in KEPT.items()}
    safetensors.torch.save_file(tensors, out, metadata={"told": json.dumps(told)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
