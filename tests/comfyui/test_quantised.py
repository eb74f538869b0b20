"""Text encoders with quantised weights: aligned to, found again by what they do, steered, and read layer by layer."""

from __future__ import annotations

from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import quantised, tiny, words
from test_steering import apply_conditioning, by_library

if not quantised.known():
    pytest.skip("this ComfyUI stores no text encoder quantised", allow_module_level=True)

KINDS = ("sd15", "sdxl", "wan")
every_format = pytest.mark.parametrize("stored", quantised.known())
every_kind = pytest.mark.parametrize("kind", KINDS)
made = cache(quantised.clip)


def aligned_to(kind: str, clip: Any) -> Any:
    inputs = {"direction": tiny.direction(kind), "clip": clip, "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **inputs)[0]


def prompt_of(clip: Any, prompt: str) -> list[list[Any]]:
    return tiny.encode(clip, prompt)


@every_format
@every_kind
def test_the_weights_are_quantised_and_the_text_is_plain(kind: str, stored: str) -> None:
    clip = made(kind, stored)
    assert len(quantised.layers(clip)) >= 14
    states = prompt_of(clip, words.DANGEROUS)[0][0]
    assert type(states) is torch.Tensor
    plain = prompt_of(tiny.clip(kind), words.DANGEROUS)[0][0]
    assert states.dtype == plain.dtype
    assert torch.nn.functional.cosine_similarity(states.flatten(), plain.flatten(), dim=0) > 0.9
    assert not torch.equal(states, plain)


@every_format
@every_kind
def test_a_dangerous_prompt_is_steered_and_a_harmless_one_is_not(kind: str, stored: str) -> None:
    clip = made(kind, stored)
    aligned = aligned_to(kind, clip)
    assert set(aligned.spaces) == set(tiny.aligned(kind).spaces)
    dangerous, harmless = prompt_of(clip, words.DANGEROUS), prompt_of(clip, words.benign_prompts(1)[0])
    [[steered, extras]], [[expected, _]] = apply_conditioning(dangerous, aligned), by_library(dangerous, aligned)
    assert torch.equal(steered, expected)
    assert not torch.equal(steered, dangerous[0][0])
    assert (steered.dtype, steered.device) == (dangerous[0][0].dtype, dangerous[0][0].device)
    assert extras.keys() >= dangerous[0][1].keys()
    assert apply_conditioning(harmless, aligned)[0][0] is harmless[0][0]


@every_kind
def test_a_fit_is_found_again_by_what_the_encoder_does(kind: str) -> None:
    """Four bits answer otherwise than eight and sixteen do, so they get a fit of their own."""
    fits = []
    for clip in (tiny.clip(kind), made(kind, "nvfp4"), tiny.clip(kind), made(kind, "nvfp4")):
        fits.append(aligned_to(kind, clip).content_hash)
    assert fits[2:] == fits[:2]
    assert fits[0] != fits[1]
    assert len(running_comfyui.fits()) == 2


@every_kind
def test_aligning_leaves_the_weights_quantised(kind: str) -> None:
    clip = quantised.clip(kind, "float8_e4m3fn")
    before = [weight.dequantize().clone() for weight in quantised.layers(clip)]
    aligned_to(kind, clip)
    after = [weight.dequantize() for weight in quantised.layers(clip)]
    assert len(before) == len(after) > 0
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@every_format
def test_the_layers_of_a_quantised_language_model_can_be_read(stored: str) -> None:
    layers, clips = running_comfyui.module("adapters.clip.hidden_layers"), (tiny.clip("wan"), made("wan", stored))
    prompts = words.benign_prompts(4)
    plain, found = (
        layers.pooled_activations(source, prompts, range(source.last_layer + 1)) for source in map(layers.find, clips)
    )
    assert found.shape == plain.shape
    assert found.dtype == plain.dtype
    assert torch.nn.functional.cosine_similarity(found.flatten(), plain.flatten(), dim=0) > 0.9
