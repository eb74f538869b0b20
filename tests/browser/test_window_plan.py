"""The window's script judges every sampler as `safety-steer add` does; node runs it without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import hostile
from support.browser.harness import NEEDS_NODE, folder, run
from support.browser.twins import written
from support.workflows.block_shapes import steered_within
from support.workflows.core_nodes import not_found_out
from support.workflows.pack_shapes import cases as pack_cases
from support.workflows.shapes import left_alone, shapes
from support.workflows.templates import workflows

from safety_steer.workflow import add, check

Json = dict[str, Any]
pytestmark = [NEEDS_NODE]


def compared(cases: dict[str, Json], where: Path) -> int:
    """Compare the verdicts of both on every case; return how many there were."""
    for number, data in enumerate(cases.values()):
        (where / f"{number:04}.json").write_text(json.dumps(data))
    answers = run("plan.mjs", where)
    assert len(answers) == len(cases)
    for (name, data), answer in zip(cases.items(), answers, strict=True):
        assert answer["verdicts"] == [written(verdict) for verdict in check(data)], name
    return sum(len(answer["verdicts"]) for answer in answers)


def test_shapes_are_judged_as_by_the_command_line(tmp_path: Path) -> None:
    cases = {name: data for name, (data, _) in (shapes() | left_alone() | steered_within()).items()}
    assert compared(cases, tmp_path) > 60


def test_types_that_are_not_found_out_are_judged_as_by_the_command_line(tmp_path: Path) -> None:
    cases = {name: not_found_out(data) for name, (data, _) in (shapes() | left_alone()).items()}
    assert compared(cases, tmp_path) > 50


def test_nodes_of_other_packs_are_judged_as_by_the_command_line(tmp_path: Path) -> None:
    cases = {name: case.data for name, case in pack_cases().items()}
    cases |= {f"{name}, types not found out": not_found_out(data) for name, data in cases.items()}
    cases |= {f"{name}, steered": add(data).data for name, data in cases.items()}
    assert compared(cases, tmp_path) > 120


def test_a_node_with_150000_wires_is_judged_as_by_the_command_line(tmp_path: Path) -> None:
    assert compared({"wide": hostile.wide()}, tmp_path) == 1


@pytest.mark.slow
def test_templates_are_judged_as_by_the_command_line(tmp_path: Path) -> None:
    if (where := folder()) is None:
        pytest.skip("needs comfyui-workflow-templates-json or SAFETY_STEER_TEMPLATES")
    assert compared(dict(workflows(where)), tmp_path) > 300
