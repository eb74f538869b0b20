"""A sampler with a loop of its own asks no wrapper: the Apply node, the log and the report say that it was not steered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
from support.comfyui import words
from support.comfyui.reporting import KEPT, TinyText, _keeper, with_report  # noqa: F401
from test_queue import LATENTS, _loaders, graph, node  # noqa: F401

import nodes

UNASKED = "{} ran without asking Safety Steer"


class TinyLoop:
    """Samples in a loop of its own, as the samplers of some packs do: it calls the model and none of ComfyUI's samplers."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "sample"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        wires = {"model": ("MODEL",), "positive": ("CONDITIONING",), "latent_image": ("LATENT",)}
        return {"required": {**wires, "seed": ("INT", {"default": 1})}}

    def sample(self, model: Any, positive: Any, latent_image: dict[str, Any], seed: int) -> tuple[dict[str, Any]]:
        comfy.model_management.load_models_gpu([model])
        x = torch.randn(latent_image["samples"].shape, generator=torch.Generator().manual_seed(seed))
        for sigma in (10.0, 1.0):
            x = x + 0.1 * (model.model.apply_model(x, torch.full((len(x),), sigma), c_crossattn=positive[0][0]) - x)
        return ({"samples": x},)


class TinyPass(TinyLoop):
    """Somebody's node for the MODEL wire, with an output of any type."""

    RETURN_TYPES = ("*",)
    FUNCTION = "give"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"value": ("*",)}}

    def give(self, value: Any) -> tuple[Any]:
        return (value,)


@pytest.fixture(autouse=True)
def _loops() -> Iterator[None]:
    nodes.NODE_CLASS_MAPPINGS.update(TinyLoop=TinyLoop, TinyPass=TinyPass)
    yield
    del nodes.NODE_CLASS_MAPPINGS["TinyLoop"], nodes.NODE_CLASS_MAPPINGS["TinyPass"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what stands on the nodes: the last text that was sent to each."""
    texts: dict[str, str] = {}
    server = SimpleNamespace(client_id="me", send_progress_text=lambda text, node_id, _sid: texts.update({node_id: text}))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    return texts


def loop(model: str = "apply", **changes: Any) -> dict[str, Any]:
    return node("TinyLoop", model=[model, 0], positive=["positive", 0], latent_image=["load", 2], seed=1, **changes)


def looping(**changes: Any) -> dict[str, Any]:
    """Return the graph of the queue tests with a sampler that loops on its own."""
    made = graph("sd15", **changes)
    made["sample"] = loop()
    return made


def test_a_sampler_with_its_own_loop_is_named_on_the_node_and_in_the_log(
    shown: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "safety_steer"):
        running_comfyui.Queue().run(looping())
    assert UNASKED.format("TinyLoop (node sample)") in shown["apply"]
    assert UNASKED.format("TinyLoop (node sample)") in caplog.text
    made = looping()
    made["sample"]["inputs"]["model"] = ["load", 0]
    running_comfyui.Queue().run(made)
    assert torch.equal(*LATENTS)


def test_the_report_says_it_in_words_and_as_data() -> None:
    outputs = running_comfyui.Queue().run(with_report(looping()))
    assert KEPT["report text"].startswith("Not steered: TinyLoop (node sample) ran without asking Safety Steer")
    data = json.loads(KEPT["report"])
    assert data["prompts"] == []
    [line] = data["not_reached"]
    assert line in KEPT["report text"]
    assert outputs["report"]["images"]


def test_it_is_said_anew_when_only_the_sampler_runs_again(shown: dict[str, str]) -> None:
    queue = running_comfyui.Queue()
    queue.run(with_report(looping()))
    for seed, executed in ((2, True), (2, False), (1, True)):
        shown.clear()
        KEPT.clear()
        made = with_report(looping())
        made["sample"]["inputs"]["seed"] = seed
        queue.run(made)
        assert "apply" not in queue.executed
        assert ("sample" in queue.executed) is executed
        assert ("apply" in shown) is executed
        assert ("report text" in KEPT) is executed
    assert KEPT["report text"].startswith("Not steered: TinyLoop")


def test_another_theme_of_the_report_does_not_forget_it() -> None:
    queue = running_comfyui.Queue()
    queue.run(with_report(looping()))
    queue.run(with_report(looping(), theme="light"))
    assert "sample" not in queue.executed
    assert KEPT["report text"].startswith("Not steered: TinyLoop")


def test_a_sampler_that_asks_is_not_named(shown: dict[str, str]) -> None:
    running_comfyui.Queue().run(with_report(graph("sd15")))
    assert "flagged" in shown["apply"]
    assert "without asking" not in shown["apply"]
    assert json.loads(KEPT["report"])["not_reached"] == []


@pytest.mark.parametrize("first", ["a loop", "a sampler"])
def test_of_two_samplers_the_one_that_did_not_ask_is_named_beside_what_was_done_for_the_other(
    first: str, shown: dict[str, str]
) -> None:
    made = graph("sd15")
    made["other"] = loop()
    made["other"]["inputs"]["latent_image" if first == "a sampler" else "positive"] = (
        ["sample", 0] if first == "a sampler" else ["positive", 0]
    )
    if first == "a loop":
        made["sample"]["inputs"]["latent_image"] = ["other", 0]
    made["keep other"] = node("TinyKeeper", latent=["other", 0])
    made = with_report(made, sampler="sample" if first == "a loop" else "other")
    running_comfyui.Queue().run(made)
    assert "flagged" in shown["apply"]
    assert UNASKED.format("TinyLoop (node other)") in shown["apply"]
    assert UNASKED.format("KSampler") not in shown["apply"]
    assert len(json.loads(KEPT["report"])["prompts"]) == 1
    [line] = json.loads(KEPT["report"])["not_reached"]
    assert UNASKED.format("TinyLoop (node other)") in line


def test_the_model_is_followed_through_other_nodes_and_wires_of_any_type(shown: dict[str, str]) -> None:
    made = looping()
    made["pass"] = node("TinyPass", value=["apply", 0])
    made["sample"]["inputs"]["model"] = ["pass", 0]
    made["sample"]["_meta"] = {"title": "My loop"}
    if not running_comfyui.validate(made)[0]:
        pytest.skip("this ComfyUI takes no wire of any type into an input of one")
    running_comfyui.Queue().run(made)
    assert UNASKED.format("My loop (node sample)") in shown["apply"]


def test_steering_that_a_merge_drops_is_missed(shown: dict[str, str]) -> None:
    made = graph("sd15")
    made["merge"] = node("ModelMergeSimple", model1=["load", 0], model2=["apply", 0], ratio=1.0)
    made["sample"]["inputs"]["model"] = ["merge", 0]
    running_comfyui.Queue().run(made)
    assert UNASKED.format("KSampler (node sample)") in shown["apply"]
    made["merge"]["inputs"].update(model1=["apply", 0], model2=["load", 0])
    running_comfyui.Queue().run(made)
    assert "flagged" in shown["apply"]
    assert "without asking" not in shown["apply"]


def test_a_loop_beside_the_steered_model_is_not_named(shown: dict[str, str]) -> None:
    made = graph("sd15")
    made["other"] = loop("load")
    made["keep other"] = node("TinyKeeper", latent=["other", 0])
    running_comfyui.Queue().run(made)
    assert "flagged" in shown["apply"]
    assert "without asking" not in shown["apply"]


def test_both_apply_nodes_on_the_wire_say_it(shown: dict[str, str]) -> None:
    made = looping()
    made["again"] = {**made["apply"], "inputs": {**made["apply"]["inputs"], "model": ["apply", 0]}}
    made["sample"]["inputs"]["model"] = ["again", 0]
    running_comfyui.Queue().run(made)
    assert all(UNASKED.format("TinyLoop (node sample)") in shown[name] for name in ("apply", "again"))


def test_a_node_that_only_adds_noise_is_no_sampler(shown: dict[str, str]) -> None:
    made = graph("sd15")
    made["noise"] = node("RandomNoise", noise_seed=1)
    made["sigmas"] = node("BasicScheduler", model=["apply", 0], scheduler="simple", steps=2, denoise=1.0)
    made["noisy"] = node("AddNoise", model=["apply", 0], noise=["noise", 0], sigmas=["sigmas", 0], latent_image=["load", 2])
    made["keep noisy"] = node("TinyKeeper", latent=["noisy", 0])
    running_comfyui.Queue().run(made)
    assert "flagged" in shown["apply"]
    assert "without asking" not in shown["apply"]


def test_a_sampler_behind_a_guider_asks(shown: dict[str, str]) -> None:
    made = graph("sd15", prompt=words.DANGEROUS)
    made["noise"] = node("RandomNoise", noise_seed=1)
    made["chosen"] = node("KSamplerSelect", sampler_name="euler")
    made["sigmas"] = node("BasicScheduler", model=["apply", 0], scheduler="simple", steps=2, denoise=1.0)
    made["guider"] = node("BasicGuider", model=["apply", 0], conditioning=["positive", 0])
    wires = {"noise": ["noise", 0], "guider": ["guider", 0], "sampler": ["chosen", 0], "sigmas": ["sigmas", 0]}
    made["sample"] = node("SamplerCustomAdvanced", latent_image=["load", 2], **wires)
    running_comfyui.Queue().run(made)
    assert "flagged" in shown["apply"]
    assert "without asking" not in shown["apply"]


def test_nodes_with_the_same_inputs_share_a_key_whatever_their_ids() -> None:
    same_inputs = running_comfyui.module("adapters.queued_prompt").same_inputs
    made = looping()
    renamed = json.loads(json.dumps(made).replace('"apply"', '"5"').replace('"sample"', '"7"'))
    assert same_inputs(made, "sample") == same_inputs(renamed, "7")
    assert same_inputs(made, "sample") != same_inputs(looping(strength=0.5), "sample")
    odd = {"1": {"class_type": "A", "inputs": {"value": {1: object()}, "loop": ["1", 0]}}}
    assert same_inputs(odd, "1")
