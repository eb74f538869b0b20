"""Apply Safety Steer (WanVideoWrapper): the text embeds of kijai's nodes, steered like the library steers their tensors."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from operator import is_
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words

SETTINGS = {"strength": 1.0, "operator": "erase", "gate": "hard", "preserve_norm": False}
OPERATORS = ("erase", "clip", "project", "add")


def states(prompt: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Encode a prompt as the wrapper does: (T, D) without padding."""
    [rows] = tiny.encode(tiny.clip("wan"), prompt)[0][0]
    made: torch.Tensor = rows[(rows != 0).any(-1)].to(dtype)
    return made


def text_embeds(*prompts: str, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Make the dictionary of WanVideo TextEncode, with what its other nodes add to it."""
    return {
        "prompt_embeds": [states(prompt, dtype) for prompt in prompts],
        "negative_prompt_embeds": [states(words.DANGEROUS, dtype)],
        "nag_prompt_embeds": [states(words.DANGEROUS, dtype)],
        "nag_params": {"nag_scale": 11.0},
        "echoshot": True,
    }


@cache
def aligned() -> Any:
    """Align with the gate of older directions: to the newer one a prompt that goes on harmlessly is no longer unsafe enough."""
    direction = replace(tiny.direction("wan"), examples=None)
    inputs = {"direction": direction, "clip": tiny.clip("wan"), "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **inputs)[0]


def steer(embeds: Any, direction: Any = None, **changes: Any) -> Any:
    direction = aligned() if direction is None else direction
    return running_comfyui.call("ApplySafetySteerWanVideo", text_embeds=embeds, direction=direction, **{**SETTINGS, **changes})[
        0
    ]


def by_library(part: torch.Tensor, **changes: Any) -> torch.Tensor:
    apply = running_comfyui.module("safety_steer.steering.steer_conditioning")
    settings = apply.SteerSettings(**{**SETTINGS, **changes})
    made: torch.Tensor = apply.steer_conditioning({"cross_attn": part[None]}, aligned(), settings).tensors["cross_attn"][0]
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_every_prompt_is_steered_like_the_library_steers_it(operator: str, dtype: torch.dtype) -> None:
    embeds = text_embeds(words.DANGEROUS, f"{words.DANGEROUS} in a city", dtype=dtype)
    settings = {"operator": operator, "strength": 1.5, "preserve_norm": operator == "add"}
    for before, after in zip(embeds["prompt_embeds"], steer(embeds, **settings)["prompt_embeds"], strict=True):
        assert torch.equal(after, by_library(before, **settings))
        assert not torch.equal(after, before)
        assert (after.dtype, after.shape) == (dtype, before.shape)


@pytest.mark.parametrize("gate", ["hard", "soft"])
def test_only_flagged_prompts_move_and_everything_else_is_the_same_object(gate: str) -> None:
    embeds = text_embeds(words.HARMLESS, words.DANGEROUS)
    lists = {name: list(value) for name, value in embeds.items() if isinstance(value, list)}
    bits = {name: [part.clone() for part in parts] for name, parts in lists.items()}
    harmless, dangerous = embeds["prompt_embeds"]
    steered = steer(embeds, gate=gate)
    assert steered["prompt_embeds"][0] is harmless
    assert not torch.equal(steered["prompt_embeds"][1], dangerous)
    assert list(steered) == list(embeds) == [*lists, "nag_params", "echoshot"]
    assert all(steered[name] is embeds[name] for name in embeds if name != "prompt_embeds")
    for name, parts in lists.items():
        assert all(map(is_, embeds[name], parts)), name
        assert all(map(torch.equal, parts, bits[name])), name


@pytest.mark.parametrize(
    ("prompt", "changes"),
    [
        (words.DANGEROUS, {"strength": 0.0}),
        (words.DANGEROUS, {"strength": 0.0, "gate": "off", "operator": "add"}),
        (words.HARMLESS, {}),
        (words.HARMLESS, {"operator": "add"}),
        ("", {}),
    ],
    ids=str,
)
def test_strength_0_and_a_closed_gate_give_the_same_tensors(prompt: str, changes: dict[str, Any]) -> None:
    embeds = text_embeds(prompt, prompt)
    steered = steer(embeds, **changes)["prompt_embeds"]
    assert all(map(is_, steered, embeds["prompt_embeds"]))


@pytest.mark.parametrize(("prompt", "moves"), [(words.DANGEROUS, True), (words.HARMLESS, False)], ids=["unsafe", "harmless"])
def test_the_padded_tensor_of_the_bridge_stays_one(prompt: str, moves: bool) -> None:
    before = tiny.encode(tiny.clip("wan"), prompt)[0][0]
    embeds = {"prompt_embeds": before, "negative_prompt_embeds": None}
    steered = steer(embeds)
    assert set(steered) == set(embeds)
    assert (steered["prompt_embeds"] is not before) == moves
    assert torch.equal(steered["prompt_embeds"][0], by_library(before[0]))
    assert torch.equal(before, tiny.encode(tiny.clip("wan"), prompt)[0][0])
    padding = (before[0] == 0).all(-1)
    assert padding.any()
    assert (steered["prompt_embeds"][0][padding] == 0).all()


def test_the_node_says_what_it_did_to_each_prompt(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "safety_steer"):
        steer(text_embeds(words.HARMLESS, words.DANGEROUS))
    first, second = caplog.text.split("entry 2:")
    assert "entry 1:\nprompt 1: benign" in first
    assert "prompt 1: flagged as weapons" in second


@pytest.mark.parametrize(
    "embeds",
    [
        None,
        [],
        {},
        torch.zeros(3, 32),
        {"prompt_embeds": None},
        {"prompt_embeds": []},
        {"prompt_embeds": ()},
        {"prompt_embeds": torch.zeros(3, 32)},
        {"prompt_embeds": torch.zeros(1, 0, 32)},
        {"prompt_embeds": [torch.zeros(1, 3, 32)]},
        {"prompt_embeds": [torch.zeros(3, 32), None]},
        {"prompt_embeds": ["a cat"]},
        {"prompt_embeds": [torch.zeros(0, 32)]},
        {"negative_prompt_embeds": [torch.zeros(3, 32)]},
    ],
    ids=lambda value: repr(value).replace("\n", "")[:60],
)
def test_text_embeds_without_prompts_are_an_error(embeds: Any, error: Any) -> None:
    with pytest.raises(error, match=r"hold no prompt_embeds.*Connect the text_embeds of WanVideo TextEncode"):
        steer(embeds)


def test_prompts_of_another_encoder_are_an_error(error: Any) -> None:
    embeds = text_embeds(words.DANGEROUS)
    with pytest.raises(error, match=r"aligned to cross_attn of width 80.*Align the direction"):
        steer(embeds, tiny.aligned("sdxl"))
    with pytest.raises(error, match="comes from another text encoder"):
        steer({**embeds, "prompt_embeds": [100 * embeds["prompt_embeds"][0] + 50]})
    with pytest.raises(error, match="NaN or Inf"):
        steer({**embeds, "prompt_embeds": [embeds["prompt_embeds"][0] / 0]})


def test_a_direction_without_the_main_text_is_an_error(error: Any) -> None:
    aligned = tiny.aligned("sdxl")
    other = type(aligned)(**{**vars(aligned), "spaces": {"pooled_output": aligned.spaces["pooled_output"]}, "places": {}})
    with pytest.raises(error, match=r"aligned to pooled_output, but the conditioning has cross_attn. Align the direction"):
        steer(text_embeds(words.DANGEROUS), other)


@pytest.mark.parametrize("changes", [{"operator": "magic"}, {"gate": "open"}], ids=str)
def test_unknown_settings_are_an_error(changes: dict[str, str], error: Any) -> None:
    [(name, value)] = changes.items()
    with pytest.raises(error, match=f"Expected {name} .*but got '{value}'. Change {name} on the node"):
        steer(text_embeds(words.DANGEROUS), **changes)


def test_the_inputs_are_those_of_apply_safety_steer_without_the_window() -> None:
    import nodes

    ids = [item.id for item in nodes.NODE_CLASS_MAPPINGS["ApplySafetySteerWanVideo"].GET_SCHEMA().inputs]
    assert ids == ["text_embeds", "direction", *SETTINGS, "preset"]
