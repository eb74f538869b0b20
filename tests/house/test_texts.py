"""The texts beside the nodes: a help page for each, and their names and tooltips in other languages."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from safety_steer.categories import MEANINGS, merged

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "web" / "docs"
LOCALES = ROOT / "locales"
LOCK: dict[str, Any] = json.loads((ROOT / "tests" / "support" / "comfyui" / "schema_lock.json").read_text(encoding="utf-8"))
REPOSITORY = "https://github.com/safety-steer/safety-steer"
LANGUAGES = ("zh", "ja", "fr")
QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")


def texts(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return found


def flat(tree: dict[str, Any], path: str = "") -> dict[str, str]:
    """Return all texts of a nodeDefs.json by their place, such as "SafetyScore.outputs.0.name"."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        place = f"{path}.{key}".lstrip(".")
        found |= flat(value, place) if isinstance(value, dict) else {place: value}
    return found


ENGLISH = flat(texts("en"))


def told_of(page: str, heading: str) -> dict[str, str]:
    """Return what a section of a page says about each input or output."""
    section = re.search(rf"\n## {heading}\n\n(.*?)(?=\n## )", page, re.DOTALL)
    return dict(re.findall(r"^- `(\w+)`: (.+)$", section[1], re.MULTILINE)) if section else {}


def test_every_node_is_locked() -> None:
    """The lock speaks for the nodes below, so it has to know them all."""
    ids = [
        str(keyword.value.value)
        for path in (ROOT / "nodes").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
    ]
    assert sorted(ids) == sorted(LOCK)


def test_every_page_is_of_a_node() -> None:
    assert {path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*")} == {f"{node}.md" for node in LOCK}


@pytest.mark.parametrize("node", LOCK)
def test_every_node_has_a_page_that_explains_its_inputs_and_outputs(node: str) -> None:
    page = (PAGES / f"{node}.md").read_text(encoding="utf-8")
    told = texts("en")[node]
    assert page.startswith(f"# {told['display_name']}\n")
    inputs, outputs = (told_of(page, heading) for heading in ("Inputs", "Outputs"))
    assert list(inputs) == [item["name"] for item in LOCK[node]["inputs"]]
    assert list(outputs) == [output["name"] for output in told.get("outputs", {}).values()]
    assert all(len(text) > 10 for text in [*inputs.values(), *outputs.values()])
    for heading in ("What to expect", "What it will not do", "Wiring"):
        assert f"\n## {heading}\n\n" in page


@pytest.mark.parametrize("node", LOCK)
def test_a_page_speaks_of_every_choice_that_is_not_a_file(node: str) -> None:
    page = (PAGES / f"{node}.md").read_text(encoding="utf-8")
    for item in LOCK[node]["inputs"]:
        for option in item["options"] if isinstance(item.get("options"), list) else []:
            assert f"*{option}*" in page, (item["name"], option)


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_pages_lead_nowhere_but_to_the_repository(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    addresses = re.findall(r"[a-z]+://[^\s)\"'>]+|\]\(([^)]+)\)|<(?:img|a|video|source|script|iframe)\b", page)
    assert all(address.startswith(f"{REPOSITORY}/blob/main/") for address in addresses), addresses
    for address in re.findall(rf"{REPOSITORY}/blob/main/([\w./-]+)", page):
        assert (ROOT / address).is_file(), address


def test_every_category_has_a_slider_in_order() -> None:
    sliders = [item["name"] for item in LOCK["SafetyCategoryMixer"]["inputs"][1:]]
    assert sliders == ["global", *MEANINGS]


def test_the_page_of_categories_is_what_the_taxonomy_says() -> None:
    page = (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    assert {name: meaning for name, meaning, *_ in rows} == MEANINGS
    assert [name for name, *_ in rows] == list(MEANINGS)
    for name, _, *sets in rows:
        names = [one for cell in sets for one in cell.split(", ") if one]
        assert names
        assert {merged(one) for one in names} == {name}


def test_the_languages_are_those_named_here() -> None:
    assert {path.name for path in LOCALES.iterdir()} == {"en", *LANGUAGES}


def test_the_english_texts_are_of_the_locked_nodes() -> None:
    told = texts("en")
    assert list(told) == list(LOCK)
    for node, locked in LOCK.items():
        assert list(told[node]["inputs"]) == [item["name"] for item in locked["inputs"]]
        assert len(told[node].get("outputs", {})) == len(locked["outputs"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_exactly_the_english_texts(language: str) -> None:
    assert list(flat(texts(language))) == list(ENGLISH)


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_in_english(language: str) -> None:
    found = flat(texts(language))
    kept = {place for place, text in found.items() if text == ENGLISH[place] and not place.endswith(".name")}
    assert kept == set()
    names = [place for place, text in found.items() if place.endswith(".name") and text != ENGLISH[place]]
    assert len(names) > len(LOCK)


@pytest.mark.parametrize("language", LANGUAGES)
def test_choices_folders_and_numbers_are_the_same_in_every_language(language: str) -> None:
    for place, text in flat(texts(language)).items():
        wanted = QUOTED.findall(ENGLISH[place]) + re.findall(r"models/\w+|\d[\d.,]*\d|\d", ENGLISH[place])
        plain = text.replace("2,7", "2.7")
        missing = [one for one in wanted if one not in plain]
        assert missing == [], place


@pytest.mark.parametrize("language", LANGUAGES)
def test_other_nodes_are_called_by_their_names_in_that_language(language: str) -> None:
    names = {node["display_name"]: texts(language)[key]["display_name"] for key, node in texts("en").items()}
    for place, text in flat(texts(language)).items():
        missing = [theirs for english, theirs in names.items() if english in ENGLISH[place] and theirs not in text]
        assert missing == [], place


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_no_text_has_a_character_that_the_frontend_gives_a_meaning(language: str) -> None:
    """ComfyUI's frontend reads braces, @ and | as instructions of its message format, and shows nothing or half."""
    for place, text in flat(texts(language)).items():
        assert text.strip() == text, place
        assert text, place
        assert not re.search(r"[{}@|<>]", text), place
