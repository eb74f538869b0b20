"""Where new nodes lie: near what they belong to, on no other node, across no group's edge."""

from __future__ import annotations

import math
import time
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.workflows import shapes
from support.workflows.sketch import Json, Wiring, loader, node, plain, sampler, text, workflow

from safety_steer.workflow import add
from safety_steer.workflow.editor import layout
from safety_steer.workflow.editor.layout import Box, find_room, node_box
from safety_steer.workflow.graph import Graph

SHAPES = shapes.shapes()


def graphs(data: Json) -> list[Json]:
    return [data, *data.get("definitions", {}).get("subgraphs", [])]


def own(graph: Json) -> list[Json]:
    return [one for one in graph["nodes"] if "Safety" in one["type"]]


@pytest.mark.parametrize("name", SHAPES)
def test_no_new_node_lies_on_another(name: str) -> None:
    for graph in graphs(add(SHAPES[name][0]).data):
        for one, other in combinations(graph["nodes"], 2):
            if "Safety" in one["type"] + other["type"]:
                assert not node_box(one).meets(node_box(other)), (one["type"], other["type"])


def test_apply_lies_left_of_its_sampler_and_align_near_the_clip() -> None:
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"))
    data["nodes"][2]["pos"] = [3000, 0]
    nodes = {one["type"]: one for one in add(data).data["nodes"]}
    right_edge = nodes["ApplySafetySteer"]["pos"][0] + nodes["ApplySafetySteer"]["size"][0]
    assert 3000 - 100 < right_edge < 3000
    assert nodes["ApplySafetySteer"]["pos"][1] == 0
    assert nodes["AlignSafetyDirection"]["pos"][0] == nodes["LoadSafetyDirection"]["pos"][0] == 0
    assert 200 < nodes["LoadSafetyDirection"]["pos"][1] < nodes["AlignSafetyDirection"]["pos"][1] < 700


def grouped(*groups: list[float]) -> Json:
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"))
    data["nodes"][2]["pos"] = [3000, 0]
    data["groups"] = [{"title": "theirs", "bounding": box} for box in groups]
    return data


def test_a_group_with_room_takes_the_node_in() -> None:
    data = grouped([2400, -100, 1000, 700])
    apply = next(one for one in add(data).data["nodes"] if one["type"] == "ApplySafetySteer")
    assert Box(2400, -100, 1000, 700).holds(node_box(apply))


@pytest.mark.parametrize("box", [[2900, -50, 500, 300], [2500, -2000, 200, 4000]])
def test_no_edge_of_a_group_is_crossed_and_no_strange_group_entered(box: list[float]) -> None:
    group = Box(*box)
    for one in own(add(grouped(box)).data):
        assert not node_box(one).meets(group)


boxes = st.tuples(*[st.integers(-2000, 2000)] * 2, *[st.integers(1, 900)] * 2)


@given(taken=st.lists(boxes, max_size=25), groups=st.lists(boxes, max_size=4), wanted=st.tuples(*[st.integers(-900, 900)] * 2))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_room_is_always_found_and_always_free(taken: Any, groups: Any, wanted: tuple[int, int]) -> None:
    nodes = [{"id": n, "type": "Note", "pos": [*box[:2]], "size": [*box[2:]]} for n, box in enumerate(taken)]
    graph = Graph("", {"nodes": nodes, "links": [], "groups": [{"bounding": list(box)} for box in groups]})
    left, top = find_room(graph, wanted, (420, 410), None)
    box = node_box({"pos": [left, top], "size": [420, 410]})
    assert not any(box.meets(node_box(one)) for one in nodes)
    assert not any(box.meets(Box(*group)) for group in groups)


def nearest_by_trying(graph: Graph, wanted: tuple[float, float], size: tuple[int, int], beside: Json | None) -> tuple[int, int]:
    """Compare every place with every box, nearest places first."""
    taken = [node_box(one) for one in graph.nodes.values()]
    groups = [Box(*map(float, group["bounding"])) for group in graph.data["groups"]]
    span = range(-layout.REACH, layout.REACH + 1)
    steps = sorted(((x, y) for x in span for y in span), key=lambda step: (math.hypot(*step), step[1], step[0]))
    for x, y in steps:
        box = Box(wanted[0] + x * layout.STEP, wanted[1] + y * layout.STEP - layout.TITLE, size[0], size[1] + layout.TITLE)
        if any(box.meets(other, layout.GAP / 2) for other in taken):
            continue
        if all(not box.meets(g) or (g.holds(box) and beside is not None and g.meets(node_box(beside))) for g in groups):
            return round(box.left), round(box.top + layout.TITLE)
    return round(wanted[0]), round(max(one.top + one.height for one in (*taken, *groups)) + layout.TITLE + layout.GAP)


tenths, lengths = st.integers(-9000, 9000).map(lambda n: n / 10), st.integers(1, 30000).map(lambda n: n / 10)
fine = st.tuples(tenths, tenths, lengths, lengths)


@given(taken=st.lists(fine, min_size=1, max_size=40), groups=st.lists(fine, max_size=4), wanted=fine, near=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_the_place_is_the_one_found_by_trying_them_all(taken: Any, groups: Any, wanted: Any, near: bool) -> None:
    nodes = [{"id": n, "type": "Note", "pos": [*box[:2]], "size": [*box[2:]]} for n, box in enumerate(taken)]
    graph = Graph("", {"nodes": nodes, "links": [], "groups": [{"bounding": list(box)} for box in groups]})
    beside = nodes[0] if near else None
    assert find_room(graph, wanted[:2], (420, 410), beside) == nearest_by_trying(graph, wanted[:2], (420, 410), beside)


def test_a_crowded_canvas_does_not_keep_anybody_waiting() -> None:
    rows: list[Json] = [loader(1)]
    for number in range(2, 302, 3):
        takes = node(number, "LoraLoader", "model:MODEL<1.0 clip:CLIP<1.1", "MODEL CLIP")
        rows += [takes, text(number + 1, f"{number}.1"), sampler(number + 2, f"{number}.0", f"{number + 1}.0")]
    data = workflow(*rows, *(node(number, "Note") for number in range(400, 1075)))
    for place, one in enumerate(data["nodes"]):
        one["pos"] = [place % 32 * 340, place // 32 * 260]
    start = time.process_time()
    assert len(Wiring(add(data).data).steered()) == 100
    assert time.process_time() - start < 5


def test_a_canvas_without_room_nearby_is_left_downwards() -> None:
    nodes = [{"id": 1, "type": "Note", "pos": [-9000, -9000], "size": [18000, 18000]}]
    left, top = find_room(Graph("", {"nodes": nodes, "links": []}), (0, 0), (420, 410), None)
    assert (left, top > 9000) == (0, True)


@pytest.mark.parametrize(
    ("pos", "size"),
    [
        ({"0": 7, "1": 8}, {"0": 300, "1": 200}),
        (None, None),
        ([1], "x"),
        ([float("nan"), 0], [float("inf"), 1]),
        ([None, 2], []),
    ],
)
def test_positions_are_read_however_they_were_saved(pos: Any, size: Any) -> None:
    data = plain()
    for one in data["nodes"]:
        one["pos"], one["size"] = pos, size
    assert own(add(data).data)
    if isinstance(pos, dict):
        assert node_box(data["nodes"][0]) == Box(7, 8 - 30, 300, 230)
