"""Whole graphs through ComfyUI's own executor: caching, what the nodes show, wires that cannot be drawn."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words

import nodes

LATENTS: list[torch.Tensor] = []


class TinyLoader:
    """Stands in for the checkpoint loaders."""

    RETURN_TYPES = ("MODEL", "CLIP", "LATENT", "SAFETY_DIRECTION")
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"kind": (list(tiny.KINDS),)}}

    def load(self, kind: str) -> tuple[Any, ...]:
        return tiny.model(kind), tiny.clip(kind), tiny.latent(kind), tiny.direction(kind)


class TinyKeeper:
    """Ends a graph and keeps its latent."""

    RETURN_TYPES = ()
    FUNCTION = "keep"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"latent": ("LATENT",)}}

    def keep(self, latent: dict[str, torch.Tensor]) -> dict[str, Any]:
        LATENTS.append(latent["samples"])
        return {}


@pytest.fixture(autouse=True)
def _loaders() -> Any:
    LATENTS.clear()
    nodes.NODE_CLASS_MAPPINGS.update(TinyLoader=TinyLoader, TinyKeeper=TinyKeeper)
    yield
    del nodes.NODE_CLASS_MAPPINGS["TinyLoader"], nodes.NODE_CLASS_MAPPINGS["TinyKeeper"]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def graph(kind: str, strength: float = 1.0, prompt: str = words.DANGEROUS) -> dict[str, Any]:
    steering = {"operator": "erase", "gate": "hard", "start_percent": 0.0, "end_percent": 1.0, "preserve_norm": False}
    sampling = {"seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    strengths = {"global": 1.0, **dict.fromkeys(tiny.CATEGORIES, 0.0)}
    wires = {"positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["load", 2]}
    return {
        "load": node("TinyLoader", kind=kind),
        "positive": node("CLIPTextEncode", clip=["load", 1], text=prompt),
        "negative": node("CLIPTextEncode", clip=["load", 1], text="blurry"),
        "align": node("AlignSafetyDirection", direction=["load", 3], clip=["load", 1], map="ridge", max_anchors=2048),
        "mixer": node("SafetyCategoryMixer", direction=["align", 0], **strengths),
        "apply": node("ApplySafetySteer", model=["load", 0], direction=["mixer", 0], strength=strength, **steering),
        "sample": node("KSampler", model=["apply", 0], **wires, **sampling),
        "keep": node("TinyKeeper", latent=["sample", 0]),
    }


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_second_queue_of_the_same_graph_executes_nothing(kind: str) -> None:
    queue, made = running_comfyui.Queue(), graph(kind)
    queue.run(made)
    assert set(queue.executed) == set(made)
    queue.run(made)
    assert queue.executed == []


def test_another_strength_runs_only_what_depends_on_it() -> None:
    queue = running_comfyui.Queue()
    queue.run(graph("sd15"))
    queue.run(graph("sd15", strength=0.0))
    assert set(queue.executed) == {"apply", "sample", "keep"}
    steered, plain = LATENTS
    assert not torch.equal(steered, plain)


def test_the_nodes_show_what_they_did(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    shown: list[tuple[str, str]] = []
    server = SimpleNamespace(client_id="me", send_progress_text=lambda text, node_id, _sid: shown.append((node_id, text)))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    caplog.set_level("INFO")
    outputs = running_comfyui.Queue().run(graph("sd15"))
    assert "erase at strength 1" in outputs["apply"]["text"][0]
    assert "SD1ClipModel, fitted now" in outputs["align"]["text"][0]
    [text] = [text for node_id, text in shown if node_id == "apply"]
    assert "flagged" in text
    assert "tokens (" in text
    assert "moved" in text
    assert any("flagged" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("running", "place"),
    [
        ({"apply": "ApplySafetySteer", "2": "KSampler"}, "apply"),
        ({"apply": "KSampler", "2": "ApplySafetySteer"}, "2"),
        ({"apply": "KSampler"}, None),
        ({"2": "ApplySafetySteer", "3": "ApplySafetySteer"}, None),
    ],
)
def test_what_a_kept_node_did_is_shown_on_the_node_of_the_workflow_that_runs(
    running: dict[str, str], place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    prompt = {number: {"class_type": kind} for number, kind in running.items()}
    server = SimpleNamespace(
        client_id="me",
        send_progress_text=lambda _text, node_id, _sid: shown.append(node_id),
        prompt_queue=SimpleNamespace(currently_running={0: (0, "id", prompt, {}, [])}),
    )
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    running_comfyui.module("adapters.node_text").show("apply", "moved", "ApplySafetySteer")
    assert shown == ([place] if place else [])


def test_a_source_direction_cannot_be_applied() -> None:
    made = graph("sd15")
    made["apply"]["inputs"]["direction"] = ["load", 3]
    valid, _, _, errors = running_comfyui.validate(made)
    assert not valid
    assert errors["apply"]["errors"][0]["type"] == "return_type_mismatch"
