"""Edit prompts: image tokens among the text of encoders that take pictures stay as they are, and the words are steered.

The encoders are wider than those of the other tests: in 32 channels with random weights, words that follow a picture are
hardly other than the picture itself.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import node_helpers
import pytest
import torch
from support.comfyui import tiny, words
from support.families import clips, models
from test_steering import apply, apply_conditioning

WIDTH = 256
# Ids wrap in a table shorter than the vocabulary.
SIZES = (("hidden_size", WIDTH), ("intermediate_size", 2 * WIDTH), ("vocab_size", 8191))
FAMILIES = [name for name in ("qwen_image", "hunyuan_video_15", "kandinsky5") if clips.available(name)]
STEER_ALL = {"operator": "add", "gate": "off", "strength": 2.0}
FOLLOWING = 12


def picture(kind: str, height: int, width: int) -> torch.Tensor:
    """Make a picture (1, H, W, 3) unlike those that Align Direction makes: plain noise, one colour, or a red block."""
    if kind == "noise":
        return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(height))
    made = torch.full((1, height, width, 3), 0.3)
    if kind == "block":
        made[:, height // 4 : height // 2, width // 3 :, 0] = 1.0
    return made


PICTURES: dict[str, tuple[str, dict[str, torch.Tensor]]] = {
    "one": ("TextEncodeQwenImageEdit", {"image": picture("block", 300, 200)}),
    "one, plus": ("TextEncodeQwenImageEditPlus", {"image1": picture("noise", 64, 64)}),
    "two, plus": (
        "TextEncodeQwenImageEditPlus",
        {"image1": picture("noise", 64, 64), "image2": picture("block", 100, 300)},
    ),
    "three, plus": (
        "TextEncodeQwenImageEditPlus",
        {"image1": picture("plain", 90, 90), "image2": picture("block", 100, 300), "image3": picture("noise", 77, 50)},
    ),
}


class Vae:
    """Stands in for a VAE."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 16, pixels.shape[1] // 8, pixels.shape[2] // 8)


@cache
def clip(family: str) -> Any:
    return clips.clip(family, llm=SIZES)


@cache
def aligned(family: str) -> Any:
    """Align a direction that flags the dangerous prompt, with the node."""
    encoder = clip(family)
    with torch.inference_mode():
        direction = tiny.direction_for(encoder)
        return running_comfyui.call("AlignSafetyDirection", direction=direction, clip=encoder, map="ridge", max_anchors=2048)[0]


def encode(family: str, prompt: str, pictures: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, torch.Tensor]:
    """Encode an edit prompt with the core node: its conditioning, and which rows (T,) are image tokens.

    The rows are known from the tokens and from what the vision model gives for each picture.
    """
    node, inputs = PICTURES[pictures]
    encoder, seen, sizes = clip(family), [], []
    transformer = encoder.cond_stage_model.qwen25_7b.transformer
    tokenize, preprocess = encoder.tokenize, transformer.preprocess_embed

    def embed(picture: Any, device: Any) -> Any:
        found = preprocess(picture, device)
        sizes.append(len(found[0]))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "tokenize", lambda *args, **more: seen.append(tokenize(*args, **more)) or seen[-1])
        patch.setattr(transformer, "preprocess_embed", embed)
        [conditioning] = running_comfyui.call(node, clip=encoder, prompt=prompt, vae=Vae(), **inputs)
    [section] = seen[-1]["qwen25_7b"]
    left = iter(sizes)
    marks = [mark for token in section for mark in ([False] if isinstance(token[0], int) else [True] * next(left))]
    # The template is cropped from the front.
    return conditioning, torch.tensor(marks[len(marks) - conditioning[0][0].shape[1] :])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pictures", PICTURES)
def test_image_tokens_stay_bit_for_bit_and_words_are_steered(
    family: str, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditioning, image = encode(family, words.DANGEROUS, pictures, monkeypatch)
    [[before, extras]] = conditioning
    kept = before.clone()
    assert int(image.sum()) > 150 * len(PICTURES[pictures][1])
    [[steered, after]] = apply_conditioning(conditioning, aligned(family), **STEER_ALL)
    moved = (steered != before)[0].any(-1)
    assert not bool(moved[image].any())
    assert bool(moved[-FOLLOWING:].all())
    assert torch.equal(before, kept)
    assert after["reference_latents"] is extras["reference_latents"]
    for operator in ("erase", "clip", "project"):
        [[steered, _]] = apply_conditioning(conditioning, aligned(family), operator=operator, gate="off")
        assert torch.equal(steered[0, image], before[0, image])
    assert not torch.equal(steered, before)


def test_a_flagged_edit_prompt_is_steered_on_the_model_wire(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    family = "qwen_image"
    conditioning, image = encode(family, words.DANGEROUS, "one, plus", monkeypatch)
    [[before, extras]] = conditioning
    # Latents are of no use to this small model.
    positive, seen = [[before, {**extras, "reference_latents": None}]], []

    def spy(executor: Any, *args: Any, **kwargs: Any) -> Any:
        seen.extend(executor.class_obj.conds["positive"])
        return executor(*args, **kwargs)

    patched = apply(models.model(family, {"cross_attn": WIDTH}), aligned(family), gate="off", strength=1.0)
    patched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "spy", spy)
    settings = {"seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    with caplog.at_level(logging.INFO, "safety_steer"):
        running_comfyui.call(
            "KSampler",
            model=patched,
            positive=positive,
            negative=positive,
            latent_image=models.latent(family),
            **settings,
        )
    steered = seen[0]["cross_attn"]
    assert torch.equal(steered[0, image], before[0, image])
    assert not torch.equal(steered, before)
    assert f"left alone: {int(image.sum())} image tokens" in caplog.text


@pytest.mark.parametrize("family", FAMILIES)
def test_strength_0_gives_back_the_conditioning(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conditioning, _ = encode(family, words.DANGEROUS, "one, plus", monkeypatch)
    assert apply_conditioning(conditioning, aligned(family), strength=0.0)[0][0] is conditioning[0][0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompt", [words.DANGEROUS, words.HARMLESS])
def test_prompts_without_a_picture_get_the_bits_of_a_direction_that_knows_of_none(family: str, prompt: str) -> None:
    direction, conditioning = aligned(family), tiny.encode(clip(family), prompt)
    plain = replace(direction, spaces={name: replace(space, images=None) for name, space in direction.spaces.items()})
    for settings in ({}, STEER_ALL, {"operator": "clip", "gate": "off"}):
        one, two = (apply_conditioning(conditioning, each, **settings)[0][0] for each in (direction, plain))
        assert torch.equal(one, two)
        assert (one is conditioning[0][0]) == (two is conditioning[0][0])


def test_the_fit_is_kept_with_what_tells_image_tokens_apart() -> None:
    encoder, direction = clip("qwen_image"), tiny.direction_for(clip("qwen_image"), 128)
    made = [
        running_comfyui.call("AlignSafetyDirection", direction=direction, clip=encoder, map="ridge", max_anchors=2048)[0]
        for _ in range(2)
    ]
    assert len(running_comfyui.fits()) == 1
    assert made[0].content_hash == made[1].content_hash
    assert made[1].report["cross_attn"]["image_rows"]["told_apart"] is True


def test_encoders_without_pictures_are_asked_once_and_shown_none() -> None:
    images = running_comfyui.module("adapters.clip.image_tokens")
    for family in ("sd15", "sdxl", "sd3", "flux", "wan", "omnigen2", "z_image", "lumina2"):
        if clips.available(family):
            assert not images.takes_pictures(clips.clip(family)), family
    for family in (*FAMILIES, "hunyuan_image", "hunyuan_video"):
        assert images.takes_pictures(clips.clip(family)), family


def test_image_to_video_prompts_of_hunyuan_video_are_left_alone_but_for_their_pooled_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What CLIP vision makes of a picture cannot be known from the CLIP, so that nothing tells it from words."""
    encoder, direction = clip("hunyuan_video"), aligned("hunyuan_video")
    vision = SimpleNamespace(mm_projected=torch.randn(1, 576, WIDTH, generator=torch.Generator().manual_seed(1)))
    [encoded] = running_comfyui.call(
        "TextEncodeHunyuanVideo_ImageToVideo",
        clip=encoder,
        clip_vision_output=vision,
        prompt=words.DANGEROUS,
        image_interleave=2,
    )
    assert encoded[0][0].shape[1] > 288
    conditioning = node_helpers.conditioning_set_values(encoded, {"guiding_frame_index": 0})
    with caplog.at_level(logging.INFO, "safety_steer"):
        [[steered, extras]] = apply_conditioning(conditioning, direction, **STEER_ALL)
    assert torch.equal(steered, conditioning[0][0])
    assert not torch.equal(extras["pooled_output"], conditioning[0][1]["pooled_output"])
    assert "cross_attn: left alone, because the tokens of its image could not be told from its words" in caplog.text
    text = tiny.encode(encoder, words.DANGEROUS)
    assert not torch.equal(apply_conditioning(text, direction, **STEER_ALL)[0][0], text[0][0])
