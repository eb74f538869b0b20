"""Rules of the house, read from the source: what may be imported or called, docstrings, sizes, import cost."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import safety_steer

ROOT = Path(__file__).parents[2]
LIBRARY = sorted((ROOT / "safety_steer").rglob("*.py"))
NODES = sorted(path for room in ("nodes", "adapters") for path in (ROOT / room).rglob("*.py"))
LOADED = [ROOT / "__init__.py", *NODES, *LIBRARY]
REACHES_OUT = {
    "safety_steer/evaluation/comfyui/client.py": {"http", "urllib"},
    "safety_steer/evaluation/comfyui/judges.py": {"subprocess"},
    "safety_steer/runners/on_ray.py": {"ray"},
    "safety_steer/runners/processes.py": {"multiprocessing"},
    "safety_steer/runners/ray_address.py": {"socket"},
}
HOST = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "server", "nodes", "execution"}
BANNED_MODULES = {
    "pickle", "cPickle", "dill", "shelve", "marshal", "subprocess", "socket", "urllib", "http", "requests", "aiohttp", "httpx",
    "ftplib", "ctypes", "pty", "importlib.machinery", "code", "runpy", "multiprocessing", "webbrowser", "huggingface_hub",
    "ray",
}  # fmt: skip
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint"}
BANNED_ATTRIBUTES = {
    ("torch", "load"), ("torch", "save"), ("os", "system"), ("os", "popen"), ("os", "execv"), ("os", "spawnv"), ("os", "fork"),
    ("numpy", "load"), ("np", "load"), ("torch", "hub"), ("joblib", "load"),
}  # fmt: skip


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Absolute names of imported modules, also of those imported inside functions."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(source: str, host_allowed: bool) -> list[str]:
    """What a source text does that it must not."""
    nodes, found = list(ast.walk(ast.parse(source))), []
    names = set(imported(nodes))
    for name in names:
        if name.split(".")[0] in BANNED_MODULES or name in BANNED_MODULES:
            found.append(f"imports {name}")
        if not host_allowed and name.split(".")[0] in HOST:
            found.append(f"imports {name} of the host")
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            found.append(f"calls {node.func.id}")
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr) in BANNED_ATTRIBUTES
        ):
            found.append(f"uses {node.value.id}.{node.attr}")
    found += [f"imports torch.{name}" for name in ("load", "save") if f"torch.{name}" in names]
    return found


@pytest.mark.parametrize("path", LOADED, ids=named)
def test_nothing_the_host_loads_runs_code_from_files_or_reaches_out(path: Path) -> None:
    allowed = REACHES_OUT.get(path.relative_to(ROOT).as_posix(), set())
    found = forbidden(path.read_text(), host_allowed=path not in LIBRARY)
    assert {one.removeprefix("imports ").split(".")[0] for one in found} == allowed


def loaded_by_the_host() -> set[Path]:
    """Files of the pack that ComfyUI's import of it leads to, those imported inside functions among them."""
    found, waiting = set(), [ROOT / "__init__.py"]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_relative_to(ROOT):
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for target in (base, *base.parents, *(base / alias.name for alias in node.names)):
                    waiting += [file for file in (target / "__init__.py", Path(f"{target}.py")) if file.is_file()]
    return found


def test_what_reaches_out_is_a_command_and_never_loaded_by_the_host() -> None:
    loaded = {named(path) for path in loaded_by_the_host()}
    assert {"nodes/apply_steer.py", "safety_steer/steering/operators.py", "safety_steer/extraction/text_model.py"} <= loaded
    assert not [
        name for name in loaded if name.startswith(("safety_steer/evaluation/", "safety_steer/cli/", "safety_steer/runners/"))
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "def f():\n    import subprocess",
        "eval('1')",
        "torch.load('x')",
        "from torch import load",
        "os.system('x')",
        "import comfy.sd",
        "from folder_paths import get_filename_list",
        "import server",
    ],
)
def test_the_rule_above_notices(source: str) -> None:
    assert forbidden(source, host_allowed=False)


@pytest.mark.parametrize("path", [*LIBRARY, *NODES], ids=named)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("room", sorted({path.parent for path in LOADED[1:]}), ids=named)
def test_a_room_is_small_enough_to_find_a_file_in(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= 16


def test_the_entry_point_is_short() -> None:
    assert len((ROOT / "__init__.py").read_text().splitlines()) <= 25


@pytest.mark.parametrize("path", LIBRARY, ids=named)
def test_everything_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module"
    places: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for place in places:
        for node in place.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", LOADED, ids=named)
def test_nothing_is_left_to_do(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())


REASONED_ROOMS = {
    "storage",
    "extraction",
    "cli",
    "directions",
    "steering",
    "alignment",
    "reports",
    "evaluation",
    "demo_world",
    "workflow",
}
REASONED = [
    ROOT / "safety_steer" / "statistics.py",
    ROOT / "safety_steer" / "api_wires.py",
    *(path for path in LIBRARY if REASONED_ROOMS & set(path.relative_to(ROOT).parts)),
    *NODES,
]


def unexplained(source: str) -> list[str]:
    """Module-level constants made of numbers without a comment in their first line or in the line above it."""
    lines, found = source.splitlines(), []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_number(node.value):
            above = lines[node.lineno - 2] if node.lineno > 1 else ""
            if "#" not in lines[node.lineno - 1] and not above.startswith("#"):
                found.append(lines[node.lineno - 1])
    return found


def is_number(value: ast.expr) -> bool:
    """Say whether an expression is made of numbers alone: one, several, or a sum of some."""
    parts = [node for node in ast.walk(value) if isinstance(node, ast.expr)]
    kinds = ast.Constant | ast.BinOp | ast.UnaryOp | ast.Tuple
    return all(isinstance(part, kinds) for part in parts) and any(
        isinstance(part, ast.Constant) and type(part.value) in (int, float) for part in parts
    )


@pytest.mark.parametrize("path", REASONED, ids=named)
def test_a_number_says_where_it_comes_from(path: Path) -> None:
    assert unexplained(path.read_text()) == []


def test_the_rule_about_numbers_notices() -> None:
    assert unexplained("A = 3") == ["A = 3"]
    assert unexplained("import os\n\nA, B = 0.1, -2 * 2**20\nC: int = 4") == ["A, B = 0.1, -2 * 2**20", "C: int = 4"]
    assert unexplained("A = 3  # by hand\n# of the paper\nB = 4\nNAME = 'x'") == []


def test_every_public_name_is_there_when_asked_for() -> None:
    found = {name: getattr(safety_steer, name) for name in safety_steer.__all__}
    homes = {sys.modules[value.__module__].__file__ for value in found.values() if hasattr(value, "__module__")}
    assert homes <= {str(path) for path in LIBRARY}
    with pytest.raises(AttributeError, match="no attribute 'steer_everything'"):
        _ = safety_steer.steer_everything


def test_importing_the_library_imports_nothing_heavy() -> None:
    heavy = ("transformers", "matplotlib", "gguf", "accelerate", "tokenizers", "sklearn", "scipy", "pandas")
    script = f"import sys, safety_steer, safety_steer.cli; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT / "tests")
    assert answer.stdout.strip() == "[]"
    assert answer.stderr == ""
