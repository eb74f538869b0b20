"""The checker that all the other tests lean on: it must notice every kind of fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.workflows import shapes
from support.workflows.sketch import Json

from safety_steer.workflow.consistency import problems


def sound() -> Json:
    return shapes.shapes()["text outside, sampler inside"][0]


def inner(data: Json) -> Json:
    return data["definitions"]["subgraphs"][0]  # type: ignore[no-any-return]


FAULTS: dict[str, tuple[Callable[[Json], object], str]] = {
    "a link from nowhere": (lambda data: data["links"][0].__setitem__(1, 99), "link 1 leads from or to a socket that is not"),
    "a link to a slot that is not there": (lambda data: data["links"][0].__setitem__(4, 9), "link 1 leads from or to"),
    "an input that names another link": (lambda data: data["nodes"][1]["inputs"][0].update(link=2), "names link 2, which does"),
    "an input without its link": (
        lambda data: data["nodes"][1]["inputs"][0].update(link=None),
        "where it ends",
    ),
    "an output that lists too many": (lambda data: data["nodes"][0]["outputs"][0]["links"].append(3), "lists link 3, which"),
    "an output without its link": (
        lambda data: data["nodes"][0]["outputs"][1]["links"].clear(),
        "where it starts",
    ),
    "a subgraph input without its link": (
        lambda data: inner(data)["inputs"][0]["linkIds"].clear(),
        "where it starts",
    ),
    "a subgraph output without its link": (
        lambda data: inner(data)["outputs"][0]["linkIds"].clear(),
        "where it ends",
    ),
    "a socket that the subgraph lacks": (lambda data: inner(data)["inputs"].pop(), "that its subgraph lacks"),
    "a low node counter": (lambda data: data.update(last_node_id=1), "node counter is 1"),
    "a low link counter": (lambda data: data.update(last_link_id=1), "link counter is 1"),
    "a low counter within": (lambda data: inner(data)["state"].update(lastNodeId=1), "node counter is 1, but there is node 3"),
    "a node id used twice": (lambda data: inner(data)["nodes"][0].update(id=2), "node id 2 is in 2 graphs"),
}


def test_a_sound_workflow_has_no_problem() -> None:
    assert problems(sound()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noticed(fault: str) -> None:
    data = sound()
    change, message = FAULTS[fault]
    change(data)
    assert any(message in text for text in problems(data)), problems(data)
