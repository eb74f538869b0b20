"""The API format: the same samplers and CLIPs are found from names alone, and everything can be taken back."""

from __future__ import annotations

import json

import pytest
from support.workflows.sketch import Json

from safety_steer.api_wires import wire
from safety_steer.storage.bundled import SOURCE
from safety_steer.workflow import add, remove
from safety_steer.workflow.plan import LEFT, STEER, STEERED


def base() -> Json:
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}, "_meta": {"title": "Load"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a kite", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "12:3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["12:3", 0], "vae": ["4", 2]}},
    }  # fmt: skip


def test_three_nodes_come_in_and_one_wire_changes() -> None:
    result = add(base()).data
    assert list(result)[:6] == list(base())
    assert result["12:3"]["inputs"]["model"] == ["15", 0]
    assert result["15"]["class_type"] == "ApplySafetySteer"
    assert (result["15"]["inputs"]["model"], result["15"]["inputs"]["direction"]) == (["4", 0], ["14", 0])
    assert (result["14"]["inputs"]["clip"], result["14"]["inputs"]["direction"]) == (["4", 1], ["13", 0])
    assert result["13"]["inputs"] == {"direction_name": SOURCE}
    result["12:3"]["inputs"]["model"] = ["4", 0]
    assert {key: result[key] for key in base()} == base()


def test_again_and_back() -> None:
    once = add(base()).data
    again = add(once)
    assert json.dumps(again.data) == json.dumps(once)
    assert [verdict.state for verdict in again.verdicts] == [STEERED]
    assert json.dumps(remove(once).data) == json.dumps(base())


def test_reports_and_scores_come_out_too() -> None:
    data = add(base()).data
    align, apply = (
        next(key for key, one in data.items() if one["class_type"] == type)
        for type in ("AlignSafetyDirection", "ApplySafetySteer")
    )
    data["40"] = {"class_type": "SafetyReport", "inputs": {"report": [apply, 1], "theme": "dark", "after": ["12:3", 0]}}
    data["41"] = {"class_type": "SafetyScore", "inputs": {"direction": [align, 0], "conditioning": ["6", 0], "theme": "dark"}}
    data["42"] = {"class_type": "PreviewImage", "inputs": {"images": ["40", 0]}}
    data["43"] = {"class_type": "PreviewImage", "inputs": {"images": ["41", 3]}}
    data["8"]["inputs"]["samples"] = ["40", 3]
    after = remove(data).data
    assert {key: after[key] for key in base()} == base()
    assert {key: after[key]["inputs"] for key in after.keys() - base().keys()} == {"42": {}, "43": {}}


def test_guiders_samplers_of_other_packs_and_nodes_between() -> None:
    data = base()
    data["20"] = {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}}
    data["21"] = {"class_type": "BasicGuider", "inputs": {"model": ["4", 0], "conditioning": ["20", 0]}}
    pair = {"positive": ["20", 0], "negative": ["7", 0], "control_net": ["30", 0], "image": ["31", 0]}
    data["22"] = {"class_type": "ControlNetApplyAdvanced", "inputs": pair}
    data["23"] = {"class_type": "OtherSampler", "inputs": {"model": ["4", 0], "positive": ["22", 0], "negative": ["22", 1]}}
    data["24"] = {"class_type": "VAEDecode", "inputs": {"samples": ["23", 0], "vae": ["4", 2]}}
    data["25"] = {"class_type": "AnySwitch", "inputs": {"any_01": ["22", 0]}}
    data["26"] = {"class_type": "SamplerCustom", "inputs": {"model": ["4", 0], "positive": ["25", 0]}}
    result = add(data).data
    applied = result["12:3"]["inputs"]["model"]
    assert result[applied[0]]["class_type"] == "ApplySafetySteer"
    assert {tuple(result[key]["inputs"]["model"]) for key in ("21", "23", "26")} == {tuple(applied)}
    assert json.dumps(remove(result).data) == json.dumps(data)


def switched(chosen: Json) -> Json:
    """Return the base workflow with a second prompt, and its sampler's prompt chosen by the node 60."""
    data = base()
    data["50"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "b", "clip": ["4", 1]}}
    data["60"] = chosen
    next(node for node in data.values() if "Sampler" in node["class_type"])["inputs"]["positive"] = ["60", 0]
    return data


def test_a_prompt_that_only_a_switch_takes_is_a_prompt() -> None:
    """Nothing says what the wires of a switch are but where they go, which may be two nodes further."""
    inputs = {"on_true": ["6", 0], "on_false": ["50", 0], "switch": ["61", 0]}
    data = switched({"class_type": "ComfySwitchNode", "inputs": inputs})
    # The switch itself is thrown by what another language model has written, which is no part of the prompt.
    data["61"] = {"class_type": "ComfyMathExpression", "inputs": {"values.a": ["62", 0]}}
    data["62"] = {"class_type": "TextGenerate", "inputs": {"clip": ["63", 0], "prompt": "yes or no?"}}
    data["63"] = {"class_type": "CLIPLoader", "inputs": {}}
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [STEER]
    assert [node["inputs"]["clip"] for node in change.data.values() if node["class_type"] == "AlignSafetyDirection"] == [
        ["4", 1]
    ]
    assert json.dumps(remove(change.data).data) == json.dumps(data)


def test_a_prompt_out_of_the_list_of_a_loop_is_a_prompt() -> None:
    data = switched({"class_type": "GetItemFromList", "inputs": {"list": ["61", 4], "index": ["61", 0]}})
    data["61"] = {"class_type": "StartLoop", "inputs": {"initial_iteration_value": ["62", 0], "mode": "simple"}}
    data["62"] = {"class_type": "CreateList", "inputs": {"inputs.input0": ["6", 0], "inputs.input1": ["50", 0]}}
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [STEER]
    assert json.dumps(remove(change.data).data) == json.dumps(data)


def test_a_picture_of_a_growing_input_is_no_prompt() -> None:
    """Its name has two parts. The picture comes from a node with a CLIP of its own."""
    data = base()
    data["6"] = {"class_type": "TextEncodeBooguEdit", "inputs": {"clip": ["4", 1], "images.image0": ["60", 0]}}
    data["60"] = {"class_type": "OtherEdit", "inputs": {"clip": ["61", 0]}}
    data["61"] = {"class_type": "CLIPLoader", "inputs": {}}
    assert [verdict.state for verdict in add(data).verdicts] == [STEER]


def test_training_is_no_sampling() -> None:
    data = base()
    data["20"] = {"class_type": "TrainLoraNode", "inputs": {"model": ["4", 0], "positive": ["6", 0]}}
    assert add(data).data["20"] == data["20"]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"class_type": "LotusConditioning", "inputs": {}}, "comes from LotusConditioning"),
        (
            {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["7", 0], "conditioning_2": ["9", 0]}},
            "2 different CLIPs",
        ),
        ({"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["99", 0]}}, "comes from CLIPTextEncode"),
    ],
)
def test_what_cannot_be_steered_is_left_alone(node: Json, reason: str) -> None:
    data = base()
    data["6"] = node
    data["9"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "b", "clip": ["10", 0]}}
    data["10"] = {"class_type": "CLIPLoader", "inputs": {}}
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [LEFT]
    assert reason in change.verdicts[0].reason
    assert json.dumps(change.data) == json.dumps(data)


def test_an_encoder_without_its_clip_is_named() -> None:
    data = base()
    del data["6"]["inputs"]["clip"]
    [verdict] = add(data).verdicts
    assert (verdict.state, verdict.reason) == (LEFT, "the CLIP input of CLIPTextEncode before it has no wire")
    assert add(data).data == data


def test_a_model_that_is_not_there_is_named() -> None:
    data = base()
    data["12:3"]["inputs"]["model"] = ["99", 0]
    assert "the wire into its model input is broken" in add(data).verdicts[0].reason


def test_nodes_in_a_row_and_in_a_ring_come_out() -> None:
    data = base()
    data["12:3"]["inputs"]["model"] = ["31", 0]
    data["30"] = {"class_type": "ApplySafetySteer", "inputs": {"model": ["4", 0], "direction": ["33", 0]}}
    data["31"] = {"class_type": "ApplySafetySteer", "inputs": {"model": ["30", 0], "direction": ["33", 0]}}
    data["32"] = {"class_type": "LoadSafetyDirection", "inputs": {}}
    data["33"] = {"class_type": "AlignSafetyDirection", "inputs": {"direction": ["32", 0], "clip": ["4", 1]}}
    assert json.dumps(remove(data).data) == json.dumps(base())
    data["30"]["inputs"]["model"] = ["31", 0]
    remaining = remove(data).data
    assert not any("Safety" in one["class_type"] for one in remaining.values())


def test_a_text_that_a_language_model_writes_for_an_encoder_brings_no_clip_of_its_own() -> None:
    data = base()
    data["6"]["inputs"] = {"clip": ["4", 1], "clip_l": ["50", 0], "t5xxl": ["50", 0]}
    data["50"] = {"class_type": "TextGenerate", "inputs": {"clip": ["51", 0], "prompt": "a kite"}}
    data["51"] = {"class_type": "CLIPLoader", "inputs": {"clip_name": "language.safetensors"}}
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [STEER]
    [align] = [one for one in change.data.values() if one["class_type"] == "AlignSafetyDirection"]
    assert align["inputs"]["clip"] == ["4", 1]


def test_the_negative_of_a_pair_is_told_from_the_positive_that_nothing_takes() -> None:
    data = base()
    data["7"]["inputs"]["clip"] = ["51", 0]
    data["51"] = {"class_type": "CLIPLoader", "inputs": {"clip_name": "other.safetensors"}}
    data["30"] = {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["6", 0], "negative": ["7", 0]}}
    data["12:3"]["inputs"] |= {"positive": ["30", 1], "negative": ["6", 0]}
    [align] = [one for one in add(data).data.values() if one["class_type"] == "AlignSafetyDirection"]
    assert align["inputs"]["clip"] == ["51", 0]


@pytest.mark.parametrize(
    ("value", "start"),
    [
        (["4", 0], ("4", 0)),
        (("4", 0), ("4", 0)),
        ([4, 0], ("4", 0)),
        (["12:3", 2], ("12:3", 2)),
        (["4", True], None),
        ([True, 0], None),
        (["4", 0.5], None),
        (["4"], None),
        (["4", 0, 1], None),
        ([["4"], 0], None),
        ("40", None),
        (None, None),
    ],
)
def test_a_wire_is_told_from_a_value(value: object, start: object) -> None:
    assert wire(value) == start


def two_texts(between: str) -> Json:
    """A prompt of two texts, the CLIP of the second through a node of this type."""
    data = base()
    data["20"] = {"class_type": between, "inputs": {"clip": ["4", 1]}}
    data["21"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "a lake", "clip": ["20", 0]}}
    inputs = {"conditioning_to": ["6", 0], "conditioning_from": ["21", 0]}
    data["22"] = {"class_type": "ConditioningConcat", "inputs": inputs}
    data["12:3"]["inputs"]["positive"] = ["22", 0]
    return data


def test_a_clip_on_another_device_is_the_same_one_and_a_changed_clip_is_not() -> None:
    moved, changed = add(two_texts("SelectCLIPDevice")), add(two_texts("CLIPSetLastLayer"))
    assert [verdict.state for verdict in moved.verdicts] == [STEER]
    [align] = [one for one in moved.data.values() if one["class_type"] == "AlignSafetyDirection"]
    assert align["inputs"]["clip"] == ["4", 1]
    assert [verdict.state for verdict in changed.verdicts] == [LEFT]
    assert "2 different CLIPs" in changed.verdicts[0].reason
