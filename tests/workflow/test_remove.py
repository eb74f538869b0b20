"""Steering taken out after other edits, and nodes that a user has placed by hand: the wires are reconnected around them."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.workflows import by_hand, pack_shapes, shapes
from support.workflows.sketch import Json, Wiring, loader, node, plain, sampler, text, workflow

from safety_steer.workflow import add, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.editor import record

SHAPES, PACKS = shapes.shapes(), pack_shapes.cases()
OWN = ("Safety", "ALIGNED_DIRECTION")


def wires(data: Json) -> dict[str, object]:
    """Where every input of every node really comes from."""
    wiring = Wiring(data)
    return {
        f"{path} {one['name']}": wiring.source(path, one["name"]) for path, item in wiring.nodes() for one in item["inputs"]
    }


def without_steering(data: Json) -> Json:
    """Remove where the record cannot help, and check that no trace is left."""
    removal = remove(data)
    assert not removal.exact
    assert set(problems(removal.data)) <= set(problems(data))
    assert not any(word in json.dumps(removal.data) for word in OWN)
    return removal.data


@pytest.mark.parametrize("name", SHAPES)
def test_without_the_record_every_wire_is_as_before(name: str) -> None:
    data, _ = SHAPES[name]
    result = add(data).data
    del result["extra"]["safety_steer"]
    assert wires(without_steering(result)) == wires(data)


@pytest.mark.parametrize("name", [name for name, case in PACKS.items() if case.applied])
def test_without_the_record_no_wire_is_left_that_was_drawn_for_steering(name: str) -> None:
    data = PACKS[name].data
    result = add(data).data
    del result["extra"]["safety_steer"]
    assert wires(without_steering(result)) == wires(data)


@pytest.mark.parametrize("name", SHAPES)
def test_after_an_edit_of_the_wires_the_edit_stays(name: str) -> None:
    result = add(SHAPES[name][0]).data
    number = max(one["id"] for graph in graphs(result) for one in graph["nodes"]) + 1
    for counter in (result, result.get("state", {})):
        counter.update({key: number for key in ("last_node_id", "lastNodeId") if key in counter})
    result["nodes"].append({"id": number, "type": "Note", "pos": [0, 900], "size": [100, 100], "inputs": [], "outputs": []})
    after = without_steering(result)
    assert any(one["id"] == number for one in after["nodes"])


def graphs(data: Json) -> list[Json]:
    return [data, *data.get("definitions", {}).get("subgraphs", [])]


def test_a_changed_value_stays_and_the_rest_is_exact() -> None:
    data = plain()
    data["nodes"][1]["widgets_values"] = ["a kite"]
    result = add(data).data
    result["nodes"][1]["widgets_values"] = ["a map"]
    next(one for one in result["nodes"] if one["type"] == "ApplySafetySteer")["widgets_values"][0] = 2.5
    removal = remove(result)
    assert removal.exact
    data["nodes"][1]["widgets_values"] = ["a map"]
    assert json.dumps(removal.data) == json.dumps(data)


def test_the_removed_node_of_a_sampler_that_was_wired_otherwise_goes_too() -> None:
    result = add(plain()).data
    other = workflow(node(50, "UNETLoader", "", "MODEL"))["nodes"][0]
    result["nodes"].append(other)
    wire = next(link for link in result["links"] if link[3] == 3 and link[5] == "MODEL")
    next(one for one in result["nodes"] if one["type"] == "ApplySafetySteer")["outputs"][0]["links"] = []
    wire[1], other["outputs"][0]["links"] = 50, [wire[0]]
    assert Wiring(without_steering(result)).source("3", "model") == ("50", 0)


def test_nodes_placed_by_hand_go_and_their_wires_lead_on() -> None:
    after = Wiring(without_steering(by_hand.in_a_row()))
    assert sorted(path for path, _ in after.nodes()) == ["1", "2", "3", "4"]
    assert {after.source(path, "model") for path in ("3", "4")} == {("1", 0)}
    assert {after.source(path, "positive") for path in ("3", "4")} == {("2", 0)}


def test_reports_and_scores_go_and_what_passed_through_them_leads_on() -> None:
    after = Wiring(without_steering(by_hand.with_reports()))
    assert sorted(path for path, _ in after.nodes()) == ["1", "2", "3", "31", "32", "34"]
    assert after.source("3", "model") == ("1", 0)
    assert after.source("31", "samples") == ("3", 0)
    assert after.source("32", "images") is None
    assert after.source("34", "on") is None


def test_a_prompt_is_no_longer_refused_and_leads_on() -> None:
    after = Wiring(without_steering(by_hand.refusing()))
    assert sorted(path for path, _ in after.nodes()) == ["1", "2", "3", "34", "4", "5"]
    assert {after.source(path, "positive") for path in ("3", "4")} == {("2", 0)}
    assert after.source("34", "on") is None


def test_a_direction_that_is_saved_stays() -> None:
    data = by_hand.saved_direction()
    removal = remove(data)
    assert removal.nodes == 0
    assert json.dumps(removal.data) == json.dumps(data)


def test_a_direction_that_comes_fitted_goes_with_what_it_steered_and_counts_as_steering() -> None:
    data = by_hand.shared_alignment()
    assert json.dumps(add(data).data["nodes"]) == json.dumps(data["nodes"])
    after = Wiring(without_steering(data))
    assert sorted(path for path, _ in after.nodes()) == ["1", "2", "3"]
    assert after.source("3", "model") == ("1", 0)


def test_sockets_of_a_subgraph_that_only_fed_steering_go_and_later_ones_keep_their_wires() -> None:
    after = without_steering(by_hand.fed_into_a_subgraph())
    assert [one["name"] for one in after["definitions"]["subgraphs"][0]["inputs"]] == ["model", "clip"]
    assert [one["name"] for one in after["nodes"][1]["inputs"]] == ["model", "clip"]
    assert after["nodes"][1]["properties"]["proxyWidgets"] == [["3", "seed"]]
    assert Wiring(after).source("10/3", "model") == ("1", 0)
    assert Wiring(after).source("10/2", "clip") == ("1", 1)


def test_a_model_that_only_went_through_a_subgraph_to_be_steered_goes_around_it() -> None:
    after = without_steering(by_hand.steering_in_a_subgraph_with_more())
    assert {Wiring(after).source(path, "model") for path in ("3", "4")} == {("1", 0)}
    inside = after["definitions"]["subgraphs"][0]
    assert [link["origin_id"] for link in inside["links"]] == [25]
    assert inside["inputs"] == []
    assert inside["outputs"][0]["linkIds"] == []


@pytest.mark.parametrize(
    "record_",
    [
        None,
        7,
        {"version": 2, "undo": []},
        {"version": 1, "undo": {}},
        {"version": 1, "undo": [7]},
        {"version": 1, "undo": [{"path": []}]},
        {"version": 1, "undo": [{"path": ["nodes", 99, "id"]}]},
        {"version": 1, "undo": [{"path": ["nodes"], "length": "x", "now": 7}]},
        {"version": 1, "undo": [{"path": ["nodes"]}]},
        {"version": 1, "undo": [{"path": ["nodes"], "length": 0, "now": 7}]},
        {"version": 1, "undo": [{"path": ["version"], "was": 9, "now": 0.4}]},
    ],
)
def test_a_record_that_cannot_be_true_is_not_followed(record_: object) -> None:
    result = add(plain()).data
    result["extra"]["safety_steer"] = record_
    assert wires(without_steering(result)) == wires(plain())


def test_adding_after_adding_is_taken_back_in_one_go() -> None:
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), sampler(4, "1.0", ""))
    once = add(data).data
    assert len(Wiring(once).steered()) == 1
    number = once["last_link_id"] + 1
    later = copy.deepcopy(once)
    later["links"].append([number, 2, 0, 4, 1, "CONDITIONING"])
    later["nodes"][3]["inputs"][1]["link"] = number
    later["nodes"][1]["outputs"][0]["links"].append(number)
    later["last_link_id"] = number
    twice = add(later).data
    assert len(Wiring(twice).steered()) == 2
    assert {"4 positive": ("2", 0)}.items() <= wires(without_steering(twice)).items()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)


@given(before=st.dictionaries(st.text(max_size=2), values), after=st.dictionaries(st.text(max_size=2), values))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_record_takes_back_any_change(before: Json, after: Json) -> None:
    undo = list(record.changes({"of": before}, {"of": after}))
    assert json.dumps(record.take_back({"of": after}, undo)) == json.dumps({"of": before})


@given(before=values, tail=st.lists(values, max_size=3))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_grown_list_is_recorded_by_its_length(before: object, tail: list[object]) -> None:
    data = {"of": [{"a": before}]}
    grown = {"of": [{"a": before}, *tail]}
    undo = list(record.changes(data, grown))
    assert len(json.dumps(undo)) < 80
    assert record.take_back(grown, undo) == data
