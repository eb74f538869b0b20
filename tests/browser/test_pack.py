"""What the pack adds to ComfyUI's real window: its templates with their pictures, and a help page for every node.

Needs what test_workflows.py needs. SAFETY_STEER_PICTURES names a folder for pictures of both.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.browser.harness import NEEDS_BROWSER, Json, run_in_browser

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "example_workflows").glob("*.json")}
PAGES = {path.stem: path for path in (ROOT / "web" / "docs").glob("*.md")}


@pytest.fixture(scope="module", params=["classic", "vue"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the script saw, with the classic canvas and with Nodes 2.0."""
    where = tmp_path_factory.mktemp(request.param)
    [found] = run_in_browser("pack.mjs", where, request.param)
    if kept := os.environ.get("SAFETY_STEER_PICTURES"):
        for picture in where.glob("*.png"):
            shutil.copy(picture, Path(kept) / f"pack-{picture.stem}-{request.param}.png")
    assert "error" not in found, found["error"]
    return found


def test_nothing_goes_wrong_in_the_page(seen: Json) -> None:
    assert seen["pageErrors"] == []


def test_every_example_is_listed_under_the_name_of_the_pack(seen: Json) -> None:
    assert {one["name"] for one in seen["templates"]} == set(EXAMPLES)


def test_every_example_has_a_picture_that_is_shown(seen: Json) -> None:
    assert [name for name, path in EXAMPLES.items() if not path.with_suffix(".jpg").is_file()] == []
    assert [one["name"] for one in seen["templates"] if not one["width"]] == []


def test_every_example_opens_without_a_missing_node(seen: Json) -> None:
    for one in seen["opened"]:
        assert one["missing"] == [], one["name"]
        kinds = {node["type"] for node in json.loads(EXAMPLES[one["name"]].read_text(encoding="utf-8"))["nodes"]}
        assert kinds <= set(one["nodes"]), one["name"]
    assert {one["name"] for one in seen["opened"]} == set(EXAMPLES)


def test_the_help_of_every_node_is_its_own_page(seen: Json) -> None:
    assert {one["type"] for one in seen["help"]} == set(PAGES)
    for one in seen["help"]:
        assert one["shown"] == one["title"], one["type"]
        assert PAGES[one["type"]].read_text(encoding="utf-8").startswith(f"# {one['title']}\n")
