"""Finding prompt, seeds and steering in workflows of the usual shapes, and saying clearly when they cannot be found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import fake_comfy

from safety_steer.errors import DataError
from safety_steer.evaluation.comfyui.workflow import Workflow, read_workflow

Graph = dict[str, Any]


@pytest.fixture
def graph() -> Graph:
    return fake_comfy.workflow()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def read(document: Any, folder: Path, prompt_node: str | None = None) -> Workflow:
    path = folder / "workflow.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_workflow(path, prompt_node)


def refusal(document: Any, folder: Path, prompt_node: str | None = None) -> str:
    with pytest.raises(DataError) as refused:
        read(document, folder, prompt_node)
    return str(refused.value)


def test_prompt_seed_and_strength_are_set_and_the_rest_kept(graph: Graph, tmp_path: Path) -> None:
    filled = read(graph, tmp_path).filled("a kite", 9, 0.5)
    changed = {
        (number, name): value
        for number in filled
        for name, value in filled[number]["inputs"].items()
        if graph[number]["inputs"][name] != value
    }
    assert changed == {("6", "text"): "a kite", ("13", "seed"): 9, ("12", "strength"): 0.5}


def test_what_steering_does_not_reach_is_left_out(graph: Graph, tmp_path: Path) -> None:
    workflow = read(graph, tmp_path)
    assert set(graph) - set(workflow.graph) == {"23", "24", "25"}
    assert workflow.steered == {"13", "14", "15"}


@pytest.mark.parametrize("passes_on", [False, True])
def test_what_a_report_draws_does_not_count(passes_on: bool, graph: Graph, tmp_path: Path) -> None:
    graph["16"] = node("SafetyReport", report=["12", 1], after=["14", 0])
    if passes_on:
        graph["15"]["inputs"]["images"] = ["16", 3]
    found = read(graph, tmp_path)
    assert ("16" in found.graph) == passes_on
    assert "16" not in found.steered
    assert "15" in found.steered


def test_filling_leaves_the_workflow_alone(graph: Graph, tmp_path: Path) -> None:
    workflow = read(graph, tmp_path)
    before = workflow.fingerprint
    workflow.filled("a kite", 9, 0.5)["13"]["inputs"]["steps"] = 99
    assert workflow.graph["13"]["inputs"]["steps"] == 4
    assert workflow.fingerprint == before


def test_the_fingerprint_sees_all_but_prompt_seed_strength_and_titles(graph: Graph, tmp_path: Path) -> None:
    before = read(graph, tmp_path).fingerprint
    graph["6"]["inputs"]["text"], graph["13"]["inputs"]["seed"], graph["12"]["inputs"]["strength"] = "other", 1, 0.2
    graph["13"]["_meta"] = {"title": "My sampler"}
    assert read(graph, tmp_path).fingerprint == before
    graph["7"]["inputs"]["text"] = "ugly"
    assert read(graph, tmp_path).fingerprint != before


def test_the_prompt_is_found_behind_guiders_and_nodes_in_between(graph: Graph, tmp_path: Path) -> None:
    graph["30"] = node("FluxGuidance", conditioning=["6", 0], guidance=3.5)
    graph["31"] = node("WanImageToVideo", positive=["30", 0], negative=["7", 0], vae=["4", 2])
    graph["32"] = node("CFGGuider", model=["12", 0], positive=["31", 0], negative=["31", 1], cfg=3.0)
    graph["33"] = node("RandomNoise", noise_seed=["40", 0])
    graph["40"] = node("PrimitiveInt", value=3)
    graph["13"] = node("SamplerCustomAdvanced", guider=["32", 0], noise=["33", 0], latent_image=["31", 2])
    workflow = read(graph, tmp_path)
    assert workflow.texts == (("6", "text"),)
    assert workflow.seeds == (("33", "noise_seed"),)


def test_a_negative_prompt_that_passes_through_is_not_taken(graph: Graph, tmp_path: Path) -> None:
    graph["31"] = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0])
    graph["13"]["inputs"].update(positive=["31", 1], negative=["31", 0])
    assert read(graph, tmp_path).texts == (("7", "text"),)


def test_two_models_share_one_prompt(graph: Graph, tmp_path: Path) -> None:
    graph["42"] = node("ApplySafetySteer", model=["4", 0], direction=["11", 0], strength=1.0)
    graph["43"] = node("KSamplerAdvanced", model=["42", 0], positive=["6", 0], noise_seed=1, latent_image=["13", 0])
    graph["14"]["inputs"]["samples"] = ["43", 0]
    workflow = read(graph, tmp_path)
    assert workflow.texts == (("6", "text"),)
    assert set(workflow.strengths) == {("12", "strength"), ("42", "strength")}
    assert set(workflow.seeds) == {("13", "seed"), ("43", "noise_seed")}


def test_every_text_of_an_encoder_gets_the_prompt(graph: Graph, tmp_path: Path) -> None:
    graph["6"] = node("CLIPTextEncodeFlux", clip=["4", 1], clip_l="mine", t5xxl="mine", guidance=3.5)
    assert set(read(graph, tmp_path).texts) == {("6", "clip_l"), ("6", "t5xxl")}


def test_a_text_typed_elsewhere_is_replaced_at_the_encoder(graph: Graph, tmp_path: Path) -> None:
    graph["6"]["inputs"]["text"] = ["50", 0]
    graph["50"] = node("PrimitiveStringMultiline", value="mine")
    assert read(graph, tmp_path).filled("a kite", 1, 0)["6"]["inputs"]["text"] == "a kite"


def test_steering_on_a_conditioning_is_found(graph: Graph, tmp_path: Path) -> None:
    graph["12"] = node("ApplySafetySteerConditioning", conditioning=["6", 0], direction=["11", 0], strength=1.0)
    graph["13"]["inputs"].update(model=["4", 0], positive=["12", 0])
    workflow = read(graph, tmp_path)
    assert workflow.texts == (("6", "text"),)
    assert workflow.strengths == (("12", "strength"),)


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [("6", (("6", "text"),)), ("7.text", (("7", "text"),)), ("50", (("50", "value"),)), ("50.value", (("50", "value"),))],
)
def test_the_user_can_name_the_prompt(wanted: str, texts: Any, graph: Graph, tmp_path: Path) -> None:
    graph["6"]["inputs"]["text"] = ["50", 0]
    graph["50"] = node("PrimitiveStringMultiline", value="mine")
    assert read(graph, tmp_path, wanted).texts == texts


def test_several_prompts_are_listed(graph: Graph, tmp_path: Path) -> None:
    graph["30"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["7", 0])
    graph["13"]["inputs"]["positive"] = ["30", 0]
    said = refusal(graph, tmp_path)
    assert "6 (CLIPTextEncode, 'Positive'); 7 (CLIPTextEncode)" in said
    assert "--prompt-node" in said
    assert read(graph, tmp_path, "6").texts == (("6", "text"),)


def test_no_prompt_is_said(graph: Graph, tmp_path: Path) -> None:
    graph["6"] = node("OwnEncoder", words="mine", model=["4", 1])
    assert "--prompt-node ID" in refusal(graph, tmp_path)
    assert read(graph, tmp_path, "6").texts == (("6", "words"),)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [("99", "no node '99'"), ("23", "no node '23'"), ("6.words", "no input 'words', only clip, text"), ("5", "Name it")],
)
def test_a_wrong_prompt_node_is_refused(wanted: str, word: str, graph: Graph, tmp_path: Path) -> None:
    assert word in refusal(graph, tmp_path, wanted)


def test_a_workflow_without_steering_is_refused(graph: Graph, tmp_path: Path) -> None:
    graph["13"]["inputs"]["model"] = ["4", 0]
    assert "Nothing is connected to Apply Safety Steer" in refusal(graph, tmp_path)
    del graph["12"]
    assert "has no Apply Safety Steer" in refusal(graph, tmp_path)


def test_a_workflow_without_a_seed_is_refused(graph: Graph, tmp_path: Path) -> None:
    del graph["13"]["inputs"]["seed"]
    assert "no input named seed or noise_seed" in refusal(graph, tmp_path)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"nodes": [], "links": [], "version": 0.4}, "Export (API)"),
        ("not json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "not a workflow in API format"),
        ({}, "not a workflow in API format"),
        ({"1": {"class_type": "KSampler"}}, "not every entry has class_type and inputs"),
        ({"1": node("KSampler"), "2": {"inputs": {}}}, "Its node '2' has no class_type"),
        ({"1": node("ApplySafetySteer", model=["2", 0])}, "connected to node 2, which the file lacks"),
    ],
)
def test_what_is_no_api_workflow_is_refused(document: Any, word: str, tmp_path: Path) -> None:
    said = refusal(document, tmp_path)
    assert word in said
    assert "Export (API)" in said


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda graph: {**graph, "_comment": "by hand", "version": 1, "_meta": {"inputs": ["seed"]}},
        lambda graph: {"client_id": "x", "prompt": graph},
        lambda graph: {"prompt": graph, "workflow": {"nodes": [], "links": [], "version": 0.4}},
        lambda graph: [{"job": {"workflow": graph}}],
        lambda graph: {"workflow": json.dumps(graph)},
        lambda graph: {**graph, "40": {"class_type": "Note"}},
    ],
)
def test_what_is_around_and_beside_the_nodes_is_left_out(graph: Graph, wrapped: Any, tmp_path: Path) -> None:
    assert read(wrapped(graph), tmp_path) == read(graph, tmp_path)


def test_a_loop_ends(graph: Graph, tmp_path: Path) -> None:
    graph["30"] = node("ConditioningCombine", conditioning_1=["31", 0], conditioning_2=["6", 0])
    graph["31"] = node("ConditioningSetMask", conditioning=["30", 0])
    graph["13"]["inputs"]["positive"] = ["31", 0]
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_a_sampler_whose_model_has_only_seen_a_steered_picture_is_not_steered(graph: Graph, tmp_path: Path) -> None:
    graph["40"] = node("IPAdapterAdvanced", model=["4", 0], image=["14", 0])
    graph["41"] = node("KSampler", model=["40", 0], positive=["7", 0], negative=["6", 0], latent_image=["13", 0], seed=1)
    graph["42"] = node("VAEDecode", samples=["41", 0], vae=["4", 2])
    graph["43"] = node("SaveImage", images=["42", 0])
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_a_sampler_whose_model_is_changed_behind_steering_is_steered(graph: Graph, tmp_path: Path) -> None:
    graph["40"] = node("ModelSamplingSD3", model=["12", 0], shift=3.0)
    graph["13"]["inputs"]["model"] = ["40", 0]
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_a_sampler_of_another_pack_counts_whatever_it_gives(graph: Graph, tmp_path: Path) -> None:
    graph["13"] = node("OwnSampler", model=["12", 0], positive=["6", 0], seed=1)
    graph["14"] = node("OwnDecoder", sampled=["13", 0], vae=["4", 2])
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_what_writes_the_text_of_an_encoder_is_no_encoder_itself(graph: Graph, tmp_path: Path) -> None:
    graph["6"] = node("CLIPTextEncodeFlux", clip=["4", 1], clip_l=["50", 0], t5xxl=["50", 0], guidance=3.5)
    graph["50"] = node("TextGenerate", clip=["4", 1], prompt="mine")
    assert set(read(graph, tmp_path).texts) == {("6", "clip_l"), ("6", "t5xxl")}


def test_the_negative_of_a_pair_is_followed_though_nothing_takes_the_positive(graph: Graph, tmp_path: Path) -> None:
    graph["31"] = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0])
    graph["13"]["inputs"].update(positive=["31", 1], negative=["6", 0])
    assert read(graph, tmp_path).texts == (("7", "text"),)


@pytest.mark.parametrize("model", ["4", "31"])
def test_a_pair_behind_a_model_is_told_apart(model: str, graph: Graph, tmp_path: Path) -> None:
    graph["31"] = node("LTXVReferenceAudio", model=["4", 0], positive=["6", 0], negative=["7", 0])
    graph["12"]["inputs"]["model"] = [model, 0]
    graph["13"]["inputs"].update(positive=["31", 1], negative=["31", 2])
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_an_encoder_is_found_by_the_clip_it_takes_whatever_its_number(graph: Graph, tmp_path: Path) -> None:
    graph["6"] = node("OwnEncoder", clip1=["4", 1], text="mine")
    assert read(graph, tmp_path).texts == (("6", "text"),)


def test_texts_that_encoders_add_to_each_other_are_listed(graph: Graph, tmp_path: Path) -> None:
    graph["60"] = node("EncodeMore", clip=["4", 1], text="more", conditioning=["6", 0])
    graph["13"]["inputs"]["positive"] = ["60", 0]
    assert "6 (CLIPTextEncode, 'Positive'); 60 (EncodeMore)" in refusal(graph, tmp_path)


def test_music_that_a_language_model_writes_is_no_prompt(graph: Graph, tmp_path: Path) -> None:
    graph["6"] = node("YuE2GenerateMusic", clip=["4", 1], text="mine")
    assert "No text encoder was found" in refusal(graph, tmp_path)


def test_what_a_picture_in_the_prompt_was_made_from_is_no_prompt(graph: Graph, tmp_path: Path) -> None:
    graph["30"] = node("OwnVision", image=["24", 0])
    graph["13"]["inputs"]["positive"] = ["30", 0]
    assert "No text encoder was found" in refusal(graph, tmp_path)


def test_a_pair_that_is_no_wire_is_a_value(graph: Graph, tmp_path: Path) -> None:
    graph["13"]["inputs"]["own"] = ["99", True]
    assert read(graph, tmp_path).graph["13"]["inputs"]["own"] == ["99", True]
