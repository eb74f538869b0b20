"""Prompts beside the positive one: a second positive is steered, and what hands a model prompts of its own is named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.hooks
import comfy.samplers
import pytest
import torch
from support.comfyui import situations, tiny, words
from support.comfyui.situations import encode
from test_steering import DEFAULTS, Conditioning, by_library

BAKED = "another node hands this model a prompt of its own ({})"
MIDDLE = "Guider_DualCFG also samples with 'middle', a prompt that stays as it is"


class TwoPositives(comfy.samplers.CFGGuider):
    """Somebody's guider: the mean of two prompts, under names of its own."""

    def set_conds(self, first: Conditioning, second: Conditioning, negative: Conditioning, names: tuple[str, str]) -> None:
        self.names = names
        self.inner_set_conds({names[0]: first, names[1]: second, "negative": negative})

    def predict_noise(self, x: Any, timestep: Any, model_options: Any, *_: Any) -> Any:
        sides = [self.conds[name] for name in (*self.names, "negative")]
        first, second, negative = comfy.samplers.calc_cond_batch(self.inner_model, sides, x, timestep, model_options)
        return negative + 4.0 * ((first + second) / 2 - negative)


def guided(model: Any, first: Conditioning, second: Conditioning, names: tuple[str, str]) -> torch.Tensor:
    guider = TwoPositives(model)
    guider.set_conds(first, second, encode("blurry"), names)
    return situations.sample(guider, tiny.LATENTS["sd15"])


def steered(site: str = "conditioning", model: Any = None, **settings: Any) -> tuple[Any, Any]:
    """Return a model that steers, and its log."""
    inputs = {**DEFAULTS, "preserve_norm": False, "site": site, **settings}
    patched, log = running_comfyui.call(
        "ApplySafetySteer", model=model or tiny.model("sd15"), direction=tiny.aligned("sd15"), **inputs
    )
    return patched, log


@pytest.mark.parametrize("site", situations.SITES)
@pytest.mark.parametrize("names", [("positive", "positive2"), ("positive_b", "positive"), ("pos_1", "pos_2")])
def test_a_second_positive_is_steered_as_the_first(names: tuple[str, str], site: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = encode(words.DANGEROUS), encode(words.DANGEROUS + " at night")
    direction = situations.reachable(tiny.aligned("sd15"), site)
    with caplog.at_level("INFO", "safety_steer"):
        patched, log = steered(site)
        made = guided(patched, first, second, names)
    plain = tiny.model("sd15")
    expected = guided(plain, by_library(first, direction), by_library(second, direction), names)
    assert torch.equal(made, expected)
    assert not torch.equal(made, guided(plain, by_library(first, direction), second, names))
    assert len(log.records()) == 2
    assert all(f"{name}:\nprompt 1: flagged" in caplog.text for name in names)


def test_of_two_positives_the_harmless_one_keeps_its_bits() -> None:
    first, second, names = encode(words.HARMLESS), encode(words.DANGEROUS), ("positive", "positive2")
    patched, _ = steered()
    expected = guided(tiny.model("sd15"), first, by_library(second, tiny.aligned("sd15")), names)
    assert torch.equal(guided(patched, first, second, names), expected)


def test_strength_0_changes_no_positive() -> None:
    first, second, names = encode(words.DANGEROUS), encode(words.DANGEROUS), ("positive", "positive2")
    patched, _ = steered(strength=0.0)
    assert torch.equal(guided(patched, first, second, names), guided(tiny.model("sd15"), first, second, names))


def test_roles_are_told_apart_by_their_names() -> None:
    roles = running_comfyui.module("adapters.sampling.roles")
    entries = [{"cross_attn": torch.ones(1, 2, 3)}]
    names = ("negative", "empty_negative_prompt", "uncond", "middle", "positive_2", "refiner_positive", "positive", "composed")
    conds = {**dict.fromkeys(names, entries), "safety_steer_answers": entries, "no_text": [{"cross_attn": None}]}
    assert roles.positive(conds) == ["positive", "positive_2", "refiner_positive"]
    assert roles.unknown(conds) == ["middle", "composed"]


def test_a_prompt_that_is_neither_positive_nor_negative_is_named_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    patched, log = steered()
    prompt, negative = encode(words.DANGEROUS), encode("blurry")
    sampled = partial(situations.sample, shape=tiny.LATENTS["sd15"])
    with caplog.at_level("INFO", "safety_steer"):
        made = sampled(situations.dual_guider(patched, prompt, negative, words.DANGEROUS))
    assert MIDDLE in caplog.text
    assert any(MIDDLE in line for line in log.notices())
    expected = situations.dual_guider(tiny.model("sd15"), by_library(prompt, tiny.aligned("sd15")), negative, words.DANGEROUS)
    assert torch.equal(made, sampled(expected))


class Couple:
    """Somebody's attention couple: it mixes a prompt of its own into every cross-attention."""

    def __init__(self, prompts: list[Any]) -> None:
        self.prompts = prompts

    def __call__(self, n: Any, context: Any, value: Any, _: Any) -> Any:
        own = self.prompts[0][0].expand(len(context), -1, -1)
        return n, (context + own) / 2, (value + own) / 2


def as_object(patched: Any, prompt: Conditioning) -> None:
    patched.set_model_attn2_patch(Couple(prompt))


def as_method(patched: Any, prompt: Conditioning) -> None:
    patched.set_model_attn2_patch(Couple(prompt).__call__)


def as_function(patched: Any, prompt: Conditioning) -> None:
    kept = [{"cross_attn": prompt[0][0]}]
    patched.set_model_attn2_patch(lambda *inputs: Couple([[kept[0]["cross_attn"]]])(*inputs))


def as_wrapper(patched: Any, prompt: Conditioning) -> None:
    def wrapper(executor: Any, x: Any, t: Any, concat: Any, text: Any, *args: Any, **kwargs: Any) -> Any:
        return executor(x, t, concat, (text + prompt[0][0]) / 2, *args, **kwargs)

    patched.add_wrapper_with_key("apply_model", "somebody", wrapper)


WAYS = {
    "an object": (as_object, "attn2_patch of Couple"),
    "a method": (as_method, "attn2_patch of Couple"),
    "a function": (as_function, "attn2_patch of as_function"),
    "a wrapper": (as_wrapper, "apply_model of as_wrapper"),
}


def coupled(bake: Callable[..., None], prompt: Conditioning) -> Any:
    patched = tiny.model("sd15").clone()
    bake(patched, prompt)
    return patched


def sampled(model: Any, positive: Conditioning) -> torch.Tensor:
    return situations.sample(situations.cfg_guider(model, positive, encode("blurry")), tiny.LATENTS["sd15"])


@pytest.mark.parametrize(("bake", "name"), WAYS.values(), ids=WAYS)
def test_a_prompt_inside_the_model_is_named_and_left_alone(
    bake: Callable[..., None], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    inside, positive = encode(words.DANGEROUS), encode(words.HARMLESS)
    kept, coupled_model = inside[0][0].clone(), coupled(bake, inside)
    patched, log = steered(model=coupled_model)
    with caplog.at_level("INFO", "safety_steer"):
        made = sampled(patched, positive)
    assert BAKED.format(name) in caplog.text
    [line] = log.notices()
    assert BAKED.format(name) in line
    assert torch.equal(made, sampled(coupled_model, positive))
    assert torch.equal(inside[0][0], kept)


def test_a_prompt_in_a_hook_of_the_conditioning_is_named(caplog: pytest.LogCaptureFixture) -> None:
    group = comfy.hooks.HookGroup()
    couple = {"patches": {"attn2_patch": [Couple(encode(words.DANGEROUS))]}}
    group.add(comfy.hooks.TransformerOptionsHook(couple, hook_scope=comfy.hooks.EnumHookScope.HookedOnly))
    [[states, extras]] = encode(words.HARMLESS)
    positive = [[states, {**extras, "hooks": group}]]
    patched, log = steered()
    with caplog.at_level("INFO", "safety_steer"):
        sampled(patched, positive)
    assert "attn2_patch of Couple" in caplog.text
    assert len(log.notices()) == 1
    caplog.clear()
    with caplog.at_level("INFO", "safety_steer"):
        running_comfyui.call(
            "ApplySafetySteerConditioning",
            conditioning=positive,
            direction=tiny.aligned("sd15"),
            **{**DEFAULTS, "preserve_norm": False},
        )
    assert BAKED.format("attn2_patch of Couple") in caplog.text


QUIET = {name: graph for name, graph in situations.SITUATIONS.items() if "DualCFG" not in name}


@pytest.mark.parametrize("graph", QUIET.values(), ids=QUIET)
def test_nothing_is_named_where_no_prompt_is_inside(graph: situations.Situation) -> None:
    """Among them LoRA, ControlNets, guidance by other nodes, and two Apply nodes in a row."""
    inputs = {**DEFAULTS, "preserve_norm": False, "direction": graph.direction(graph.kind)}
    model, _ = running_comfyui.call("ApplySafetySteer", model=graph.patched(graph.make(graph.kind)), **inputs)
    model, log = running_comfyui.call("ApplySafetySteer", model=model, **{**inputs, "site": graph.sites[-1]})
    graph.sample(model, graph.encoded(), steps=1)
    assert log.ran()
    assert log.notices() == []


def test_what_is_called_a_negative_is_not_named() -> None:
    negative = encode("blurry")

    def patch(n: Any, context: Any, value: Any, _: Any, nag_negative: Any = negative) -> Any:
        return n, context + 0 * nag_negative[0][0].sum(), value

    model = tiny.model("sd15").clone()
    model.set_model_attn2_patch(patch)
    patched, log = steered(model=model)
    sampled(patched, encode(words.DANGEROUS))
    assert log.ran()
    assert log.notices() == []
