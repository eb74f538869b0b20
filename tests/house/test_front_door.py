"""What CONTRIBUTING, RELEASE and the forms say is so: variables of the tests, files and modules named, twenty words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = ("CONTRIBUTING.md", "RELEASE.md")
SWITCHES = {"REQUIRE_COMFYUI", "REQUIRE_BROWSER"}
OURS = re.compile(r"SAFETY_STEER_\w+|COMFYUI_PATH|CHROMIUM")


def variables_read() -> set[str]:
    """Return the names of environment variables that tests and benchmarks are steered by."""
    texts = {
        node.value
        for room in ("tests", "benchmarks")
        for path in (ROOT / room).rglob("*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if OURS.fullmatch(text)}


def test_every_variable_of_the_tests_has_a_row_and_every_row_a_variable() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", CONTRIBUTING, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == variables_read() | SWITCHES


@pytest.mark.parametrize("page", PAGES)
def test_every_file_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([\w.]+/[\w./]*)`", text) if not path.startswith("node_modules")}
    links = set(re.findall(r"\]\(([\w./]+)\)", text))
    modules = {name.replace(".", "/") for name in re.findall(r"python -m (tools[\w.]+)", text)}
    assert named | links
    missing = [path for path in named | links | modules if not any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))]
    assert missing == []


def test_the_glossary_has_twenty_words() -> None:
    glossary = CONTRIBUTING.partition("## Twenty words")[2]
    words = re.findall(r"^\| ([a-z ]+) \| (.+) \|$", glossary, re.MULTILINE)
    assert len({word for word, _ in words if word != "word"}) == 20


def test_every_issue_form_has_what_github_asks_of_one() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {form.stem for form in forms} == {"bug", "prompt", "family", "config"}
    for form in forms:
        text = form.read_text(encoding="utf-8")
        if form.stem == "config":
            continue
        assert all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("name", "description", "labels", "body")), form.name
        identifiers = re.findall(r"^    id: (\S+)$", text, re.MULTILINE)
        fields = re.findall(r"^  - type: (?!markdown)", text, re.MULTILINE)
        assert len(set(identifiers)) == len(fields) == text.count("      label: "), form.name
