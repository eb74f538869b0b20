"""What the tests in a browser need, and how they run their scripts in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..workflows.templates import folder

HERE = Path(__file__).parent

Json = dict[str, Any]
URL, PLAYWRIGHT = os.environ.get("SAFETY_STEER_COMFY_URL"), os.environ.get("SAFETY_STEER_PLAYWRIGHT")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
ALL_TEMPLATES = bool(os.environ.get("SAFETY_STEER_ALL_TEMPLATES"))
MISSING = [
    name
    for name, found in {
        "SAFETY_STEER_COMFY_URL": URL,
        "SAFETY_STEER_PLAYWRIGHT": PLAYWRIGHT,
        "Chromium": CHROMIUM,
        "node": NODE,
        "the templates": folder(),
    }.items()
    if not found
]
NEEDS_BROWSER = pytest.mark.browser
NEEDS_NODE = pytest.mark.skipif(not NODE, reason="needs node")


def run(script: str, *arguments: object) -> list[Json]:
    """Run a script with node and return the JSON lines it prints."""
    command = [str(NODE), str(HERE / script), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    # Not splitlines: it also ends a line at U+2028, which prompts hold and JSON leaves as it is.
    return [json.loads(line) for line in answer.stdout.split("\n") if line]


def run_in_browser(script: str, *arguments: object) -> list[Json]:
    """Run a script that opens ComfyUI in Chromium."""
    return run(script, CHROMIUM, PLAYWRIGHT, URL, *arguments)
