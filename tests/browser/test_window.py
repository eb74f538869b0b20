"""The window's commands in ComfyUI's real front end: the graphs of `safety-steer add` and `--remove`, in steps to be undone.

Needs what test_workflows.py needs. SAFETY_STEER_PICTURES names a folder for pictures of steered workflows.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.browser.harness import NEEDS_BROWSER, Json, run_in_browser
from support.browser.window_cases import ONE_OF_EACH_FAMILY, cases
from support.workflows.shapes import left_alone, shapes

from safety_steer.api_wires import wire
from safety_steer.workflow import add, check, remove
from safety_steer.workflow.editor.blocks import is_block, reports_on_block
from safety_steer.workflow.graph import Document, Graph, inputs, nested_definitions, outputs
from safety_steer.workflow.pack_nodes import APPLY, OWN_NODES, STEERING, SUPPLYING
from safety_steer.workflow.plan import LEFT, STEER, STEERED

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
PICTURES = ["sdxl_refiner_prompt_example.json", "text_to_video_wan.json", "video_wan2_2_14B_t2v.json"]
IN_SUBGRAPH = ["all in a subgraph.json", "video_wan2_2_14B_t2v.json"]
"""Where the commands are given while a subgraph is open."""
SAVE = "SaveSafetyDirection"


def written(where: Path) -> Path:
    """Write what the script reads: workflows before and after the command line, and its orders."""
    for name in ("before", "after", "pictures"):
        (where / name).mkdir()
    for name, data in cases().items():
        (where / "before" / name).write_text(json.dumps(data))
        (where / "after" / name).write_text(json.dumps(add(data).data))
    (where / "orders.json").write_text(json.dumps({"pictures": PICTURES, "inSubgraph": IN_SUBGRAPH}))
    return where


@pytest.fixture(scope="module", params=["classic", "vue"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """What became of every workflow, with the classic canvas and with Nodes 2.0."""
    where = written(tmp_path_factory.mktemp(request.param))
    found = run_in_browser("window.mjs", where, request.param)
    assert len(found) >= len(ONE_OF_EACH_FAMILY) + len(shapes()) + len(left_alone())
    pictures = sorted((where / "pictures").glob("*.png"))
    assert len(pictures) == len(PICTURES)
    if kept := os.environ.get("SAFETY_STEER_PICTURES"):
        for picture in pictures:
            shutil.copy(picture, Path(kept) / f"{picture.stem}-{request.param}.png")
    return found


def signatures(output: Json) -> Counter[str]:
    """Describe every node that would run by all that it is made from, whatever its id."""
    known: dict[str, str] = {}

    def signature(number: str) -> str:
        if number not in known:
            known[number] = "a circle"
            node = output.get(number, {"inputs": {}, "class_type": "missing"})
            inputs = [
                f"{name}: {signature(value[0])} {value[1]}" if wire(value) else f"{name}: {value!r}"
                for name, value in sorted((node.get("inputs") or {}).items())
                if value is not None
            ]
            title = (node.get("_meta") or {}).get("title")
            known[number] = str(hash((node.get("class_type") or title, tuple(inputs))))
        return known[number]

    return Counter(map(signature, output))


def content(workflow: Json) -> Json:
    """Leave out of a saved workflow what the front end works out anew.

    The part of the canvas in view, orders, and sizes: Nodes 2.0 of older front ends sizes nodes when it draws them. And the
    cameras of 3D views, which move by a last digit while nothing is done.
    """
    found: Json = json.loads(json.dumps(workflow))
    (found.get("extra") or {}).pop("ds", None)
    for graph in (found, *nested_definitions(found)):
        for node in graph["nodes"]:
            node.pop("order", None)
            node.pop("size", None)
            (node.get("properties") or {}).pop("Camera Config", None)
        graph["links"].sort(key=json.dumps)
    return found


def wiring(workflow: Json) -> Json:
    """Describe what a workflow is made of: by graph, its own sockets, its nodes with theirs, and where each wire leads."""
    return {
        key: (
            [socket["name"] for socket in (*inputs(graph.data), *outputs(graph.data)) if key],
            {
                number: (node["type"], [one["name"] for one in inputs(node)], [one["name"] for one in outputs(node)])
                for number, node in graph.nodes.items()
            },
            sorted(
                [str(link[end]) for end in ("origin_id", "origin_slot", "target_id", "target_slot")]
                for link in graph.links.values()
            ),
        )
        for key, graph in Document(workflow).graphs.items()
    }


def has_steering(workflow: Json) -> bool:
    """Tell whether anything of what `--remove` takes out is in a workflow."""
    return any(node["type"] in (*STEERING, *SUPPLYING) for node in remaining(workflow))


def remaining(workflow: Json) -> list[Json]:
    """Return the nodes of all graphs without blocks, what tells of these, and what feeds a node that saves a direction."""
    document = Document(workflow)
    return [
        node
        for graph in document.graphs.values()
        if not is_block(document, graph)
        for node in graph.nodes.values()
        if not _is_saved(graph, node) and not reports_on_block(document, graph, node)
    ]


def _is_saved(graph: Graph, node: Json) -> bool:
    return any(
        graph.nodes[link["target_id"]]["type"] == SAVE for link in graph.leaving(node["id"]) if link["target_id"] in graph.nodes
    )


def test_nothing_goes_wrong_in_the_page(answers: list[Json]) -> None:
    for line in answers:
        assert "error" not in line, (line["name"], line["error"])
        assert line["pageErrors"] == [], line["name"]


def test_the_graph_is_that_of_the_command_line(answers: list[Json]) -> None:
    steered = 0
    for line in answers:
        assert signatures(line["after"]["output"]) == signatures(line["byCommandLine"]["output"]), line["name"]
        steered += sum(node.get("class_type") == APPLY for node in line["after"]["output"].values())
    assert steered > len(ONE_OF_EACH_FAMILY)


def test_removing_gives_back_what_was_there_before(answers: list[Json]) -> None:
    for line in answers:
        if not has_steering(line["before"]["workflow"]):
            assert wiring(line["removed"]["workflow"]) == wiring(line["before"]["workflow"]), line["name"]
            for state in ("removed", "removedAfterCommandLine"):
                assert signatures(line[state]["output"]) == signatures(line["before"]["output"]), (line["name"], state)
                assert "safety_steer" not in line[state]["workflow"]["extra"], (line["name"], state)


def test_removing_does_what_the_command_line_does_to_a_saved_file(answers: list[Json]) -> None:
    for line in answers:
        for before, after in (("after", "removed"), ("byCommandLine", "removedAfterCommandLine")):
            saved = json.loads(json.dumps(line[before]["workflow"]))
            saved["extra"].pop("safety_steer", None)
            assert wiring(line[after]["workflow"]) == wiring(remove(saved).data), (line["name"], after)
            assert not has_steering(line[after]["workflow"]), (line["name"], after)


def test_each_command_is_one_step_and_undo_takes_it_back(answers: list[Json]) -> None:
    for line in answers:
        added = any(verdict.state == STEER for verdict in check(line["before"]["workflow"]))
        removed = has_steering(line["after"]["workflow"])
        assert line["after"]["steps"] == line["before"]["steps"] + added, line["name"]
        assert line["removed"]["steps"] == line["after"]["steps"] + removed, line["name"]
        undone = {"removalUndone": "after"} if removed else {}
        for state, earlier in (undone | ({"undone": "before"} if added else {})).items():
            assert line[state]["steps"] == line[earlier]["steps"], (line["name"], state)
            assert content(line[state]["workflow"]) == content(line[earlier]["workflow"]), (line["name"], state)
            assert signatures(line[state]["output"]) == signatures(line[earlier]["output"]), (line["name"], state)


def test_a_wire_over_reroute_points_stays_on_them(answers: list[Json]) -> None:
    (line,) = (line for line in answers if line["name"] == "reroute points.json")
    for state in ("before", "after", "removed", "undone"):
        assert len(line[state]["workflow"]["extra"]["reroutes"]) == 1, state
    applies = [node for node in line["after"]["output"].values() if node["class_type"] == APPLY]
    assert len(applies) == 2


def test_a_second_time_changes_nothing_and_says_so(answers: list[Json]) -> None:
    for line in answers:
        assert line["again"]["output"] == line["after"]["output"], line["name"]
        assert content(line["again"]["workflow"]) == content(line["after"]["workflow"]), line["name"]
        assert line["again"]["steps"] == line["after"]["steps"], line["name"]
        assert line["toastsAgain"][0]["summary"].startswith("Nothing"), line["name"]


def test_one_message_tells_what_became_of_the_samplers(answers: list[Json]) -> None:
    for line in answers:
        verdicts = check(line["before"]["workflow"])
        (toast,) = line["toasts"]
        counts = {
            "steered now": sum(verdict.state == STEER and not verdict.missed for verdict in verdicts),
            "steered in part": sum(verdict.state != LEFT and bool(verdict.missed) for verdict in verdicts),
        }
        for words, number in counts.items():
            text = f"{number} sampler{'s' if number > 1 else ''} {words}"
            assert (text in toast["summary"]) if number else (words not in toast["summary"]), (line["name"], words)
        for verdict in verdicts[:8]:
            assert verdict.reason in toast["detail"], line["name"]
            assert verdict.missed in toast["detail"], line["name"]


def number_steered(workflow: Json) -> int:
    """Count the samplers whose steering is switched on."""
    return sum(verdict.state == STEERED and "switched off" not in verdict.reason for verdict in check(workflow))


def test_a_message_tells_how_many_samplers_lost_their_steering(answers: list[Json]) -> None:
    for line in answers:
        (toast,) = line["toastsRemoved"]
        before, after = (number_steered(line[state]["workflow"]) for state in ("after", "removed"))
        number = before - after
        if has_steering(line["after"]["workflow"]):
            assert f"removed: {number} sampler{'' if number == 1 else 's'} no longer steered" in toast["summary"], line["name"]
        else:
            assert toast["summary"].startswith("Nothing to remove"), line["name"]
        assert toast.get("detail", "") == remove(line["after"]["workflow"]).left, line["name"]


def test_new_nodes_lie_on_nothing(answers: list[Json]) -> None:
    drawn = {line["name"]: line["boxes"] for line in answers if "boxes" in line}
    assert sorted(drawn) == PICTURES
    for name, boxes in drawn.items():
        own = [one for one in boxes if one["type"] in OWN_NODES]
        assert len(own) > 2, name
        for one in own:
            touched = [other["type"] for other in boxes if other is not one and overlap(one["box"], other["box"])]
            assert touched == [], (name, one["type"])


def overlap(one: list[float], other: list[float]) -> bool:
    """Tell whether two boxes (left, top, width, height) share any room."""
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))
