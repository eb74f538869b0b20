"""Encoding many prompts at once gives what CLIP Text Encode gives for each, and leaves the CLIP as it was."""

from __future__ import annotations

from pathlib import Path

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
from support.comfyui import tiny, words

LONG = " ".join(["a cat on a table near a lake"] * 12)
PROMPTS = [*words.benign_prompts(5), "", "(golden:1.3) cat", LONG, "a dog", "(old house) by the (sea:0.7)", LONG]


def _batched(clip: object, prompts: list[str]) -> list[dict[str, torch.Tensor]]:
    clip_text = running_comfyui.module("adapters.clip.encode_prompts")
    batches = list(clip_text.encode_prompts(clip_text.study(clip), prompts))
    return [
        {space: batch[space][row] for space in batch} for batch in batches for row in range(len(next(iter(batch.values()))))
    ]


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "pixart", "flux", "wan"])
def test_a_batch_gives_the_tensors_of_clip_text_encode(kind: str) -> None:
    clip = tiny.clip(kind)
    study, take = (
        running_comfyui.module("adapters.clip.encode_prompts").study(clip),
        running_comfyui.module("safety_steer.directions.text_spaces").take,
    )
    assert study.together
    for prompt, texts in zip(PROMPTS, _batched(clip, PROMPTS), strict=True):
        [[states, extras]] = tiny.encode(clip, prompt)
        entry = {**extras, "cross_attn": states}
        assert set(texts) == set(study.places)
        for name, place in study.places.items():
            expected, got = take(entry, place), texts[name]
            if expected.ndim == 3:
                expected, got = (rows[(rows != 0).any(-1)] for rows in (expected[0], got))
            assert got.shape == expected.shape
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-5)
        assert ("pooled_output" in {place.key for place in study.places.values()}) == (extras["pooled_output"] is not None)


def test_the_spaces_of_an_encoder_are_found() -> None:
    def spaces(kind: str) -> dict[str, tuple[int, int, str]]:
        places = running_comfyui.module("adapters.clip.encode_prompts").study(tiny.clip(kind)).places
        return {name: (place.start, place.stop, place.rows) for name, place in places.items()}

    assert spaces("sd15") == {"cross_attn": (0, 0, "all"), "pooled_output": (0, 0, "all")}
    assert spaces("wan") == {"cross_attn": (0, 0, "all")}
    assert spaces("sdxl") == spaces("sd15")


def test_several_prompts_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, passes = tiny.clip("sdxl"), []
    clip_text = running_comfyui.module("adapters.clip.encode_prompts")
    encoding = clip_text.study(clip)
    original = clip.encode_from_tokens_scheduled
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda tokens: passes.append(1) or original(tokens))
    list(clip_text.encode_prompts(encoding, words.benign_prompts(32)))
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


def test_an_encoder_that_gives_no_states_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = running_comfyui.module("safety_steer.errors").EncoderError
    clip = tiny.clip("sd15").clone()
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda _tokens: [[None, {}]])
    with pytest.raises(error, match=r"SD1ClipModel gives no text states"):
        _batched(clip, ["a dog"])


def test_an_encoder_that_does_not_lay_prompts_end_to_end_gets_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, passes = tiny.clip("sd15").clone(), []
    original = clip.encode_from_tokens_scheduled

    def first_section_only(tokens: dict[str, list[object]]) -> object:
        passes.append(len(tokens["l"]))
        return original({"l": tokens["l"][:1]})

    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", first_section_only)
    expected = [tiny.encode(clip, prompt)[0][0][0] for prompt in PROMPTS[:3]]
    passes.clear()
    encoded = _batched(clip, PROMPTS[:3])
    assert passes[-3:] == [1, 1, 1]
    for texts, states in zip(encoded, expected, strict=True):
        assert torch.equal(texts["cross_attn"], states)


def test_a_checkpoint_without_a_text_encoder_is_a_clear_error() -> None:
    error = running_comfyui.module("safety_steer.errors").EncoderError
    with pytest.raises(error, match="no text encoder"):
        running_comfyui.call("AlignSafetyDirection", direction=tiny.direction("sd15"), clip=None, map="ridge", max_anchors=64)


def test_an_interruption_stops_between_passes() -> None:
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _batched(tiny.clip("sd15"), PROMPTS)


def test_a_clip_on_another_device_says_the_same() -> None:
    if not (Path(running_comfyui.CHECKOUT) / "comfy_extras" / "nodes_multigpu.py").is_file():
        pytest.skip("this ComfyUI puts no CLIP on another device")
    from comfy_extras.nodes_multigpu import SelectCLIPDeviceNode

    clip = tiny.clip("sdxl")
    [moved] = SelectCLIPDeviceNode.execute(clip, "cpu").args
    for prompt in PROMPTS:
        [[states, extras]], [[others, more]] = tiny.encode(clip, prompt), tiny.encode(moved, prompt)
        assert torch.equal(states, others)
        assert torch.equal(extras["pooled_output"], more["pooled_output"])


def test_a_pass_on_a_cpu_is_smaller_for_a_wide_encoder_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, sections = tiny.clip("sd15"), []
    clip_text = running_comfyui.module("adapters.clip.encode_prompts")
    whole, encoding = _batched(clip, PROMPTS), clip_text.study(clip)
    monkeypatch.setattr(clip_text, "BYTES_PER_CPU_PASS", 2 * 77 * encoding.bytes_per_token)
    original = clip.encode_from_tokens_scheduled
    monkeypatch.setattr(
        clip, "encode_from_tokens_scheduled", lambda tokens: sections.append(len(tokens["l"])) or original(tokens)
    )
    apart = [texts for batch in clip_text.encode_prompts(encoding, PROMPTS) for texts in batch["cross_attn"]]
    assert max(sections) == 2
    for texts, states in zip(whole, apart, strict=True):
        torch.testing.assert_close(states, texts["cross_attn"], atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(clip.patcher, "load_device", torch.device("cuda"))
    assert clip_text.tokens_per_pass(clip, encoding.bytes_per_token) == clip_text.TOKENS_PER_PASS
