"""Steering put into workflows of every shape, read back with an independent reader of wires."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from support.workflows import core_nodes, shapes
from support.workflows.sketch import Json, Wiring, loader, node, plain, sampler, subgraph, text, workflow

from safety_steer.workflow import add, check, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.plan import LEFT, STEER, STEERED

SHAPES = shapes.shapes()
LEFT_ALONE = shapes.left_alone()


def added(data: Json) -> Json:
    """Add, and check what has to hold of every result."""
    before = json.dumps(data)
    result = add(data).data
    assert json.dumps(data) == before, "what came in was changed"
    assert set(problems(result)) <= set(problems(data))
    return result


def types(data: Json) -> list[str]:
    """The pack's nodes in all graphs."""
    graphs = [data, *data.get("definitions", {}).get("subgraphs", [])]
    return sorted(one["type"] for graph in graphs for one in graph["nodes"] if "Safety" in one["type"])


@pytest.mark.parametrize("name", SHAPES)
def test_every_sampler_is_steered_with_the_clip_of_its_prompt(name: str) -> None:
    data, expected = SHAPES[name]
    assert Wiring(added(data)).steered() == expected


@pytest.mark.parametrize("name", SHAPES)
def test_types_that_are_not_found_out_change_nothing(name: str) -> None:
    data, expected = SHAPES[name]
    assert Wiring(added(core_nodes.not_found_out(data))).steered() == expected


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_else_is_wired_otherwise(name: str) -> None:
    data, expected = SHAPES[name]
    before, after = Wiring(data), Wiring(added(data))
    for path, one in before.nodes():
        for socket in one["inputs"]:
            if path not in expected or socket["name"] != "model":
                assert after.source(path, socket["name"]) == before.source(path, socket["name"]), (path, socket["name"])


@pytest.mark.parametrize("name", SHAPES)
def test_a_second_time_changes_nothing(name: str) -> None:
    once = added(SHAPES[name][0])
    again = add(once)
    assert json.dumps(again.data) == json.dumps(once)
    assert not again.changed
    assert {verdict.state for verdict in again.verdicts} == {STEERED}


@pytest.mark.parametrize("name", SHAPES)
def test_removing_gives_back_the_original_in_every_key(name: str) -> None:
    data, _ = SHAPES[name]
    removal = remove(added(data))
    assert removal.exact
    assert json.dumps(removal.data) == json.dumps(data)


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_cannot_be_steered_is_left_alone_with_the_reason(name: str) -> None:
    data, reason = LEFT_ALONE[name]
    change = add(data)
    assert not change.changed
    assert json.dumps(change.data) == json.dumps(data)
    assert {verdict.state for verdict in change.verdicts} == {LEFT}
    assert reason in change.verdicts[0].reason


def test_a_workflow_without_sampler_has_nothing_to_steer() -> None:
    change = add(workflow(loader(), text(2, "1.1")))
    assert (change.changed, list(change.verdicts)) == (False, [])


def test_a_wire_that_the_file_lacks_is_named() -> None:
    data = plain()
    data["links"] = [link for link in data["links"] if link[5] != "MODEL"]
    assert "the wire into its model input is broken" in check(data)[0].reason


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("two samplers on one model", (1, 1, 1)),
        ("two models, one text", (1, 1, 2)),
        ("base and refiner", (1, 2, 2)),
        ("guiders", (1, 1, 1)),
        ("reroutes", (1, 1, 1)),
        ("model and clip from outside", (1, 1, 1)),
        ("text outside, sampler two levels down", (1, 1, 1)),
        ("one subgraph used with two clips", (1, 2, 1)),
        ("one subgraph used twice with one clip", (1, 1, 1)),
    ],
)
def test_nodes_are_shared_where_the_wire_is_the_same(name: str, counts: tuple[int, int, int]) -> None:
    found = types(added(SHAPES[name][0]))
    assert tuple(map(found.count, ("LoadSafetyDirection", "AlignSafetyDirection", "ApplySafetySteer"))) == counts


def test_samplers_in_and_out_of_a_subgraph_get_the_direction_by_one_new_input() -> None:
    data, _ = SHAPES["text outside, sampler two levels down"]
    for definition in added(data)["definitions"]["subgraphs"]:
        assert [one["type"] for one in definition["inputs"]].count("ALIGNED_DIRECTION") == 1


def test_a_link_drawn_over_reroute_points_keeps_its_start() -> None:
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), sampler(4, "1.0", "2.0"))
    data["extra"]["linkExtensions"] = [{"id": link[0], "parentId": 7} for link in data["links"] if link[5] == "MODEL"]
    result = added(data)
    starts = {link[0]: link[1] for link in result["links"]}
    assert {starts[one["id"]] for one in data["extra"]["linkExtensions"]} == {1}
    assert types(result).count("ApplySafetySteer") == 2


def test_unknown_keys_survive() -> None:
    data = plain()
    data["nodes"][2]["mystery"], data["extra"]["theirs"], data["seed_widgets"] = {"a": 1}, [1, 2], {"3": 0}
    result = added(data)
    assert result["nodes"][2]["mystery"] == {"a": 1}
    assert (result["extra"]["theirs"], result["seed_widgets"]) == ([1, 2], {"3": 0})


class TestSteeredAlready:
    """Nodes a user has placed are seen wherever they are."""

    def check(self, data: Json, state: str = STEERED) -> str:
        assert [verdict.state for verdict in check(data)] == [state]
        return check(data)[0].reason

    def test_before_another_model_node(self) -> None:
        apply = node(5, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION", "model:MODEL")
        lora = node(6, "LoraLoaderModelOnly", "model:MODEL<5.0", "MODEL")
        assert self.check(workflow(loader(), text(2, "1.1"), apply, lora, sampler(3, "6.0", "2.0"))) == ""

    def test_outside_the_subgraph(self) -> None:
        apply = node(5, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION", "model:MODEL")
        draw = subgraph("draw", "model:MODEL clip:CLIP", "LATENT:LATENT<3.0", text(2, "-10.1"), sampler(3, "-10.0", "2.0"))
        outer = node(10, "draw", "model:MODEL<5.0 clip:CLIP<1.1", "LATENT")
        assert self.check(workflow(loader(), apply, outer, subgraphs=(draw,))) == ""

    def test_switched_off(self) -> None:
        apply = node(5, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION", "model:MODEL", mode=4)
        assert "switched off" in self.check(workflow(loader(), text(2, "1.1"), apply, sampler(3, "5.0", "2.0")))

    def test_on_the_conditioning_outside_the_subgraph(self) -> None:
        apply = node(
            5, "ApplySafetySteerConditioning", "conditioning:CONDITIONING<2.0 direction:ALIGNED_DIRECTION", "CONDITIONING"
        )
        inner = subgraph("sample", "model:MODEL positive:CONDITIONING", "LATENT:LATENT<3.0", sampler(3, "-10.0", "-10.1"))
        outer = node(10, "sample", "model:MODEL<1.0 positive:CONDITIONING<5.0", "LATENT")
        assert self.check(workflow(loader(), text(2, "1.1"), apply, outer, subgraphs=(inner,))) == ""

    @pytest.mark.parametrize(("mode", "state"), [(0, STEERED), (4, STEER)])
    def test_on_the_conditioning(self, mode: int, state: str) -> None:
        takes = "conditioning:CONDITIONING<2.0 direction:ALIGNED_DIRECTION"
        apply = node(5, "ApplySafetySteerConditioning", takes, "CONDITIONING", mode=mode)
        self.check(workflow(loader(), text(2, "1.1"), apply, sampler(3, "1.0", "5.0")), state)


def test_a_sampler_put_in_later_shares_what_is_there() -> None:
    result = added(plain())
    later = sampler(90, "", "")
    built = workflow(later)["nodes"][0]
    built["inputs"][0]["link"], built["inputs"][1]["link"] = 91, 92
    result["nodes"].append(built)
    result["links"] += [[91, 1, 0, 90, 0, "MODEL"], [92, 2, 0, 90, 1, "CONDITIONING"]]
    result["nodes"][0]["outputs"][0]["links"].append(91)
    result["nodes"][1]["outputs"][0]["links"].append(92)
    result |= {"last_node_id": 90, "last_link_id": 92}
    assert problems(result) == []
    both = added(result)
    assert types(both) == ["AlignSafetyDirection", "ApplySafetySteer", "ApplySafetySteer", "LoadSafetyDirection"]
    assert set(Wiring(both).steered()) == {"3", "90"}


@pytest.mark.parametrize("empty", [None, []])
@pytest.mark.parametrize("extra", ["absent", None, {}])
def test_removing_is_exact_however_emptiness_is_written(empty: Any, extra: Any) -> None:
    data = plain()
    for one in data["nodes"]:
        for socket in one["outputs"]:
            socket["links"] = socket["links"] or copy.copy(empty)
    if extra == "absent":
        del data["extra"]
    else:
        data["extra"] = extra
    assert json.dumps(remove(added(data)).data) == json.dumps(data)
