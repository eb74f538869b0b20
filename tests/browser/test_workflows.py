"""Steered templates in ComfyUI's real front end: what it would run is the original, with the models of samplers steered.

Needs a running ComfyUI that has the pack (SAFETY_STEER_COMFY_URL), Chromium, and node with playwright-core in a folder
(SAFETY_STEER_PLAYWRIGHT). SAFETY_STEER_ALL_TEMPLATES=1 takes every template instead of one for each shape.
"""

from __future__ import annotations

import json

import pytest
from support.browser.harness import ALL_TEMPLATES, NEEDS_BROWSER, Json, folder, run_in_browser
from support.workflows.templates import workflows

from safety_steer.api_wires import wire
from safety_steer.workflow import add, remove
from safety_steer.workflow.consistency import wrong_wires
from safety_steer.workflow.graph import Document
from safety_steer.workflow.pack_nodes import ALIGN, APPLY, LOAD, OWN_NODES
from safety_steer.workflow.plan import STEER

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
ALWAYS_SENT = {one.name for one in OWN_NODES[APPLY].inputs if one.widget or not one.optional}
"""What a queued Apply node holds: an optional socket without a wire is not sent."""
ONE_OF_EACH = {
    "hidream_e1_1.json",
    "image_flux2_klein_image_edit_9b_distilled.json",
    "image_z_image_turbo.json",
    "sdxl_refiner_prompt_example.json",
    "txt_to_image_to_video.json",
    "video_kandinsky5_i2v.json",
    "video_ltx2_5_flf2v.json",
    "video_ltx2_depth_to_video.json",
    "video_wan2_2_14B_s2v.json",
    "video_wan2_2_14B_t2v.json",
}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """What the front end makes of each workflow before and after, as the script prints it."""
    pairs, where = tmp_path_factory.mktemp("pairs"), folder()
    assert where is not None
    (pairs / "before").mkdir()
    (pairs / "after").mkdir()
    for name, data in workflows(where):
        if name in ONE_OF_EACH or ALL_TEMPLATES:
            change = add(data)
            if change.changed:
                (pairs / "before" / name).write_text(json.dumps(data))
                (pairs / "after" / name).write_text(json.dumps(change.data))
    found = run_in_browser("compare.mjs", pairs)
    assert len(found) >= len(ONE_OF_EACH)
    return found


def is_own(node: Json) -> bool:
    return node.get("class_type") in OWN_NODES


def renamed(after: Json, before: Json) -> Json:
    """Give the nodes the ids they had before: the front end numbers anew those that a file uses twice."""
    others = [key for key in after if not is_own(after[key])]
    assert [after[key].get("class_type") for key in others] == [node.get("class_type") for node in before.values()]
    names = {**{key: f"own {key}" for key in after}, **dict(zip(others, before, strict=True))}
    result = {}
    for key, node in after.items():
        inputs = {name: [names[value[0]], value[1]] if wire(value) else value for name, value in _inputs(node).items()}
        result[names[key]] = {**node, "inputs": inputs}
    return result


def _inputs(node: Json) -> Json:
    return node.get("inputs") or {}


def test_only_the_models_of_samplers_come_another_way(sent: list[Json]) -> None:
    for line in sent:
        name, before = line["name"], line["before"]
        assert "error" not in line, (name, line["error"])
        assert line["pageErrors"] == [], name
        after = renamed(line["after"], before)
        steered = 0
        for key, node in before.items():
            inputs = dict(_inputs(after[key]))
            for socket, value in inputs.items():
                if wire(value) and value[0] in after and is_own(after[value[0]]):
                    apply = after[value[0]]
                    assert apply["class_type"] == APPLY, (name, key)
                    assert set(apply["inputs"]) == ALWAYS_SENT, (name, key)
                    align = after[apply["inputs"]["direction"][0]]
                    assert align["class_type"] == ALIGN, (name, key)
                    assert wire(align["inputs"]["clip"]), (name, key)
                    assert after[align["inputs"]["direction"][0]]["class_type"] == LOAD, (name, key)
                    inputs[socket], steered = apply["inputs"]["model"], steered + 1
            assert inputs == _inputs(node), (name, key)
        assert steered > 0, name


def test_what_the_front_end_saves_is_known_again_and_can_be_taken_out(sent: list[Json]) -> None:
    for line in sent:
        saved = line["saved"]
        assert STEER not in {verdict.state for verdict in add(saved).verdicts}, line["name"]
        back = remove(saved).data
        assert set(wrong_wires(Document(back))) <= set(wrong_wires(Document(saved))), line["name"]
        assert not any(word in json.dumps(back) for word in (APPLY, ALIGN, LOAD)), line["name"]
