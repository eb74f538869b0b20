"""The window's scripts make of a workflow what `safety-steer add` and `--remove` do; node runs them without a browser.

They work in a stand-in for the editor (support/browser/editor.mjs); test_window.py has the same in ComfyUI's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.browser.harness import NEEDS_NODE, folder, run
from support.browser.twins import new_nodes, outline
from support.workflows import block_shapes, by_hand, pack_shapes, shapes
from support.workflows.templates import workflows

from safety_steer.workflow import add, remove
from safety_steer.workflow.consistency import problems

Json = dict[str, Any]
pytestmark = [NEEDS_NODE]


def made(cases: dict[str, Json], where: Path) -> dict[str, Json]:
    """Return what the scripts make of each case."""
    for name in ("before", "after"):
        (where / name).mkdir()
    (where / "pack_nodes.json").write_text(new_nodes())
    for number, data in enumerate(cases.values()):
        (where / "before" / f"{number:04}.json").write_text(json.dumps(data))
        (where / "after" / f"{number:04}.json").write_text(json.dumps(add(data).data))
    return dict(zip(cases, run("change.mjs", where), strict=True))


def test_what_is_added_is_what_the_command_line_adds(tmp_path: Path) -> None:
    cases = {name: data for name, (data, _) in (shapes.shapes() | shapes.left_alone() | block_shapes.steered_within()).items()}
    cases |= {name: case.data for name, case in pack_shapes.cases().items()}
    found = made(cases, tmp_path)
    for name, data in cases.items():
        expected = add(data)
        assert found[name]["changed"] == expected.changed, name
        assert found[name]["again"] is False, name
        assert outline(found[name]["after"]) == outline(expected.data), name
        assert set(problems(found[name]["after"])) <= set(problems(data)), name
    assert sum(one["changed"] for one in found.values()) > 30


def test_what_was_added_is_removed_without_a_trace(tmp_path: Path) -> None:
    cases = {name: data for name, (data, _) in shapes.shapes().items()}
    cases |= {name: case.data for name, case in pack_shapes.cases().items()}
    found = made(cases, tmp_path)
    for name, data in cases.items():
        for way in ("removed", "removedAfterCommandLine"):
            assert outline(found[name][way]) == outline(data), (name, way)
            assert set(problems(found[name][way])) <= set(problems(data)), (name, way)
            assert "Safety" not in json.dumps(found[name][way]["nodes"]), (name, way)


def test_what_a_user_has_placed_is_removed_as_by_the_command_line(tmp_path: Path) -> None:
    within = {name: data for name, (data, _) in block_shapes.steered_within().items()}
    cases = by_hand.by_hand() | within
    found = made(cases, tmp_path)
    for name, data in cases.items():
        assert outline(found[name]["removedAfterCommandLine"]) == outline(remove(data).data), name
        assert set(problems(found[name]["removedAfterCommandLine"])) <= set(problems(data)), name


@pytest.mark.slow
def test_templates_are_changed_as_by_the_command_line(tmp_path: Path) -> None:
    if (where := folder()) is None:
        pytest.skip("needs comfyui-workflow-templates-json or SAFETY_STEER_TEMPLATES")
    cases = {name: data for name, data in workflows(where) if add(data).changed}
    found = made(cases, tmp_path)
    assert len(found) > 100
    for name, data in cases.items():
        assert outline(found[name]["after"]) == outline(add(data).data), name
        assert outline(found[name]["removed"]) == outline(data), name
        assert set(problems(found[name]["after"])) <= set(problems(data)), name
