"""Steering through sampling: the graph and the library give the same bits, and what must not change does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import pytest
import torch
from support.comfyui import tiny, words

Conditioning = list[list[Any]]
DEFAULTS = {"strength": 1.0, "operator": "erase", "gate": "hard", "start_percent": 0.0, "end_percent": 1.0}


def apply(model: Any, aligned: Any, **settings: Any) -> Any:
    inputs = {**DEFAULTS, "preserve_norm": False, **settings}
    return running_comfyui.call("ApplySafetySteer", model=model, direction=aligned, **inputs)[0]


def apply_conditioning(conditioning: Conditioning, aligned: Any, **settings: Any) -> Conditioning:
    inputs = {**DEFAULTS, "preserve_norm": False, **settings}
    made: Conditioning = running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=conditioning, direction=aligned, **inputs
    )[0]
    return made


def by_library(conditioning: Conditioning, aligned: Any, **settings: Any) -> Conditioning:
    """Steer conditioning with the library alone."""
    library, spaces = (
        running_comfyui.module("safety_steer.steering.steer_conditioning"),
        running_comfyui.module("safety_steer.directions.text_spaces"),
    )
    steer_hidden, chosen = (
        running_comfyui.module("safety_steer.steering.hidden_rows").steer_hidden,
        library.SteerSettings(**settings),
    )
    steered = []
    for states, extras in conditioning:
        entry = {**extras, "cross_attn": states}
        texts = {name: spaces.take(entry, place) for name, place in aligned.places.items() if spaces.fits(entry, place)}
        outcome = library.steer_conditioning(texts, aligned, chosen)
        hidden = {name: rows for name in texts if (rows := spaces.take_hidden(entry, aligned.places[name])) is not None}
        behind = {name: found.states for name, found in steer_hidden(outcome, hidden, aligned, chosen).hidden.items()}
        moved = {name: tensor for name, tensor in outcome.tensors.items() if tensor is not texts[name]}
        result = {**entry, **spaces.put_back(entry, aligned.places, moved, behind)}
        result |= {key: result["cross_attn"] for key in spaces.COPIES if extras.get(key) is states}
        steered.append([result.pop("cross_attn"), result])
    return steered


def ksampler(kind: str, model: Any, positive: Conditioning, negative: Conditioning, cfg: float = 7.0) -> torch.Tensor:
    settings = {"seed": 1, "steps": 4, "cfg": cfg, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    made: torch.Tensor = running_comfyui.call(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=tiny.latent(kind), **settings
    )[0]["samples"]
    return made


def custom_sampler(kind: str, model: Any, positive: Conditioning, negative: Conditioning, cfg: float = 7.0) -> torch.Tensor:
    [guider] = running_comfyui.call("CFGGuider", model=model, positive=positive, negative=negative, cfg=cfg)
    [noise] = running_comfyui.call("RandomNoise", noise_seed=1)
    [sampler] = running_comfyui.call("KSamplerSelect", sampler_name="euler")
    [sigmas] = running_comfyui.call("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)
    parts = {"noise": noise, "guider": guider, "sampler": sampler, "sigmas": sigmas}
    latent = running_comfyui.call("SamplerCustomAdvanced", latent_image=tiny.latent(kind), **parts)[0]
    made: torch.Tensor = latent["samples"]
    return made


def prompts(kind: str, positive: str = words.DANGEROUS) -> tuple[Conditioning, Conditioning]:
    clip = tiny.clip(kind)
    return tiny.encode(clip, positive), tiny.encode(clip, "blurry")


SAMPLERS = {
    "KSampler": ksampler,
    "SamplerCustomAdvanced": custom_sampler,
    "CFG 1": lambda *inputs: ksampler(*inputs, cfg=1.0),
}


@pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_graph_gives_the_bits_of_library_steered_conditioning(kind: str, sample: Callable[..., torch.Tensor]) -> None:
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind)
    steered = sample(kind, apply(model, aligned), positive, negative)
    assert torch.isfinite(steered).all()
    assert torch.equal(steered, sample(kind, model, by_library(positive, aligned), negative))
    assert not torch.equal(steered, sample(kind, model, positive, negative))


@pytest.mark.parametrize("operator", ["clip", "project", "add"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_both_apply_nodes_agree(kind: str, operator: str) -> None:
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind)
    settings = {"operator": operator, "gate": "off", "strength": 2.0, "preserve_norm": True}
    on_model = ksampler(kind, apply(model, aligned, **settings), positive, negative)
    on_conditioning = ksampler(kind, model, apply_conditioning(positive, aligned, **settings), negative)
    assert torch.equal(on_model, on_conditioning)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_strength_0_gives_the_bits_of_the_unpatched_graph(kind: str) -> None:
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind)
    plain = ksampler(kind, model, positive, negative)
    assert torch.equal(plain, ksampler(kind, apply(model, aligned, strength=0.0), positive, negative))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_closed_gate_gives_the_bits_of_the_unpatched_graph(kind: str) -> None:
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind, words.HARMLESS)
    plain = ksampler(kind, model, positive, negative)
    assert torch.equal(plain, ksampler(kind, apply(model, aligned, operator="add"), positive, negative))
    opened = ksampler(kind, apply(model, aligned, operator="add", gate="off"), positive, negative)
    assert not torch.equal(plain, opened)


def test_only_the_positive_is_touched_and_incoming_tensors_never_are() -> None:
    kind, seen = "sdxl", []
    positive, negative = prompts(kind)
    kept = [[states.clone(), extras["pooled_output"].clone()] for states, extras in positive + negative]

    def spy(executor: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(dict(executor.class_obj.conds))
        return executor(*args, **kwargs)

    model = apply(tiny.model(kind), tiny.aligned(kind), operator="add", gate="off")
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "spy", spy)
    ksampler(kind, model, positive, negative)
    [conds] = seen
    assert conds["negative"][0]["cross_attn"] is negative[0][0]
    assert conds["negative"][0]["pooled_output"] is negative[0][1]["pooled_output"]
    assert not torch.equal(conds["positive"][0]["cross_attn"], positive[0][0])
    assert not torch.equal(conds["positive"][0]["pooled_output"], positive[0][1]["pooled_output"])
    for (states, extras), (old_states, old_pooled) in zip(positive + negative, kept, strict=True):
        assert torch.equal(states, old_states)
        assert torch.equal(extras["pooled_output"], old_pooled)


def test_nothing_remains_on_the_model_or_the_guider() -> None:
    kind, model = "sd15", tiny.model("sd15")
    positive, negative = prompts(kind)
    plain = ksampler(kind, model, positive, negative)
    patched = apply(model, tiny.aligned(kind))
    assert not model.wrappers.get("outer_sample")
    assert patched.model is model.model
    [guider] = running_comfyui.call("CFGGuider", model=patched, positive=positive, negative=negative, cfg=7.0)
    noise = torch.ones(tiny.LATENTS[kind])
    guider.sample(
        noise, torch.zeros_like(noise), running_comfyui.call("KSamplerSelect", sampler_name="euler")[0], torch.tensor([1.0, 0])
    )
    assert not hasattr(guider, "conds")
    assert guider.original_conds["positive"][0]["cross_attn"] is positive[0][0]
    assert torch.equal(plain, ksampler(kind, model, positive, negative))


def test_two_apply_nodes_in_a_row_both_act() -> None:
    kind, model, aligned = "sd15", tiny.model("sd15"), tiny.aligned("sd15")
    positive, negative = prompts(kind)
    first, second = {"operator": "add", "gate": "off", "strength": 0.5}, {"operator": "project", "gate": "off"}
    twice = ksampler(kind, apply(apply(model, aligned, **first), aligned, **second), positive, negative)
    expected = by_library(by_library(positive, aligned, **first), aligned, **second)
    assert torch.equal(twice, ksampler(kind, model, expected, negative))


def test_of_several_prompts_only_the_flagged_one_is_steered() -> None:
    kind, model, aligned = "sd15", tiny.model("sd15"), tiny.aligned("sd15")
    dangerous, negative = prompts(kind)
    harmless, _ = prompts(kind, words.HARMLESS)
    [left] = running_comfyui.call("ConditioningSetArea", conditioning=harmless, width=32, height=64, x=0, y=0, strength=1.0)
    [right] = running_comfyui.call("ConditioningSetArea", conditioning=dangerous, width=32, height=64, x=32, y=0, strength=1.0)
    both = left + right
    steered = apply_conditioning(both, aligned)
    assert steered[0][0] is both[0][0]
    assert not torch.equal(steered[1][0], both[1][0])
    assert [extras["area"] for _, extras in steered] == [extras["area"] for _, extras in both]
    sampled = ksampler(kind, apply(model, aligned), both, negative)
    assert torch.equal(sampled, ksampler(kind, model, left + by_library(right, aligned), negative))


def test_a_basic_guider_without_negative_is_steered() -> None:
    kind, model, aligned = "wan", tiny.model("wan"), tiny.aligned("wan")
    positive, _ = prompts(kind)
    noise, sigmas = torch.ones(tiny.LATENTS[kind]), torch.tensor([1.0, 0.5, 0.0])
    [sampler] = running_comfyui.call("KSamplerSelect", sampler_name="euler")
    made = []
    for used, conditioning in ((apply(model, aligned), positive), (model, by_library(positive, aligned))):
        [guider] = running_comfyui.call("BasicGuider", model=used, conditioning=conditioning)
        made.append(guider.sample(noise, torch.zeros_like(noise), sampler, sigmas))
    assert torch.equal(*made)


def test_a_direction_of_another_encoder_is_an_error_at_sampling() -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    positive, negative = prompts("sd15")
    with pytest.raises(error, match="Align the direction with the CLIP"):
        ksampler("sd15", apply(tiny.model("sd15"), tiny.aligned("sdxl")), positive, negative)
