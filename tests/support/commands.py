"""Run a command of `safety-steer` in this process: one that works, and one that cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safety_steer.cli import main

Capture = pytest.CaptureFixture[str]


def answer(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    """Run a command that works and return its JSON object."""
    capsys.readouterr()
    assert main([*arguments, "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    return json.loads(printed.out)


def complaint(arguments: list[str], capsys: Capture, folder: Path | None = None) -> str:
    """Run a command that cannot work: exit 2, one line on stderr, nothing on stdout, nothing new in the folder."""
    before = sorted(folder.rglob("*")) if folder else []
    capsys.readouterr()
    assert main([*arguments, "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("safety-steer: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert (sorted(folder.rglob("*")) if folder else []) == before
    return printed.err
