"""Where text reaches a model a second way, beside the states that are steered: it is aligned all the same, and is named."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.sd
import pytest
import torch
from support.comfyui import situations, tiny, words
from support.families import clips
from test_families import source
from test_steering import apply_conditioning

ACE15 = "text_encoders.ace15"
has_ace15 = pytest.mark.skipif(clips._find(ACE15) is None, reason="this ComfyUI has no ACE-Step 1.5")
PARTLY = "only partly reached: the model also reads {}, which carries text and stays as it is"


@cache
def ace15() -> Any:
    """Make a small text encoder of ACE-Step 1.5, with the language model that samples sounds."""
    target = tiny._Target(clips._find(f"{ACE15}.te")(lm_model="qwen3_2b"), clips._find(f"{ACE15}.ACE15Tokenizer"))
    options = {"dtype": torch.float32, "custom_operations": clips.Operations, "_model_config": clips.LLM}
    with clips._replaced():
        made = comfy.sd.CLIP(target, model_options=options)
    tiny.randomise(made.cond_stage_model, 0)
    return made


def text_of_align(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """Align the bundled direction with the node; return what it gives, and what it says. Random weights may be by chance."""
    module = running_comfyui.module("adapters.clip.fit_direction")
    lenient = running_comfyui.module("safety_steer.alignment.align_direction").AlignSettings
    monkeypatch.setattr(module, "AlignSettings", lambda **given: replace(lenient(**given), require_better_than_chance=False))
    return running_comfyui.shown("AlignSafetyDirection", direction=source(), clip=encoder, map="ridge", max_anchors=64)


@has_ace15
def test_music_is_aligned_without_sampling_any(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ace15()
    monkeypatch.setattr("comfy.text_encoders.ace15.generate_audio_codes", lambda *_, **__: 1 / 0)
    aligned, said = text_of_align(encoder, monkeypatch)
    assert set(aligned.spaces) == {"cross_attn"}
    assert aligned.spaces["cross_attn"].width == clips.WIDTH
    assert PARTLY.format("audio_codes") in said
    assert "left out: The encoder gives the same conditioning_lyrics" in said


@has_ace15
def test_several_captions_share_a_pass_and_give_what_comfyui_gives_for_each() -> None:
    encoder, clip_text = ace15(), running_comfyui.module("adapters.clip.encode_prompts")
    study = clip_text.study(encoder)
    assert study.options == {"generate_audio_codes": False}
    prompts = ["a quiet piano", "a loud piano", "a long song about a lake and a house near the sea"]
    [batch] = clip_text.encode_prompts(study, prompts)
    for prompt, states in zip(prompts, batch["cross_attn"], strict=True):
        [[expected, _]] = encoder.encode_from_tokens_scheduled(encoder.tokenize(prompt, generate_audio_codes=False))
        torch.testing.assert_close(states, expected[0], rtol=1e-4, atol=1e-4)


@has_ace15
def test_a_direction_is_extracted_from_the_encoder_of_music(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfy.text_encoders.ace15.generate_audio_codes", lambda *_, **__: 1 / 0)
    clip_layers = running_comfyui.module("adapters.clip.hidden_layers")
    model = clip_layers.find(ace15())
    assert (model.key, model.identity.width) == ("qwen3_06b", clips.WIDTH)
    states = clip_layers.pooled_activations(model, ["a cat", "a dog", "a long song about a lake"], [0, 1])
    assert states.shape == (3, 2, clips.WIDTH)
    assert torch.isfinite(states).all()


@pytest.mark.parametrize(
    "key", ["t5xxl_ids", "audio_codes", "sam3_multi_cond", "cross_attn_controlnet", "reference_latents_text_embeds"]
)
def test_a_second_way_is_named_wherever_steering_speaks(key: str, caplog: pytest.LogCaptureFixture) -> None:
    beside = [torch.arange(5)]
    [[states, extras]] = situations.encode(words.DANGEROUS)
    conditioning = [[states, {**extras, key: beside}]]
    with caplog.at_level("INFO", "safety_steer"):
        [[steered, kept]] = apply_conditioning(conditioning, tiny.aligned("sd15"))
    assert PARTLY.format(key) in caplog.text
    assert kept[key] is beside
    assert not torch.equal(steered, states)
    score = running_comfyui.call("SafetyScore", direction=tiny.aligned("sd15"), conditioning=conditioning)
    assert PARTLY.format(key) in score[-1]


@pytest.mark.skipif(not clips.available("anima"), reason="this ComfyUI has no Anima")
def test_anima_is_said_to_be_partly_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = text_of_align(clips.clip("anima"), monkeypatch)
    assert PARTLY.format("t5xxl_ids") in said


def test_boxes_that_name_things_are_named(caplog: pytest.LogCaptureFixture) -> None:
    boxes = {"clip": situations.clip("sd15"), "gligen_textbox_model": object(), "text": words.DANGEROUS}
    place = {"width": 64, "height": 64, "x": 0, "y": 0}
    prompt = situations.encode(words.HARMLESS)
    [boxed] = running_comfyui.call("GLIGENTextBoxApply", conditioning_to=prompt, **boxes, **place)
    with caplog.at_level("INFO", "safety_steer"):
        [[states, kept]] = apply_conditioning(boxed, tiny.aligned("sd15"))
    assert PARTLY.format("gligen") in caplog.text
    assert states is boxed[0][0]
    assert kept["gligen"] is boxed[0][1]["gligen"]
