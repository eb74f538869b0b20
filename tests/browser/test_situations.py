"""The window's commands in situations that users come into: several tabs, a hurry, a selection, wires that are refused.

Needs what test_workflows.py needs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.browser.harness import NEEDS_BROWSER, Json, run_in_browser
from support.workflows.shapes import shapes
from support.workflows.sketch import workflow
from test_window import content, signatures

from safety_steer.workflow.pack_nodes import APPLY

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
NAMES = ("base and refiner", "text outside, sampler inside")
DEEP = Path(__file__).parents[1] / "corpus" / "workflow" / "values-700-deep"


@pytest.fixture(scope="module", params=["classic", "vue"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What came of every situation, by its name in the script."""
    where = tmp_path_factory.mktemp(request.param)
    for name, data in {"empty": workflow(), **{name: shapes()[name][0] for name in NAMES}}.items():
        for definition in data.get("definitions", {}).get("subgraphs", []):
            for place, socket in enumerate([*definition["inputs"], *definition["outputs"]]):
                # The front end tells a subgraph's sockets by ids, which the shapes leave out.
                socket["id"] = f"socket {place}"
        (where / f"{name}.json").write_text(json.dumps(data))
    for counter, what in (("last_link_id", "links"), ("last_node_id", "nodes")):
        miscounted = shapes()["base and refiner"][0] | {counter: "many"}
        (where / f"{what} counted by no number.json").write_text(json.dumps(miscounted))
    (where / "values 700 deep.json").write_bytes(DEEP.read_bytes()[1:])
    lines = {line["name"]: line for line in run_in_browser("situations.mjs", where, request.param)}
    for name, line in lines.items():
        assert "error" not in line, (name, line["error"])
        assert line["pageErrors"] == [], name
    return lines


def same(one: Json, other: Json) -> bool:
    """Tell whether two states would run the same and are saved the same."""
    return signatures(one["output"]) == signatures(other["output"]) and content(one["workflow"]) == content(other["workflow"])


def number_steered(state: Json) -> int:
    return sum(node.get("class_type") == APPLY for node in state["output"].values())


def test_the_commands_are_in_the_menu_on_the_canvas_and_in_the_palette(found: dict[str, Json]) -> None:
    offered = found["offered"]
    assert offered["menu"]
    assert offered["palette"]
    assert offered["canvas"] or not offered["asked"], "older front ends do not ask extensions for entries in the canvas's menu"


@pytest.mark.parametrize("name", ["refusedWhenAdding", "refusedWhenRemoving"])
def test_a_change_that_fails_half_way_is_taken_back(found: dict[str, Json], name: str) -> None:
    refused = found[name]
    assert len(refused["toasts"]) == 1, refused["toasts"]
    (toast,) = refused["toasts"]
    assert toast["severity"] == "error"
    assert "The workflow is as it was" in toast["detail"]
    assert same(refused["after"], refused["before"])


def test_a_command_given_twice_at_once_is_done_once(found: dict[str, Json]) -> None:
    twice = found["twiceAtOnce"]
    assert [toast["summary"].split(":")[0] for toast in twice["toasts"]] == ["Safety steering added", "Nothing changed"]
    assert twice["after"]["steps"] == twice["before"]["steps"] + 1
    assert number_steered(twice["after"]) == 2
    assert same(twice["undone"], twice["before"])


def test_commands_wait_for_each_other(found: dict[str, Json]) -> None:
    both = found["addedAndRemovedAtOnce"]
    summaries = [toast["summary"].split(":")[0] for toast in both["toasts"]]
    assert summaries == ["Safety steering added", "Safety steering removed"]
    assert signatures(both["after"]["output"]) == signatures(both["before"]["output"])


def test_a_command_given_while_another_is_taken_back_sees_the_workflow_as_it_was(found: dict[str, Json]) -> None:
    refused = found["refusedTwiceAtOnce"]
    assert [toast["severity"] for toast in refused["toasts"]] == ["error", "info"]
    assert same(refused["after"], refused["before"])


def test_a_selection_changes_nothing_and_holds_no_node_that_is_gone(found: dict[str, Json]) -> None:
    selected = found["everythingSelected"]
    assert number_steered(selected["after"]) == 1
    assert signatures(selected["removed"]["output"]) == signatures(selected["before"]["output"])
    assert len(selected["selected"]["added"]) > len(selected["selected"]["first"])
    assert sorted(selected["selected"]["left"]) == sorted(selected["selected"]["first"])


def test_an_empty_workflow_is_left_alone(found: dict[str, Json]) -> None:
    empty = found["anEmptyWorkflow"]
    assert [toast["summary"].split(":")[0] for toast in empty["toasts"]] == ["Nothing to steer", "Nothing to remove"]
    assert empty["after"]["steps"] == empty["before"]["steps"]


def test_values_that_lie_deep_in_each_other_are_no_obstacle(found: dict[str, Json]) -> None:
    """The editor opens them; it was a test's way of handing them to the page that never ended."""
    deep = found["valuesDeepInEachOther"]
    assert [toast["summary"].split(":")[0] for toast in deep["toasts"]] == ["Safety steering added"]
    assert number_steered(deep["after"]) == 1
    assert signatures(deep["undone"]["output"]) == signatures(deep["before"]["output"])


def test_no_new_wire_takes_the_place_of_another_where_a_file_counts_by_no_number(found: dict[str, Json]) -> None:
    for name, seen in found["countersThatCountNothing"]["found"].items():
        assert [toast["summary"].split(":")[0] for toast in seen["toasts"]] == ["Safety steering added"], name
        assert number_steered(seen["after"]) == 2, name
        assert len(seen["after"]["output"]) == len(seen["before"]["output"]) + 5, name
        assert signatures(seen["removed"]["output"]) == signatures(seen["before"]["output"]), name
        links = [link[0] for link in seen["after"]["workflow"]["links"]]
        assert len(set(links)) == len(links) > len(seen["before"]["workflow"]["links"]), name


def test_only_the_tab_in_front_is_changed(found: dict[str, Json]) -> None:
    tabs = found["twoTabs"]
    assert number_steered(tabs["steered"]) == 2
    assert signatures(tabs["firstAfterwards"]["output"]) == signatures(tabs["first"]["output"])
    assert signatures(tabs["secondAgain"]["output"]) == signatures(tabs["steered"]["output"])
    assert signatures(tabs["undone"]["output"]) == signatures(tabs["second"]["output"])
