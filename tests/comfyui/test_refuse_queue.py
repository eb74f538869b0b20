"""Refuse Unsafe Prompt in queued graphs: what is computed and when, what a run that stops says, and that nothing is kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words
from test_queue import LATENTS, _loaders, graph, node  # noqa: F401
from test_refuse_prompt import SAFE, WAYS
from test_steering import prompts

import nodes


def refusing(kind: str, prompt: str, way: str = "replace", **wires: Any) -> dict[str, Any]:
    """Return a graph that refuses an unsafe prompt before it is sampled."""
    made = graph(kind, prompt=prompt)
    for spare in ("apply", "mixer"):
        del made[spare]
    inputs = {"when_unsafe": way, "safe_prompt": SAFE, "gate": "hard", "preset": "standard", **wires}
    made["refuse"] = node("RefuseUnsafePrompt", conditioning=["positive", 0], direction=["align", 0], **inputs)
    made["sample"]["inputs"] |= {"model": ["load", 0], "positive": ["refuse", 0]}
    return made


@pytest.mark.parametrize("way", ["replace", "steer"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_second_queue_executes_nothing(kind: str, way: str) -> None:
    queue, made = running_comfyui.Queue(), refusing(kind, words.DANGEROUS, way, clip=["load", 1])
    outputs = queue.run(made)
    assert set(queue.executed) == set(made)
    assert "flagged as weapons" in outputs["refuse"]["text"][0]
    queue.run(made)
    assert queue.executed == []


def test_a_replacement_is_computed_only_for_an_unsafe_prompt() -> None:
    queue, other = running_comfyui.Queue(), {"other": node("CLIPTextEncode", clip=["load", 1], text=SAFE)}
    harmless = {**refusing("sd15", words.HARMLESS, replacement=["other", 0]), **other}
    queue.run(harmless)
    assert set(queue.executed) == set(harmless) - {"other"}
    queue.run(harmless)
    assert queue.executed == []
    unsafe = {**refusing("sd15", words.DANGEROUS, replacement=["other", 0]), **other}
    queue.run(unsafe)
    assert {"other", "refuse", "sample"} <= set(queue.executed)
    safe = tiny.encode(tiny.clip("sd15"), SAFE)
    settings = {"seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    wires = {"model": tiny.model("sd15"), "positive": safe, "negative": prompts("sd15")[1], "latent_image": tiny.latent("sd15")}
    assert torch.equal(LATENTS[-1], running_comfyui.call("KSampler", **wires, **settings)[0]["samples"])


@pytest.mark.skipif("ComfySwitchNode" not in nodes.NODE_CLASS_MAPPINGS, reason="this ComfyUI has no switch")
@pytest.mark.parametrize("prompt", [words.DANGEROUS, words.HARMLESS])
def test_refused_drives_a_lazy_branch_of_core(prompt: str) -> None:
    queue, made = running_comfyui.Queue(), refusing("sd15", prompt, "steer")
    made["switch"] = node("ComfySwitchNode", switch=["refuse", 1], on_false=["sample", 0], on_true=["load", 2])
    made["keep"]["inputs"]["latent"] = ["switch", 0]
    queue.run(made)
    assert ("sample" in queue.executed) is (prompt == words.HARMLESS)
    assert bool(LATENTS[-1].any()) is (prompt == words.HARMLESS)


@pytest.mark.parametrize("connected", [False, True])
def test_a_run_that_stops_names_the_prompt(connected: bool) -> None:
    made = refusing("sd15", words.DANGEROUS, "stop", **({"clip": ["load", 1]} if connected else {}))
    made["harmless"] = node("CLIPTextEncode", clip=["load", 1], text=words.HARMLESS)
    made["both"] = node("ConditioningCombine", conditioning_1=["harmless", 0], conditioning_2=["positive", 0])
    made["refuse"]["inputs"]["conditioning"] = ["both", 0]
    queue = running_comfyui.Queue()
    valid, error, outputs, node_errors = running_comfyui.validate(made)
    assert valid, (error, node_errors)
    queue.executor.execute(made, "stopped", {"client_id": "test"}, outputs)
    assert not queue.executor.success
    assert "sample" not in queue.executed
    [said] = [data["exception_message"] for event, data in queue.executor.status_messages if event == "execution_error"]
    harmless_too = "" if connected else f"'{words.HARMLESS}' or "
    assert f"the prompt {harmless_too}'{words.DANGEROUS}' is flagged as weapons" in said


class Broken:
    """A replacement that cannot be made."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "fail"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"clip": ("CLIP",)}}

    def fail(self, **_: Any) -> None:
        raise RuntimeError("broken replacement")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note every time that the gate is asked about a conditioning: what it said, without keeping it alive."""
    module, found = running_comfyui.module("adapters.refuse_prompts"), list[Any]()
    judge = module.judge

    def noted(*args: Any) -> Any:
        verdicts = judge(*args)
        found.append(weakref.ref(verdicts[0]))
        return verdicts

    monkeypatch.setattr(module, "judge", noted)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prompt", [words.DANGEROUS, words.HARMLESS], ids=["unsafe", "harmless"])
@pytest.mark.parametrize("wires", [{"clip": ["load", 1]}, {"replacement": ["other", 0]}], ids=lambda wires: next(iter(wires)))
def test_a_run_asks_the_gate_once_and_keeps_nothing(
    prompt: str, way: str, wires: dict[str, Any], judged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, encoded = tiny.clip("sd15"), list[Any]()
    encode = type(clip).encode_from_tokens_scheduled
    noted = lambda self, tokens, *args, **more: (encoded.append(tokens), encode(self, tokens, *args, **more))[1]  # noqa: E731
    monkeypatch.setattr(type(clip), "encode_from_tokens_scheduled", noted)
    made = {**refusing("sd15", prompt, way, **wires), "other": node("CLIPTextEncode", clip=["load", 1], text=SAFE)}
    unsafe, queue = prompt == words.DANGEROUS, running_comfyui.Queue()
    valid, error, outputs, node_errors = running_comfyui.validate(made)
    assert valid, (error, node_errors)
    for _ in range(1 if unsafe and way == "stop" else 2):  # a second queue executes nothing
        queue.executor.execute(made, "once", {"client_id": "test"}, outputs)
        assert queue.executor.success is not (unsafe and way == "stop")
        assert len(judged) == 1
        assert encoded.count(clip.tokenize(prompt)) == 1
        assert encoded.count(clip.tokenize(SAFE)) == (unsafe and way == "replace")
    gc.collect()
    assert judged[0]() is None


def test_a_run_that_fails_in_between_keeps_nothing_and_the_next_one_asks_anew(
    judged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "Broken", Broken)
    made = {
        **refusing("sd15", words.DANGEROUS, replacement=["broken", 0]),
        "broken": node("Broken", clip=["load", 1]),
    }
    queue = running_comfyui.Queue()
    for times in (1, 2):
        valid, error, outputs, node_errors = running_comfyui.validate(made)
        assert valid, (error, node_errors)
        queue.executor.execute(made, f"broken {times}", {"client_id": "test"}, outputs)
        assert not queue.executor.success
        assert len(judged) == times
        gc.collect()
        assert judged[-1]() is None


def test_two_nodes_with_other_settings_are_judged_apart(judged: list[Any]) -> None:
    made = refusing("sd15", words.DANGEROUS, clip=["load", 1])
    second = {**made["refuse"]["inputs"], "preset": "off", "when_unsafe": "steer"}
    made["second"] = node("RefuseUnsafePrompt", **second)
    made["both"] = node("ConditioningCombine", conditioning_1=["refuse", 0], conditioning_2=["second", 0])
    made["sample"]["inputs"]["positive"] = ["both", 0]
    outputs = running_comfyui.Queue().run(made)
    assert len(judged) == 2
    assert "flagged as weapons" in outputs["refuse"]["text"][0]
    assert "nothing is refused" in outputs["second"]["text"][0]


def test_outside_a_run_nothing_waits(judged: list[Any]) -> None:
    kind = nodes.NODE_CLASS_MAPPINGS["RefuseUnsafePrompt"]
    assert kind.check_lazy_status(prompts("sd15")[0], tiny.aligned("sd15"), clip=None) == ["clip"]
    gc.collect()
    assert judged[0]() is None
