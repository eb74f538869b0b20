"""The script for ComfyUI's window: what it may not do, and that it knows what the command line knows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from safety_steer.workflow import graph, pack_nodes, plan, prompts, samplers
from safety_steer.workflow.editor import blocks, record

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "web").rglob("*.js"))
FORBIDDEN = re.compile(
    r"\b(eval|Function|fetch|fetchApi|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|innerHTML|outerHTML|"
    r"insertAdjacentHTML|document|localStorage|prototype|getExtraMenuOptions|getCanvasMenuOptions|onDrawForeground)\b|(?<!\{)import\("
)
ADDRESS = re.compile(r"(https?|wss?|data|blob):")
CONSTANTS = {
    "LOAD": pack_nodes.LOAD,
    "ALIGN": pack_nodes.ALIGN,
    "APPLY": pack_nodes.APPLY,
    "ON_CONDITIONING": pack_nodes.ON_CONDITIONING,
    "STEER": plan.STEER,
    "STEERED": plan.STEERED,
    "LEFT": plan.LEFT,
    "POSITIVE": list(samplers.POSITIVE),
    "RESULTS": list(samplers.RESULTS),
    "WRITES_MUSIC": list(prompts.WRITES_MUSIC),
    "STEERING": {type: [passage.input, passage.output] for type, passage in pack_nodes.STEERING.items()},
    "SUPPLYING": list(pack_nodes.SUPPLYING),
    "REPORTING": pack_nodes.REPORTING,
    "SCORING": pack_nodes.SCORING,
    "NOTES": list(blocks.NOTES),
    "DIRECTIONS": [pack_nodes.DIRECTION, pack_nodes.ALIGNED],
    "RECORD": record.KEY,
    "ENTRY": graph.ENTRY,
    "EXIT": graph.EXIT,
    "MUTED": graph.MUTED,
    "BYPASSED": graph.BYPASSED,
    "UNTOLD": list(graph.UNTOLD),
}


def test_there_are_scripts() -> None:
    assert ROOT / "web" / "safety_steer.js" in SCRIPTS
    assert 'WEB_DIRECTORY = "./web"' in (ROOT / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_reaches_nothing_but_the_graph(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not FORBIDDEN.findall(text)
    assert not ADDRESS.findall(text)
    assert len(text.splitlines()) < 300


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_imports_only_its_neighbours_and_the_front_end(path: Path) -> None:
    for name in re.findall(r'from "([^"]+)";', path.read_text(encoding="utf-8")):
        assert name == "../../scripts/app.js" or (path.parent / name).resolve() in SCRIPTS, name


def test_the_scripts_know_the_nodes_and_names_of_the_command_line() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    written = re.findall(r"^export const ([A-Z_]+) = (.+?);$", text, re.MULTILINE | re.DOTALL)
    found = {name: json.loads(value) for name, value in written}
    assert {name: found.get(name) for name in CONSTANTS} == CONSTANTS
