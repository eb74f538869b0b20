"""Steering a part of the steps: every step sees exactly one copy of an entry, and entries keep what they carry."""

from __future__ import annotations

from functools import partial
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import situations, tiny, words
from test_steering import apply, apply_conditioning, by_library, ksampler, prompts

STRONG = {"operator": "add", "gate": "off", "strength": 1.0}
STEPS = {
    "sd15": ["plain", "steered", "steered", "plain"],
    "sdxl": ["plain", "steered", "steered", "plain"],
    "wan": ["plain", "steered", "steered", "steered"],
}


def _steer(entry: dict[str, Any], start: float, end: float) -> list[dict[str, Any]]:
    entries, windows = (
        running_comfyui.module("adapters.sampling.entries"),
        running_comfyui.module("adapters.sampling.step_windows"),
    )
    steering = running_comfyui.module("safety_steer.steering.steer_conditioning").SteerSettings(**STRONG)
    cut = partial(windows.cut, window=running_comfyui.module("adapters.sampling.step_windows").Window(start, end))
    return list(entries.steer_entries([entry], tiny.aligned("sd15"), steering, cut)[0])


def _entry(**extras: Any) -> dict[str, Any]:
    [[states, found]] = tiny.encode(tiny.clip("sd15"), words.DANGEROUS)
    return {**found, "cross_attn": states, **extras}


def _parts(entry: dict[str, Any], start: float, end: float) -> list[tuple[float, float, bool]]:
    parts = _steer(entry, start, end)
    return [
        (
            round(part.get("start_percent", 0.0), 4),
            round(part.get("end_percent", 1.0), 4),
            part["cross_attn"] is not entry["cross_attn"],
        )
        for part in parts
    ]


@pytest.mark.parametrize(
    ("own", "window", "expected"),
    [
        ({}, (0.0, 1.0), [(0.0, 1.0, True)]),
        ({}, (0.25, 0.75), [(0.0, 0.25, False), (0.25, 0.75, True), (0.75, 1.0, False)]),
        ({}, (0.0, 0.5), [(0.0, 0.5, True), (0.5, 1.0, False)]),
        ({}, (0.5, 1.0), [(0.0, 0.5, False), (0.5, 1.0, True)]),
        ({"start_percent": 0.3, "end_percent": 0.6}, (0.0, 1.0), [(0.3, 0.6, True)]),
        ({"start_percent": 0.3, "end_percent": 0.6}, (0.5, 1.0), [(0.3, 0.5, False), (0.5, 0.6, True)]),
        ({"start_percent": 0.3, "end_percent": 0.6}, (0.7, 1.0), [(0.3, 0.6, False)]),
        ({"end_percent": 0.5}, (0.0, 0.5), [(0.0, 0.5, True)]),
        ({}, (0.5, 0.5), [(0.0, 1.0, False)]),
        ({}, (1.0, 1.0), [(0.0, 1.0, False)]),
        ({}, (0.0, 0.0), [(0.0, 1.0, False)]),
    ],
)
def test_a_window_splits_an_entry_within_its_own_window(
    own: dict[str, float], window: tuple[float, float], expected: list[tuple[float, float, bool]]
) -> None:
    assert _parts(_entry(**own), *window) == expected


def test_parts_share_their_edges_and_keep_everything_else() -> None:
    control = object()
    parts = _steer(_entry(control=control, area=(8, 8, 0, 0), strength=0.5), 0.25, 0.75)
    assert [part["end_percent"] for part in parts[:-1]] == [part["start_percent"] for part in parts[1:]]
    for part in parts:
        assert part["control"] is control
        assert (part["area"], part["strength"]) == ((8, 8, 0, 0), 0.5)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_every_step_sees_one_copy_also_when_it_lies_on_an_edge(kind: str) -> None:
    model, aligned, used = tiny.model(kind), tiny.aligned(kind), []
    positive, negative = prompts(kind)
    windowed = apply(model, aligned, **STRONG, start_percent=0.25, end_percent=0.75)

    def record(function: Any, call: dict[str, Any]) -> Any:
        used.append(call["c"]["c_crossattn"].clone())
        return function(call["input"], call["timestep"], **call["c"])

    windowed.set_model_unet_function_wrapper(record)
    ksampler(kind, windowed, positive, negative, cfg=1.0)
    [[plain, _]], [[steered, _]] = positive, by_library(positive, aligned, **STRONG)
    seen = ["steered" if torch.equal(text, steered) else "plain" if torch.equal(text, plain) else "?" for text in used]
    assert seen == STEPS[kind]


def test_an_entry_without_text_passes() -> None:
    entry = {"pooled_output": torch.ones(1, 32), "cross_attn": None}
    assert _steer(entry, 0.0, 1.0)[0] is entry


def test_text_the_direction_does_not_cover_is_an_error() -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    with pytest.raises(error, match="conditioning_llama3"):
        _steer(_entry(conditioning_llama3=torch.ones(1, 2, 3, 4)), 0.0, 1.0)


def test_a_window_that_ends_before_it_starts_is_an_error() -> None:
    error = running_comfyui.module("safety_steer.errors").DataError
    with pytest.raises(error, match="start_percent"):
        apply(tiny.model("sd15"), tiny.aligned("sd15"), start_percent=0.8, end_percent=0.2)


@pytest.mark.parametrize("preset", running_comfyui.module("safety_steer.steering.presets").PRESETS)
def test_a_preset_stands_for_its_settings_whatever_the_other_inputs_say(preset: str) -> None:
    kind, others = "sd15", {"strength": 7.0, "operator": "add", "gate": "off", "preserve_norm": True}
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind)
    settings = running_comfyui.module("safety_steer.steering.presets").PRESETS[preset]
    chosen = ksampler(kind, apply(model, aligned, preset=preset, **others), positive, negative)
    by_hand = by_library(positive, aligned, strength=settings.strength, false_positive_rate=settings.false_positive_rate)
    assert torch.equal(chosen, ksampler(kind, model, by_hand, negative))
    assert torch.equal(chosen, ksampler(kind, model, positive, negative)) == (preset == "off")


def test_the_standard_preset_is_what_the_node_starts_with() -> None:
    settings = running_comfyui.module("nodes.settings")
    starts = {item.id: item.default for item in (*settings.inputs(), settings.preset_input())}
    assert starts["preset"] == settings.AS_SET
    assert settings.read(**starts) == settings.read(**{**starts, "preset": "standard", "strength": 0.1})


@pytest.mark.parametrize(("name", "value"), [("operator", "delete"), ("gate", "ajar"), ("preset", "harsh")])
def test_an_unknown_choice_is_an_error(name: str, value: str) -> None:
    error = running_comfyui.module("safety_steer.errors").DataError
    with pytest.raises(error, match=f"Change {name} on the node"):
        apply(tiny.model("sd15"), tiny.aligned("sd15"), **{name: value})


@pytest.mark.parametrize("operator", running_comfyui.module("safety_steer.steering.operators").OPERATORS)
def test_a_prompt_without_tokens_is_left_as_it_is_by_every_node(operator: str) -> None:
    aligned, settings = tiny.aligned("wan"), {"operator": operator, "gate": "off"}
    empty = torch.zeros(1, 0, 32)
    [[states, _]] = apply_conditioning([[empty, {}]], aligned, **settings)
    assert states is empty
    entry, steering = (
        {"cross_attn": empty},
        running_comfyui.module("safety_steer.steering.steer_conditioning").SteerSettings(**settings),
    )
    assert (
        running_comfyui.module("adapters.sampling.cross_attention").attach_steered_text(entry, 1, aligned, steering)[0] is entry
    )
    score = running_comfyui.call("SafetyScore", direction=aligned, conditioning=[[empty, {}]])
    assert score[1] is False


def split(model: Any, switch: bool) -> Any:
    """Put context windows on a model that take a prompt each, where this ComfyUI has such."""
    made = situations.SITUATIONS["context windows"].patched(model)
    handler = made.model_options["context_handler"]
    if not hasattr(handler, "split_conds_to_windows"):
        pytest.skip("these context windows share out no prompts")
    handler.split_conds_to_windows = switch
    return made


@pytest.mark.parametrize("context_windows_first", [True, False], ids=["windows before", "windows behind"])
def test_context_windows_that_share_out_prompts_are_refused_a_part_of_the_steps(context_windows_first: bool) -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    graph, part = situations.SITUATIONS["context windows"], {**STRONG, "end_percent": 0.5}
    encoded = [situations.encode(text, situations.clip("wan")) for text in (words.DANGEROUS, words.HARMLESS)]
    prompts = encoded[0] + encoded[1], situations.encode("blurry", situations.clip("wan"))

    def sampled(switch: bool = True, **settings: Any) -> torch.Tensor:
        model = tiny.model("wan")
        if context_windows_first:
            return graph.sample(apply(split(model, switch), tiny.aligned("wan"), **settings), prompts)
        return graph.sample(split(apply(model, tiny.aligned("wan"), **settings), switch), prompts)

    with pytest.raises(error, match="split_conds_to_windows"):
        sampled(**part)
    whole, plain = sampled(**{**STRONG, "strength": 1e-6}), graph.sample(split(tiny.model("wan"), True), prompts)
    torch.testing.assert_close(whole, plain, rtol=1e-3, atol=1e-3)
    every_step = sampled(**{**part, "strength": 1e-6}, site="cross-attention")
    torch.testing.assert_close(every_step, plain, rtol=1e-3, atol=1e-3)
    assert not torch.equal(sampled(**part, site="cross-attention"), plain)
    assert torch.isfinite(sampled(switch=False, **part)).all()
