"""Files that are damaged, foreign or hostile: one clear error, or a result that is sound; never anything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.workflows import shapes
from support.workflows.sketch import Json, loader, node, plain, sampler, subgraph, text, workflow

from safety_steer.errors import DataError
from safety_steer.workflow import add, check, read_workflow, remove, workflow_file

SHAPES = shapes.shapes()


def ring() -> Json:
    a = subgraph("a", "", "LATENT:LATENT<1.0", node(1, "b", "", "LATENT"))
    b = subgraph("b", "", "LATENT:LATENT<1.0", node(1, "a", "", "LATENT"))
    return workflow(node(1, "a", "", "LATENT"), subgraphs=(a, b))


def deep() -> Json:
    levels = [subgraph(f"s{n}", "", "LATENT:LATENT<1.0", node(1, f"s{n + 1}", "", "LATENT")) for n in range(40)]
    return workflow(node(1, "s0", "", "LATENT"), subgraphs=(*levels, subgraph("s40", "", "", node(1, "Note"))))


def changed(change: Callable[[Json], object]) -> Json:
    data = plain()
    change(data)
    return data


BAD: dict[str, tuple[object, str]] = {
    "a number": (7, "not a ComfyUI workflow"),
    "a list": ([], "not a ComfyUI workflow"),
    "nothing": ({}, "not a ComfyUI workflow"),
    "other JSON": ({"a": {"class_type": "KSampler"}}, "not a ComfyUI workflow"),
    "another version": (changed(lambda data: data.update(version=2)), "workflow version 2"),
    "nodes without type": (changed(lambda data: data["nodes"][0].pop("type")), "no id or no type"),
    "a node that is a text": (changed(lambda data: data["nodes"].append("x")), "no id or no type"),
    "an id that is true": (changed(lambda data: data["nodes"][0].update(id=True)), "no id or no type"),
    "two nodes with one id": (changed(lambda data: data["nodes"][0].update(id=2)), "the id 2"),
    "no links": (changed(lambda data: data.pop("links")), "links cannot be read"),
    "short links": (changed(lambda data: data["links"].append([1, 2])), "links cannot be read"),
    "two links with one id": (changed(lambda data: data["links"].append(list(data["links"][0]))), "links have the id 1"),
    "inputs that are none": (changed(lambda data: data["nodes"][2].update(inputs=7)), "inputs of node 3"),
    "an input that is none": (changed(lambda data: data["nodes"][2].update(inputs=[7])), "inputs of node 3"),
    "a link that is a text": (changed(lambda data: data["nodes"][2]["inputs"][0].update(link="1")), "inputs of node 3"),
    "definitions that are none": (changed(lambda data: data.update(definitions=[1])), "definitions"),
    "a subgraph that is none": (changed(lambda data: data.update(definitions={"subgraphs": [1]})), "definitions"),
    "a subgraph without id": (changed(lambda data: data.update(definitions={"subgraphs": [{}]})), "no id"),
    "two subgraphs that hold each other": (ring(), "holds itself"),
    "subgraphs too deep": (deep(), "more than 32 deep"),
    "too many nodes": (workflow(*(node(number, "Note") for number in range(20_001))), "20,001 nodes"),
    "too many nodes for the server": ({str(n): {"class_type": "Note", "inputs": {}} for n in range(20_001)}, "20,001 nodes"),
}


@pytest.mark.parametrize("call", [add, check, remove])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_workflow_is_refused_with_the_reason(name: str, call: Callable[[Any], object]) -> None:
    data, reason = BAD[name]
    with pytest.raises(DataError, match=reason):
        call(data)


def test_nodes_of_another_version_can_be_taken_out_but_not_added_to() -> None:
    old = node(5, "ApplySafetySteer", "model:MODEL<1.0", "model:MODEL")
    data = workflow(loader(), text(2, "1.1"), old, sampler(3, "5.0", "2.0"))
    with pytest.raises(DataError, match=r"Node 5 .ApplySafetySteer. has no input 'direction'.*--remove"):
        add(data)
    assert [one["id"] for one in remove(data).data["nodes"]] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["MODEL", "CONDITIONING", "CLIP"])
def test_wires_in_a_ring_are_walked_once(kind: str) -> None:
    ring = [node(5, "Loop", f"in:{kind}<6.0", kind), node(6, "Reroute", ":*<5.0", f":{kind}")]
    places = {"MODEL": "1.0", "CLIP": "1.1", "CONDITIONING": "2.0", kind: "6.0"}
    data = workflow(loader(), text(2, places["CLIP"]), *ring, sampler(3, places["MODEL"], places["CONDITIONING"]))
    change = add(data)
    assert change.changed == (kind != "CONDITIONING")


def test_a_prompt_of_thousands_of_nodes_is_followed() -> None:
    row = [node(number, "Reroute", f":*<{number - 1}.0", ":CONDITIONING") for number in range(3, 3000)]
    data = workflow(loader(), text(2, "1.1"), *row, sampler(3000, "1.0", "2999.0"))
    assert add(data).changed


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "half": (json.dumps(plain()).encode()[:200], "not JSON"),
    "binary": (b"\x89PNG\r\n\xff\xfe", "not UTF-8"),
    "brackets": (b"[" * 200_000, "not JSON"),
    "other": (b'{"a": 1}', "'file.json' cannot be used"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(FILES[name][0])
    with pytest.raises(DataError, match=FILES[name][1]):
        read_workflow(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    with path.open("wb") as stream:
        stream.truncate(50 * 2**20)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("the file was read"))
    with pytest.raises(DataError, match=f"larger than {workflow_file.MAX_BYTES:,} bytes"):
        read_workflow(path)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a JSON value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


odd = st.sampled_from([None, True, -1, 0, 1, 2, 3, 99, 1.5, "", "x", "MODEL", [], [0], [1, 2], {}, {"id": 1}, "delete"])


@given(name=st.sampled_from(sorted(SHAPES)), done=st.booleans(), seed=st.integers(0, 10**9), value=odd, more=odd)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_workflow_is_refused_or_handled(name: str, done: bool, seed: int, value: Any, more: Any) -> None:
    data = add(SHAPES[name][0]).data if done else copy.deepcopy(SHAPES[name][0])
    for step, new in ((seed, value), (seed // 7919, more)):
        paths = list(places(data))
        *path, last = paths[step % len(paths)]
        holder = data
        for key in path:
            holder = holder[key]
        if new == "delete":
            del holder[last]
        else:
            holder[last] = copy.deepcopy(new)
    for call in (add, remove, check):
        try:
            call(data)
        except DataError:
            continue
