"""What the registry shows of the pack, and what an installed pack has to bring along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import safety_steer

ROOT = Path(__file__).parents[2]
RAW = "https://raw.githubusercontent.com/"
NEEDED = (
    "__init__.py", "nodes", "safety_steer", "adapters", "directions", "example_workflows", "subgraphs", "locales", "web",
    "pyproject.toml",
)  # fmt: skip


def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="comes with Python 3.11")
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def test_the_registry_gets_what_it_asks_for() -> None:
    data = project()
    base, comfy = data["project"], data["tool"]["comfy"]
    assert re.fullmatch(r"[a-z](?:[._-]?[a-z0-9])*", base["name"])
    assert "comfyui" not in base["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", base["version"])
    assert (ROOT / base["license"]["file"]).is_file()
    assert any(one.startswith("Operating System :: ") for one in base["classifiers"])
    assert {"PublisherId", "DisplayName", "Icon", "Banner", "requires-comfyui"} <= set(comfy)
    # ComfyUI would serve the folder under a second name: WEB_DIRECTORY in __init__.py says it already.
    assert "web" not in comfy
    repository = base["urls"]["Repository"]
    assert all(address.startswith(repository) for address in base["urls"].values())
    for address in base["urls"].values():
        path = address.removeprefix(repository).removeprefix("/blob/main/")
        assert address in (repository, f"{repository}/issues") or (ROOT / path).is_file()


@pytest.mark.parametrize(("picture", "size"), [("Icon", (400, 400)), ("Banner", (1680, 720))])
def test_icon_and_banner_are_in_the_repository_and_of_the_size_the_registry_wants(picture: str, size: tuple[int, int]) -> None:
    data = project()
    address = data["tool"]["comfy"][picture]
    owner = data["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    assert address.startswith(f"{RAW}{owner}/main/")
    with Image.open(ROOT / address.removeprefix(f"{RAW}{owner}/main/")) as found:
        assert found.size == size
        assert found.format == "PNG"
    assert size == (400, 400) or size[0] * 9 == size[1] * 21


def test_the_registry_and_the_library_say_the_same_version() -> None:
    assert project()["project"]["version"] == safety_steer.__version__


def test_the_changelog_knows_the_version() -> None:
    assert f"\n## {project()['project']['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_comfyui_loads_and_serves_is_not_left_out_of_the_archive() -> None:
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    # Without the slash in front, docs/ would leave out web/docs as well.
    ignored = [re.fullmatch(r"/([\w.-]+)/?", line) for line in lines]
    assert all(ignored), lines
    assert {found[1] for found in ignored if found} & set(NEEDED) == set()
    assert all((ROOT / name).exists() for name in NEEDED)


def test_the_readme_names_the_newest_version_tested_and_the_oldest_the_registry_lets_in() -> None:
    columns = sorted(path.stem.removeprefix("families-") for path in (ROOT / "results").glob("families-*.json"))
    newest, *older = sorted(columns, key=lambda found: tuple(map(int, found.split("."))), reverse=True)
    tested = re.search(
        r"\*\*Tested with\*\* ComfyUI (\S+) \(on \d{4}-\d\d-\d\d\), (.+?):", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert tested is not None
    assert (tested[1], re.split(r", | and ", tested[2])) == (newest, older)
    assert project()["tool"]["comfy"]["requires-comfyui"] == f">={older[-1]}"


def test_a_wheel_brings_the_files_that_the_library_reads() -> None:
    declared = project()["tool"]["setuptools"]["package-data"]
    folder = ROOT / "safety_steer"
    data = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    brought = {
        path
        for package, patterns in declared.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    assert folder / "workflow" / "pack_nodes.json" in data
    assert data - brought == set()
