"""All official templates: every sampler gets steering or a documented reason, and every file comes back as it was."""

from __future__ import annotations

import json
import time
from itertools import combinations

import pytest
from support.workflows.sketch import Json, Wiring
from support.workflows.templates import folder, workflows

from safety_steer.workflow import add, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.editor.layout import node_box
from safety_steer.workflow.plan import LEFT, STEER, STEERED

FOLDER = folder()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="needs comfyui-workflow-templates-json or SAFETY_STEER_TEMPLATES"),
]
SAMPLERS = {
    "KSampler",
    "KSamplerAdvanced",
    "SamplerCustom",
    "CFGGuider",
    "BasicGuider",
    "DualCFGGuider",
    "LTXVDualCFGGuider",
    "DualModelGuider",
}
WITHOUT_TEXT = {
    "ConditioningLoader",
    "Hunyuan3Dv2Conditioning",
    "Hunyuan3Dv2ConditioningMultiView",
    "LotusConditioning",
    "MiniMaxMusic3TextEncode",
    "Pixal3DConditioning",
    "Pixal3DMultiViewConditioning",
    "SVD_img2vid_Conditioning",
    "SeedVR2Conditioning",
    "Trellis2Conditioning",
    "TripoSplatConditioning",
    "YuE2GenerateMusic",
}
"""The nodes whose conditioning holds no text: samplers behind these alone are left alone."""


@pytest.fixture(scope="module")
def templates() -> list[tuple[str, Json]]:
    assert FOLDER is not None
    found = list(workflows(FOLDER))
    assert len(found) > 300
    return found


def graphs(data: Json) -> list[Json]:
    return [data, *data.get("definitions", {}).get("subgraphs", [])]


def test_every_sampler_is_steered_with_a_clip_of_its_prompt_or_left_alone_for_a_reason(
    templates: list[tuple[str, Json]],
) -> None:
    steered = 0
    for name, data in templates:
        before, change = Wiring(data), add(data)
        after, found = Wiring(change.data), Wiring(change.data).steered()
        for path, node in before.nodes():
            if node["type"] not in SAMPLERS:
                assert path not in found, (name, path)
            elif path in found:
                assert found[path][0] == before.source(path, "model"), (name, path)
                assert found[path][1] is not None, (name, path)
                steered += 1
            else:
                reasons = [one.reason for one in change.verdicts if one.state == LEFT and one.sampler.node["id"] == node["id"]]
                assert any(word in reason for reason in reasons for word in WITHOUT_TEXT), (name, path, reasons)
        assert len(list(after.nodes())) >= len(list(before.nodes()))
    assert steered > 200


def test_adding_is_quick_keeps_the_file_sound_and_lays_no_node_over_another(templates: list[tuple[str, Json]]) -> None:
    for name, data in templates:
        text, start = json.dumps(data), time.process_time()
        result = add(data).data
        assert time.process_time() - start < 1.0, name
        assert json.dumps(data) == text, name
        assert set(problems(result)) <= set(problems(data)), name
        for graph in graphs(result):
            for one, other in combinations(graph["nodes"], 2):
                if "Safety" in one["type"] or "Safety" in other["type"]:
                    assert not node_box(one).meets(node_box(other)), (name, one["type"], other["type"])


def test_a_second_run_changes_nothing_and_removing_gives_back_the_original(templates: list[tuple[str, Json]]) -> None:
    for name, data in templates:
        once = add(data)
        again = add(once.data)
        assert json.dumps(again.data) == json.dumps(once.data), name
        assert STEER not in {verdict.state for verdict in again.verdicts}, name
        removal = remove(once.data)
        assert removal.exact or not once.changed, name
        assert json.dumps(removal.data) == json.dumps(data), name
        if once.changed:
            assert STEERED in {verdict.state for verdict in again.verdicts}, name


def test_without_the_record_the_wires_are_reconnected(templates: list[tuple[str, Json]]) -> None:
    for name, data in templates:
        change = add(data)
        if not change.changed:
            continue
        del change.data["extra"]["safety_steer"]
        removed = remove(change.data).data
        assert set(problems(removed)) <= set(problems(data)), name
        before, after = Wiring(data), Wiring(removed)
        for path, node in before.nodes():
            if node["type"] in SAMPLERS:
                assert after.source(path, "model") == before.source(path, "model"), (name, path)


def test_a_template_without_sampler_is_left_untouched(templates: list[tuple[str, Json]]) -> None:
    untouched = 0
    for name, data in templates:
        if not any(node["type"] in SAMPLERS for graph in graphs(data) for node in graph["nodes"]):
            change = add(data)
            assert (change.changed, list(change.verdicts)) == (False, []), name
            assert change.data is data, name
            untouched += 1
    assert untouched > 100
