"""The block "Safety Steer": what its script makes, sound, and with values that the nodes take."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from safety_steer.workflow.consistency import problems
from safety_steer.workflow.format_check import EDITOR, kind_of

ROOT = Path(__file__).parents[2]
FILE = ROOT / "subgraphs" / "Safety Steer.json"
SERVED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
LOCK: dict[str, Any] = json.loads((ROOT / "tests" / "support" / "comfyui" / "schema_lock.json").read_text(encoding="utf-8"))
FITTING = {"FLOAT": float, "INT": int, "STRING": str, "BOOLEAN": bool, "COMBO": str}
[BLOCK], [DEFINITION] = SERVED["nodes"], SERVED["definitions"]["subgraphs"]


def inner(kind: str) -> dict[str, Any]:
    [found] = [node for node in DEFINITION["nodes"] if node["type"] == kind]
    return dict(found)


def check_value(value: object, locked: dict[str, Any]) -> None:
    assert type(value) is FITTING[locked["type"]], locked
    assert value == locked["default"]
    assert locked.get("options") in (None, "files") or value in locked["options"]
    assert "min" not in locked or locked["min"] <= value <= locked["max"]


def test_the_file_is_what_the_script_makes() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "workflows" / "write_blueprint.py"))["blueprint"]()
    assert json.dumps(made, indent=2) + "\n" == FILE.read_text(encoding="utf-8"), (
        "run python -m tools.workflows.write_blueprint"
    )


def test_the_front_end_takes_it_for_a_blueprint() -> None:
    assert kind_of(SERVED) == EDITOR
    assert BLOCK["type"] == DEFINITION["id"]
    # The front end names the block after the file.
    assert BLOCK["title"] == DEFINITION["name"] == FILE.stem
    # The server reads it in the letters of the system it runs on.
    assert FILE.read_bytes().isascii()


def test_it_is_sound() -> None:
    assert problems(SERVED) == []
    assert all(socket.get("linkIds") for socket in DEFINITION["inputs"] + DEFINITION["outputs"])


@pytest.mark.parametrize("kind", ["LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer", "ApplySafetySteer"])
def test_its_nodes_are_those_of_the_lock_with_their_defaults(kind: str) -> None:
    node, locked = inner(kind), LOCK[kind]
    assert [socket["name"] for socket in node["inputs"]] == [item["name"] for item in locked["inputs"]]
    assert [socket["type"] for socket in node["inputs"]] == [item["type"] for item in locked["inputs"]]
    assert [socket["type"] for socket in node["outputs"]] == locked["outputs"]
    widgets = [item for item in locked["inputs"] if "default" in item]
    for value, item in zip(node["widgets_values"], widgets, strict=True):
        check_value(value, item)


def test_its_sliders_lead_to_the_inputs_they_are_named_after_and_start_at_the_same_values() -> None:
    links = {link["id"]: link for link in DEFINITION["links"]}
    by_id = {node["id"]: node for node in DEFINITION["nodes"]}
    assert [socket["name"] for socket in BLOCK["inputs"]] == [socket["name"] for socket in DEFINITION["inputs"]]
    values = iter(BLOCK["widgets_values"])
    for socket, outer in zip(DEFINITION["inputs"], BLOCK["inputs"], strict=True):
        [number] = socket["linkIds"]
        node = by_id[links[number]["target_id"]]
        target = node["inputs"][links[number]["target_slot"]]
        assert target["name"] == socket["name"] == outer["name"]
        assert target["type"] == socket["type"] == outer["type"] == links[number]["type"]
        assert ("widget" in outer) == ("widget" in target)
        if "widget" in outer:
            [locked] = [item for item in LOCK[node["type"]]["inputs"] if item["name"] == socket["name"]]
            check_value(next(values), locked)
    assert next(values, None) is None


def test_every_category_has_a_slider_in_the_order_of_the_mixer() -> None:
    names = [socket["name"] for socket in BLOCK["inputs"] if "widget" in socket]
    categories = [item["name"] for item in LOCK["SafetyCategoryMixer"]["inputs"] if "default" in item]
    assert names == ["direction_name", "strength", "preset", *categories]


def test_it_says_when_its_strength_does_not_count() -> None:
    labels = {socket["name"]: socket.get("label") for socket in BLOCK["inputs"]}
    assert labels["preset"] == "preset (replaces strength)"
    [preset] = [item for item in LOCK["ApplySafetySteer"]["inputs"] if item["name"] == "preset"]
    assert f"'strength' counts while 'preset' is '{preset['default']}'" in SERVED["extra"]["BlueprintDescription"]
