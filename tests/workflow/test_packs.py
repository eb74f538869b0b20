"""Nodes of other packs: no sampler without a word, Apply where it reaches, and a true reason where it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.workflows.core_nodes import not_found_out
from support.workflows.pack_case import Case, start
from support.workflows.pack_limits import in_part
from support.workflows.pack_shapes import cases, steered
from support.workflows.sketch import Json, Wiring, loader, node, sampler, workflow
from support.workflows.wire_shapes import NOTE, broadcast

from safety_steer.cli import main
from safety_steer.workflow import add, check, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.packs import CARRIERS, SOCKETS, TABLE, given, is_known_as, member, unwired
from safety_steer.workflow.plan import LEFT, STEER, STEERED
from tools.docs import write_packs
from tools.fuzz.odd_workflows import odd_workflows

CASES = cases()
NAMES = list(CASES)


def applied(data: Json) -> tuple[str, ...]:
    """The inputs that an Apply leads to."""
    wiring = Wiring(data)
    found = []
    for path, item in wiring.nodes():
        for socket in item["inputs"]:
            origin = wiring.source(path, socket["name"])
            if origin and wiring.node(origin[0])["type"] == "ApplySafetySteer":
                found.append(f"{path}.{socket['name']}")
    return tuple(sorted(found))


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_is_named_and_steered_where_it_is_reached(name: str) -> None:
    case: Case = CASES[name]
    change = add(case.data)
    assert {verdict.sampler.node["id"]: verdict.state for verdict in change.verdicts} == case.states
    assert applied(change.data) == case.applied
    assert case.said in " ".join(verdict.reason + verdict.missed for verdict in change.verdicts)
    assert all(verdict.reason for verdict in change.verdicts if verdict.state == LEFT)
    assert any(verdict.missed for verdict in change.verdicts) == (name in in_part())


@pytest.mark.parametrize("name", NAMES)
def test_what_was_added_is_sound_stays_and_goes_again(name: str) -> None:
    data = CASES[name].data
    once = add(data).data
    twice = add(once)
    assert twice.data == once
    assert not twice.changed
    assert {verdict.state for verdict in twice.verdicts} <= {STEERED, LEFT}
    assert set(problems(once)) <= set(problems(data))
    assert remove(once).data == data


def api(**nodes: tuple[str, dict[str, Any]]) -> Json:
    """An export with a checkpoint 1 and prompts 2 and 3."""
    base = {
        "1": ("CheckpointLoaderSimple", {}),
        "2": ("CLIPTextEncode", {"text": "a", "clip": ["1", 1]}),
        "3": ("CLIPTextEncode", {"text": "b", "clip": ["1", 1]}),
    }
    named = {key.lstrip("n"): node for key, node in nodes.items()}
    return {key: {"class_type": type, "inputs": values} for key, (type, values) in (base | named).items()}


MODEL = {"model": ["1", 0]}
PROMPTED = {**MODEL, "positive": ["2", 0], "negative": ["3", 0]}


@pytest.mark.parametrize(
    ("type", "takes"),
    [
        ("ConditioningAverage", ("conditioning_to", "conditioning_from")),
        ("ConditioningConcat", ("conditioning_to", "conditioning_from")),
        ("PairConditioningCombine", ("positive_A", "positive_B")),
        ("ConditioningSetDefaultCombine", ("cond", "cond_DEFAULT")),
    ],
)
def test_combined_conditioning_of_an_export_is_text(type: str, takes: tuple[str, str]) -> None:
    data = api(
        n6=(type, dict(zip(takes, (["2", 0], ["3", 0]), strict=True))), n7=("KSampler", {**PROMPTED, "positive": ["6", 0]})
    )
    [verdict] = check(data)
    assert verdict.state == STEER
    other = {**data, "4": data["1"], "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1]}}}
    [verdict] = check(other)
    assert (verdict.state, "2 different CLIPs" in verdict.reason) == (LEFT, True)


@pytest.mark.parametrize("end", ["pixels", "image_a", "anything", "input_image", None])
def test_a_sampler_of_an_export_is_one_wherever_its_result_goes(end: str | None) -> None:
    data = api(n5=("FaceDetailer", {**PROMPTED, "image": ["9", 0]}), n9=("LoadImage", {}))
    data |= {"8": {"class_type": "Save", "inputs": {end: ["5", 0]}}} if end else {}
    assert [verdict.state for verdict in check(data)] == [STEER]
    assert add(data).data["5"]["inputs"]["model"] != ["1", 0]


@pytest.mark.parametrize("ends", [{"basic_pipe": ["5", 0]}, {"model": ["5", 0]}, {"model": ["5", 0], "anything": ["5", 1]}])
def test_what_is_called_a_sampler_is_one_also_where_only_what_it_passes_on_is_used(ends: Json) -> None:
    takes = {"basic_pipe": ["4", 0]} if "basic_pipe" in ends else PROMPTED
    data = api(n4=("ToBasicPipe", {**PROMPTED, "clip": ["1", 1]}), n5=("New Pack Sampler", takes), n6=("FromBasicPipe", ends))
    assert [(verdict.sampler.label, verdict.state) for verdict in check(data)] == [("New Pack Sampler #5", STEER)]


def test_nodes_of_an_export_that_train_or_detect_are_no_samplers() -> None:
    assert not check(api(n5=("TrainLoraNode", PROMPTED), n6=("Save", {"lora": ["5", 0]})))


def test_pipes_and_two_models_of_an_export_are_steered() -> None:
    moe = {"model_high_noise": ["1", 0], "model_low_noise": ["4", 0], "positive": ["2", 0], "negative": ["3", 0]}
    data = api(
        n4=("UNETLoader", {}),
        n5=("ToBasicPipe", {**PROMPTED, "clip": ["1", 1]}),
        n6=("ImpactKSamplerBasicPipe", {"basic_pipe": ["5", 0]}),
        n7=("WanMoeKSampler", moe),
    )
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [STEER, STEER]
    inputs = [change.data["5"]["inputs"]["model"], *(change.data["7"]["inputs"][name] for name in list(moe)[:2])]
    assert [change.data[start[0]]["class_type"] for start in inputs] == ["ApplySafetySteer"] * 3
    assert len({start[0] for start in inputs}) == 2
    assert remove(change.data).data == data


def test_prompts_steered_by_hand_are_seen_where_a_model_is_not_reached() -> None:
    apply = "conditioning:CONDITIONING<2.0 direction:ALIGNED_DIRECTION"
    xlabs = "model:MODEL<1.0 conditioning:CONDITIONING<6.0 neg_conditioning:CONDITIONING<3.0"
    by_hand = node(6, "ApplySafetySteerConditioning", apply, "CONDITIONING")
    data = workflow(*start(), by_hand, node(4, "XlabsSampler", xlabs, "LATENT"))
    assert [verdict.state for verdict in check(data)] == [STEERED]


def test_types_that_are_not_found_out_change_nothing_of_it() -> None:
    for name, case in steered().items():
        states = {verdict.sampler.node["id"]: verdict.state for verdict in check(not_found_out(case.data))}
        assert states == case.states, name


def test_a_broadcast_wire_is_drawn_only_where_nothing_is_connected() -> None:
    data = broadcast(NOTE)
    data["nodes"] = [*data["nodes"]]
    steered_now = add(data).data
    assert steered_now["extra"]["ue_links"] == [NOTE]
    assert applied(steered_now) == ("6.model",)


def test_strict_exits_with_three_where_something_stays_unsteered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def code(data: Json) -> int:
        path = tmp_path / "in.json"
        path.write_text(json.dumps(data))
        assert main(["add", str(path), "--check"]) == 0
        capsys.readouterr()
        return main(["add", str(path), "--check", "--strict"])

    assert code(workflow(*start(), sampler(4, "1.0", "2.0"))) == 0
    assert code(in_part()["a second prompt"].data) == 3
    assert "1 sampler: 1 would be steered in part (not steered: its cond2)" in capsys.readouterr().out
    assert code(CASES["a loop of its own"].data) == 3
    mixed = workflow(*start(), sampler(4, "1.0", "2.0"), sampler(5, "1.0", ""))
    assert code(mixed) == 3
    assert code(workflow(*start())) == 0


def test_the_table_is_sound() -> None:
    names = [(kind, name) for pack in TABLE["packs"] for kind, found in pack["nodes"].items() for name in found]
    assert len(names) == len(set(names))
    assert all(pack["says"].endswith(".") and "/" in pack["repository"] and pack["commit"] for pack in TABLE["packs"])
    assert set(CARRIERS) >= {"BASIC_PIPE", "DETAILER_PIPE", "PIPE_LINE", "RGTHREE_CONTEXT"}
    assert is_known_as("easy kSamplerTiled", "pipe sampler")
    assert is_known_as("Anything Everywhere?", "broadcaster")
    assert not is_known_as("Anything Everywhere!", "broadcaster")
    assert [member(one) for one in ("pos", "POSITIVE", "optional_model", "BASE_CONDITIONING+")] == [
        *("positive", "positive", "model", "positive"),
    ]


def test_the_page_is_written_from_the_table() -> None:
    assert write_packs.PAGE.read_text(encoding="utf-8") == write_packs.page(), "Write it anew: python -m tools.docs.write_packs"


def component(clip: str) -> Json:
    """What makes a pipe of a checkpoint 1 and another 4: a prompt of the first, and this CLIP in the pipe."""
    pipe = f"model:MODEL<1.0 clip:CLIP<{clip} positive:CONDITIONING<2.0 negative:CONDITIONING<3.0"
    made = node(5, "ToBasicPipe", pipe, "basic_pipe:BASIC_PIPE")
    return workflow(*start(), loader(4), made, node(6, "ComponentOutput", "BASIC_PIPE:BASIC_PIPE<5.0"))


@pytest.mark.parametrize(("clip", "state"), [("1.1", STEER), ("4.1", LEFT)])
def test_a_component_that_makes_a_pipe_is_looked_into(clip: str, state: str) -> None:
    type = "## make-basic_pipe"
    unpacked = "model:MODEL clip:CLIP vae:VAE positive:CONDITIONING negative:CONDITIONING"
    data = workflow(
        {**node(1, "pipe", "", "BASIC_PIPE"), "type": type},
        node(2, "FromBasicPipe", "basic_pipe:BASIC_PIPE<1.0", unpacked),
        sampler(3, "2.0", "2.3"),
    )
    change = add({**data, "components": {type: component(clip)}})
    assert [verdict.state for verdict in change.verdicts] == [state]
    assert [verdict.state for verdict in check(data)] == [LEFT]
    assert [verdict.state for verdict in check({**data, "components": {type: {"nodes": [7]}}})] == [LEFT]
    if state == STEER:
        wiring = Wiring(change.data)
        [align] = [item["id"] for _, item in wiring.nodes() if item["type"] == "AlignSafetyDirection"]
        assert wiring.source(str(align), "clip") == ("2", 1)
        assert applied(change.data) == ("3.model",)


PIPED = {"pipe": ["1", 0]}
EFFICIENT = {"model": ["1", 0], "positive": ["1", 1], "negative": ["1", 2], "latent_image": ["1", 3]}
LATENT = {"latent_image": ["9", 0]}


@pytest.mark.parametrize(
    ("nodes", "steered", "place"),
    [
        ({"1": ("Efficient Loader", {}), "5": ("KSampler (Efficient)", EFFICIENT)}, ("5",), ("5", "model")),
        ({"1": ("easy fullLoader", {}), "5": ("easy fullkSampler", PIPED)}, ("5",), ("5", "model")),
        ({"1": ("ttN pipeLoader_v2", {}), "5": ("ttN pipeKSampler_v2", PIPED)}, ("5",), ("5", "optional_model")),
        (
            {
                "1": ("easy fullLoader", {}),
                "5": ("easy preSampling", PIPED),
                "6": ("easy kSampler", {"pipe": ["5", 0]}),
                "7": ("easy pipeOut", {"pipe": ["6", 0]}),
            },
            ("6",),
            ("6", "model"),
        ),
        (
            {
                "1": ("CheckpointLoaderSimple", {}),
                "2": ("CLIPTextEncode", {"text": "a", "clip": ["1", 1]}),
                "5": ("ClownsharKSampler_Beta", {"model": ["1", 0], "positive": ["2", 0], **LATENT}),
                "6": ("ClownsharkChainsampler_Beta", {"latent_image": ["5", 0]}),
                "9": ("EmptyLatentImage", {}),
            },
            ("5", "6"),
            ("5", "model"),
        ),
    ],
    ids=lambda value: value["5"][0] if isinstance(value, dict) else None,
)
def test_what_an_export_leaves_out_of_a_known_node_is_known(
    nodes: dict[str, tuple[str, Json]], steered: tuple[str, ...], place: tuple[str, str]
) -> None:
    data = {key: {"class_type": type, "inputs": dict(values)} for key, (type, values) in nodes.items()}
    change = add(data)
    assert {verdict.sampler.node["id"]: verdict.state for verdict in change.verdicts} == dict.fromkeys(steered, STEER)
    node, name = place
    start = change.data[node]["inputs"][name][0]
    assert change.data[start]["class_type"] == "ApplySafetySteer"
    assert {verdict.state for verdict in check(change.data)} == {STEERED} or len(steered) > 1
    assert remove(change.data).data == data


def test_the_sockets_of_known_nodes_are_of_nodes_in_the_table_or_of_loaders() -> None:
    kinds = {kind for pack in TABLE["packs"] for kind in pack["nodes"]}
    for type, sockets in SOCKETS.items():
        assert any(is_known_as(type, kind) for kind in kinds) or "oader" in type
        assert set(sockets) <= {"inputs", "outputs"}
        assert all(name and kind for name, kind in unwired(type).items())
        assert given(type)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a-refiner-out-of-a-shared-pipe", ("5.model", "7.model")),
        ("a-prompt-of-a-pipe-as-a-model", ("5.model", "7.model")),
        ("two-samplers-in-a-circle", ("4.model", "5.model")),
    ],
)
def test_no_sampler_is_called_steered_with_another_whose_steering_its_model_does_not_pass(
    name: str, wanted: tuple[str, ...]
) -> None:
    change = add(odd_workflows()[name])
    assert applied(change.data) == wanted
    assert {verdict.state for verdict in change.verdicts} == {STEER}
    assert {verdict.state for verdict in check(change.data)} == {STEERED}
