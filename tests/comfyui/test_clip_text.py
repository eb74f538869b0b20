"""Encoding many prompts at once gives what CLIP Text Encode gives for each, and leaves the CLIP as it was."""

from __future__ import annotations

import world  # isort: skip
import comfy.model_management
import pytest
import tiny
import torch
import words

LONG = " ".join(["a cat on a table near a lake"] * 12)
PROMPTS = [*words.benign_prompts(5), "", "(golden:1.3) cat", LONG, "a dog", "(old house) by the (sea:0.7)", LONG]


def _batched(clip: object, prompts: list[str]) -> list[dict[str, torch.Tensor]]:
    batches = list(world.module("nodes.clip_text").encode_prompts(clip, prompts))
    return [{space: batch[space][row] for space in batch} for batch in batches for row in range(len(batch["cross_attn"]))]


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "pixart", "flux", "wan"])
def test_a_batch_gives_the_tensors_of_clip_text_encode(kind: str) -> None:
    clip = tiny.clip(kind)
    for prompt, texts in zip(PROMPTS, _batched(clip, PROMPTS), strict=True):
        [[states, extras]] = tiny.encode(clip, prompt)
        expected = states[0]
        if kind == "wan":
            expected = expected[(expected != 0).any(-1)]
        assert texts["cross_attn"].shape == expected.shape
        torch.testing.assert_close(texts["cross_attn"], expected, rtol=1e-5, atol=2e-5)
        if extras["pooled_output"] is None:
            assert "pooled_output" not in texts
        else:
            torch.testing.assert_close(texts["pooled_output"], extras["pooled_output"], rtol=1e-5, atol=2e-5)


def test_several_prompts_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, passes = tiny.clip("sdxl"), []
    original = clip.encode_from_tokens_scheduled
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda tokens: passes.append(1) or original(tokens))
    _batched(clip, words.benign_prompts(32))
    assert len(passes) == 1


def test_clip_skip_of_the_given_clip_is_used() -> None:
    clip = tiny.clip("sd15")
    skipped = clip.clone()
    skipped.clip_layer(-2)
    [[states, _]] = tiny.encode(skipped, "a dog")
    [texts] = _batched(skipped, ["a dog"])
    torch.testing.assert_close(texts["cross_attn"], states[0])
    assert not torch.allclose(_batched(clip, ["a dog"])[0]["cross_attn"], states[0])


def test_nothing_remains_on_the_clip() -> None:
    clip = tiny.clip("sdxl")
    before = tiny.encode(clip, "a dog")[0]
    options = dict(clip.tokenizer_options)
    _batched(clip, PROMPTS)
    assert clip.tokenizer_options == options
    assert not any(part._forward_hooks for part in clip.cond_stage_model.modules())
    after = tiny.encode(clip, "a dog")[0]
    assert torch.equal(before[0], after[0])


def test_hooks_are_gone_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tiny.clip("sd15")
    monkeypatch.setattr(clip.cond_stage_model, "encode_token_weights", lambda _tokens: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _batched(clip, PROMPTS)
    assert not any(part._forward_hooks for part in clip.cond_stage_model.modules())


def test_an_unsupported_encoder_is_named() -> None:
    error = world.module("safety_steer.errors").EncoderError
    with pytest.raises(error, match=r"SD3ClipModel.*not supported yet"):
        _batched(tiny.clip("sd3"), ["a dog"])


def test_a_checkpoint_without_a_text_encoder_is_a_clear_error() -> None:
    error = world.module("safety_steer.errors").EncoderError
    with pytest.raises(error, match="no text encoder"):
        world.call("AlignSafetyDirection", direction=tiny.direction("sd15"), clip=None, map="ridge", max_anchors=64)


def test_an_interruption_stops_between_passes() -> None:
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _batched(tiny.clip("sd15"), PROMPTS)
