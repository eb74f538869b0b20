"""Every relative link of a page leads to a file, and to a heading of it where the link names one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"[a-z]+:")
IGNORED = {"node_modules", "build", "demo_output", "evaluate_output"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any((part.startswith(".") and part != ".github") or part in IGNORED for part in path.relative_to(ROOT).parts)
)


def without_code(text: str) -> str:
    """Leave out what is shown as code: links in it lead nowhere."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def links(text: str) -> Iterator[str]:
    """Yield where the links and pictures of a page lead, in Markdown or HTML, but for other sites."""
    found = re.findall(r"\]\(\s*<?([^\s)>]+)>?[^)]*\)|<[a-z][^>]*?\s(?:href|src|srcset)=\"([^\"]+)\"", without_code(text))
    yield from (one for pair in found for one in pair if one and not ELSEWHERE.match(one))


def anchors(text: str) -> set[str]:
    """Return the names GitHub gives the headings of a page, and those set by hand."""
    kept = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", kept, re.MULTILINE)
    names: dict[str, int] = {}
    found = set(re.findall(r"<[a-z][^>]*?\s(?:id|name)=\"([^\"]+)\"", kept))
    for heading in headings:
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{names[name]}" if name in names else name)
        names[name] = names.get(name, 0) + 1
    return found


def broken(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere."""
    wrong = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = ROOT / path.lstrip("/") if path.startswith("/") else page.parent / path
        if path and not target.exists():
            wrong.append(link)
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8") if path else text):
            wrong.append(link)
    return wrong


def test_there_are_pages_and_links_to_look_at() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md"} <= {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert sum(len(list(links(page.read_text(encoding="utf-8")))) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](README.md)", []),
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("![a](docs/nothing.png)", ["docs/nothing.png"]),
        ('<img src="docs/nothing.png">', ["docs/nothing.png"]),
        ("[a](https://example.org/nowhere)", []),
        ("`[a](nowhere.md)`", []),
        ("```\n[a](nowhere.md)\n```", []),
        ("# A `b`: c, d\n[a](#a-b-c-d)", []),
        ("# Twice\n# Twice\n[a](#twice-1) [b](#twice-2)", ["#twice-2"]),
        ("[a](CONTRIBUTING.md#checklists)", []),
        ("[a](CONTRIBUTING.md#check-lists)", ["CONTRIBUTING.md#check-lists"]),
    ],
)
def test_the_rule_above_notices(text: str, wrong: list[str]) -> None:
    assert broken(ROOT / "page.md", text) == wrong
