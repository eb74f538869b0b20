"""The script for ComfyUI's window: what it may not do, and that it knows what the command line knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safety_steer.workflow import pack_nodes
from tools.docs import write_pack_nodes

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "web").rglob("*.js"))
FORBIDDEN = re.compile(
    r"\b(eval|Function|fetch|fetchApi|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|innerHTML|outerHTML|"
    r"insertAdjacentHTML|document|localStorage|prototype|getExtraMenuOptions|getCanvasMenuOptions|onDrawForeground)\b|(?<!\{)import\("
)
ADDRESS = re.compile(r"(https?|wss?|data|blob):")
WRITTEN = write_pack_nodes.written()


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


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_what_both_editors_know_is_written_from_one_place(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == WRITTEN[path], "Write it anew: python -m tools.docs.write_pack_nodes"


def test_no_script_names_the_nodes_again() -> None:
    names = {f'"{type}"' for type in pack_nodes.PACK_NODES}
    named = {path.name for path in SCRIPTS if any(name in path.read_text(encoding="utf-8") for name in names)}
    assert named == {"pack_nodes.js"}


def test_no_script_types_a_shared_constant_again() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    shared = [name for text in WRITTEN.values() for name in re.findall(r"^export const (\w+)", text, re.MULTILINE)]
    assert len(shared) > 30
    assert [name for name in shared if len(re.findall(rf"\bconst {name} = ", text)) != 1] == []
