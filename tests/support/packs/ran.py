"""Starts a process for each pack, and reads what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

TESTS = Path(__file__).parents[2]
FOLDER = os.environ.get("SAFETY_STEER_PACKS", "")
LIBRARIES = "SAFETY_STEER_PACKS_PYTHON"
WITHIN = 600.0


@dataclass(frozen=True)
class Ran:
    """What a case gave: results by "plain", "steered" and "library", what the command said, and what was logged."""

    results: Mapping[str, Tensor]
    said: str = ""
    log: str = ""
    changed: bool = False
    failed: str = ""


def folder_of(pack: str) -> Path | None:
    """Return where the code of a pack lies, None when it is not there."""
    path = Path(FOLDER) / pack
    return path if FOLDER and path.is_dir() else None


def commit_of(pack: str) -> str:
    """Return which commit of a pack was run; empty when its folder is not a checkout."""
    found = subprocess.run(
        ["git", "-C", str(Path(FOLDER) / pack), "rev-parse", "--show-toplevel", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    top, _, commit = found.stdout.strip().partition("\n")
    return commit[:10] if top and Path(top).name == pack else ""


@dataclass(frozen=True)
class Pack:
    """What a process found of a pack: its cases, and the sockets of its nodes by type.

    `missing` says why it was not loaded, and `broken` how the process ended early.
    """

    missing: str = ""
    cases: Mapping[str, Ran] = field(default_factory=dict)
    sockets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    broken: str = ""


@cache
def run_pack(pack: str) -> Pack:
    """Run all cases of a pack in a process of its own."""
    folder = folder_of(pack)
    assert folder is not None
    paths = [str(TESTS), str(TESTS / "comfyui"), os.environ.get(LIBRARIES, ""), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as written:
        out = Path(written) / "results.safetensors"
        command = [sys.executable, "-m", "support.packs.child", str(folder), str(out)]
        done = subprocess.run(command, env=environment, cwd=TESTS, capture_output=True, text=True, timeout=WITHIN, check=False)
        if not out.is_file():
            return Pack(broken=f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        with safetensors.safe_open(out, "pt") as file:
            told: dict[str, Any] = json.loads(file.metadata()["told"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    missing, sockets = told.pop("missing"), told.pop("sockets")
    return Pack(missing, {title: Ran(_of(tensors, title), **found) for title, found in told.items()}, sockets)


def _of(tensors: Mapping[str, Tensor], title: str) -> Mapping[str, Tensor]:
    """Return the results of one case by their names."""
    return {name: tensors[f"{title} {name}"] for name in ("plain", "steered", "library") if f"{title} {name}" in tensors}
