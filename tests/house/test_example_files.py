"""The example workflows are what their descriptions give, and each has a thumbnail of what it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from tools.workflows.examples import WORKFLOWS, draw
from tools.workflows.examples.sheet import Sheet

ROOT = Path(__file__).parents[2]

EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
MAX_BYTES = 60_000


def test_there_are_no_others_than_those_described() -> None:
    assert {path.stem for path in EXAMPLES} == set(WORKFLOWS)
    assert {path.stem for path in (ROOT / "example_workflows").glob("*.jpg")} == set(WORKFLOWS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_file_is_what_its_description_gives(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == draw(path.stem).text(), "run python -m tools.workflows.write_examples"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_thumbnail_that_shows_something(path: Path) -> None:
    picture = path.with_suffix(".jpg")
    assert picture.stat().st_size <= MAX_BYTES
    with Image.open(picture) as found:
        assert found.format == "JPEG"
        assert found.size == (512, 320)
        assert max(ImageStat.Stat(found.convert("L")).stddev) > 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_note_and_group_says_something(path: Path) -> None:
    workflow: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    first, *rest = workflow["nodes"]
    assert first["type"] == "Note"
    assert all(len(text.split()) > 20 for note in (first, *rest) if note["type"] == "Note" for text in note["widgets_values"])
    assert len({group["title"] for group in workflow["groups"]}) == len(workflow["groups"]) > 2


def test_a_description_that_no_node_fits_is_refused() -> None:
    sheet = Sheet("wrong")
    loader = sheet.add("LoadDemoGenerator", (0, 0), (400, 100))
    with pytest.raises(ValueError, match="has no input strenght"):
        sheet.add("ApplySafetySteer", (0, 0), (400, 400), model=loader["MODEL"], strenght=1.0)
    with pytest.raises(ValueError, match="direction has no wire"):
        sheet.add("ApplySafetySteer", (0, 0), (400, 400), model=loader["MODEL"])
    with pytest.raises(ValueError, match="takes MODEL, not CLIP"):
        sheet.add("ModelSamplingSD3", (0, 0), (400, 60), model=loader["CLIP"])
