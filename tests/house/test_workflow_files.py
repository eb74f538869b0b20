"""The repository's own workflows: what they run is pinned, they may only read, and they test what is promised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # \S")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def parsed(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(path)["jobs"].values() for step in job["steps"]]


def promised(pattern: str) -> str:
    found = re.search(pattern, PYPROJECT, re.MULTILINE)
    assert found is not None
    return found[1]


def test_there_are_workflows_for_every_kind_of_test() -> None:
    assert {path.name for path in FILES} >= {"tests.yml", "comfyui.yml", "browser.yml", "publish.yml"}


def test_every_action_is_pinned_to_one_commit() -> None:
    commits: dict[str, set[str]] = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(PINNED.findall(text)) == len(re.findall(r"\buses:", text)), path.name
        for action, commit in PINNED.findall(text):
            commits.setdefault(action, set()).add(commit)
    assert "actions/checkout" in commits
    assert {action: len(found) for action, found in commits.items()} == dict.fromkeys(commits, 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_may_only_read(path: Path) -> None:
    data = parsed(path)
    assert data["permissions"] == {"contents": "read"}
    assert not [name for name, job in data["jobs"].items() if "permissions" in job]
    assert "pull_request_target" not in path.read_text(encoding="utf-8")
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_publishing_knows_a_secret_and_no_command_has_an_event_in_it(path: Path) -> None:
    assert ("secrets." in path.read_text(encoding="utf-8")) == (path.name == "publish.yml")
    assert not [step for step in steps(path) if re.search(r"\$\{\{\s*(github\.event|secrets)", step.get("run", ""))]


def test_the_lowest_versions_that_are_promised_are_tested() -> None:
    python = parsed(ROOT / ".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert python[0] == promised(r'^requires-python = ">=(.+)"')
    tags = parsed(ROOT / ".github/workflows/comfyui.yml")["jobs"]["comfyui"]["strategy"]["matrix"]["tag"]
    assert tags[0] == "v" + promised(r'^requires-comfyui = ">=(.+)"')


@pytest.mark.parametrize(("name", "variable"), [("comfyui.yml", "REQUIRE_COMFYUI"), ("browser.yml", "REQUIRE_BROWSER")])
def test_what_a_workflow_is_for_must_not_be_skipped(name: str, variable: str) -> None:
    tests = [step for step in steps(ROOT / ".github/workflows" / name) if "pytest tests" in step.get("run", "")]
    assert [step["env"][variable] for step in tests] == ["1"]
