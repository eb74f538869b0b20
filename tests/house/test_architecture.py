"""The rooms of docs/architecture.md: all are there and named, and imports between them go down only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LIBRARY = "safety_steer"
FACE = f"{LIBRARY}/__init__"
AROUND = ("web", "tools", "benchmarks", "training", "tests")
# Arrows that point up, by file and by the module they point to, with the reason. One that is gone has to go here too.
UPWARD: dict[tuple[str, str], str] = {}


def named_levels() -> dict[str, int]:
    """Return the rooms of the page's first table with their lines."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    every = rf"`({LIBRARY}/\w+|nodes|adapters)`"
    return {room: int(line) for line, text in rows for room in re.findall(every, text)}


def rooms_of_the_pack() -> set[str]:
    """Return every folder and file of Python that is a room of its own."""
    inside = [path for path in (ROOT / LIBRARY).iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    return {path.relative_to(ROOT).with_suffix("").as_posix() for path in inside} | {"nodes", "adapters"}


def room_of(module: tuple[str, ...]) -> str:
    """Return the room of a module, given as its path without the suffix."""
    if module[0] != LIBRARY:
        return module[0]
    return "/".join(module[:2]) if len(module) > 1 else FACE


def modules_imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield what a file imports of this repository, also inside functions, each as a path without the suffix."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            base = (*above, *(node.module or "").split(".")) if node.module else above
            found = [(*base, alias.name) for alias in node.names]
        else:
            continue
        for module in found:
            while module and not (ROOT.joinpath(*module).is_dir() or ROOT.joinpath(*module).with_suffix(".py").is_file()):
                module = module[:-1]
            if module and module[0] in (LIBRARY, "nodes", "adapters", *AROUND):
                yield module


def upward(path: Path, levels: dict[str, int]) -> set[str]:
    """Return the modules a file of the pack imports that are in no room below its own."""
    own = room_of(path.relative_to(ROOT).with_suffix("").parts)
    imported = {module for module in modules_imported(path) if room_of(module) != own}
    return {"/".join(module) for module in imported if levels.get(room_of(module), len(levels)) >= levels[own]}


SOURCES = sorted(path for room in (LIBRARY, "nodes", "adapters") for path in (ROOT / room).rglob("*.py"))


def test_every_room_is_named_on_the_page_and_every_named_room_is_there() -> None:
    assert set(named_levels()) == rooms_of_the_pack()


def test_every_room_around_the_pack_is_named() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert tuple(named) == AROUND
    assert all((ROOT / room).is_dir() for room in AROUND)


def test_imports_between_rooms_go_down_only() -> None:
    levels = named_levels()
    found = {(path.relative_to(ROOT).as_posix(), module) for path in SOURCES for module in upward(path, levels)}
    assert found == set(UPWARD)


@pytest.mark.parametrize(
    ("own", "statement"),
    [
        ("safety_steer/storage/x.py", "from ..directions.source import SafetyDirection"),
        ("safety_steer/steering/x.py", "def f():\n    from ..extraction import text_model"),
        ("safety_steer/workflow/editor/x.py", "from ...cli import add"),
        ("safety_steer/alignment/x.py", "from .. import AlignedDirection"),
        ("adapters/clip/x.py", "from ...nodes import settings"),
        ("nodes/x.py", "import tools.docs.write_cards"),
    ],
)
def test_the_rule_above_notices(own: str, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _self, **_: statement)
    assert upward(ROOT / own, named_levels())


def test_every_path_on_the_page_is_there() -> None:
    named = re.findall(r"`([\w./]+/[\w./]+)`", PAGE)
    missing = [path for path in named if not any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))]
    assert missing == []


def test_the_entry_point_imports_nodes_and_adapters_only() -> None:
    assert {room_of(module) for module in modules_imported(ROOT / "__init__.py")} == {"nodes", "adapters"}
