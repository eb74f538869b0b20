"""Aligned directions as files, checked against the encoder at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words
from support.comfyui.running_comfyui import ALIGNED, shown
from support.comfyui.tiny import align
from test_queue import LATENTS, TinyKeeper, TinyLoader, graph, node
from test_steering import apply_conditioning

pytestmark = pytest.mark.usefixtures("empty_folders")


def save(aligned: Any, name: str = "shared") -> Path:
    running_comfyui.call("SaveAlignedDirection", direction=aligned, filename=name)
    return ALIGNED / f"{name}.safetensors"


def load(path: Path, clip: Any) -> Any:
    return running_comfyui.call("LoadAlignedDirection", aligned_name=path.name, clip=clip)[0]


def same_values(one: Any, other: Any) -> bool:
    tensors, others = one._tensors(), other._tensors()
    return set(tensors) == set(others) and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_shared_alignment_steers_as_the_one_it_came_from_bit_for_bit(kind: str) -> None:
    aligned = align(kind)
    mixed = running_comfyui.call("SafetyCategoryMixer", direction=aligned, **{"global": 0.7})[0]
    for number, original in enumerate((aligned, mixed)):
        loaded = load(save(original, f"shared {number}"), tiny.clip(kind))
        assert same_values(loaded, original)
        assert loaded.content_hash == original.content_hash
        assert (loaded.strengths, loaded.places) == (original.strengths, original.places)
        for prompt in (words.DANGEROUS, words.benign_prompts(1)[0]):
            conditioning = tiny.encode(tiny.clip(kind), prompt)
            [[one, more]], [[other, others]] = (apply_conditioning(conditioning, each) for each in (original, loaded))
            assert torch.equal(one, other)
            tensors = [key for key, value in more.items() if isinstance(value, torch.Tensor)]
            assert all(torch.equal(more[key], others[key]) for key in tensors)
    plain = tiny.encode(tiny.clip(kind), words.DANGEROUS)
    assert not torch.equal(apply_conditioning(plain, loaded)[0][0], plain[0][0])


def test_loading_encodes_the_probe_prompts_only_and_keeps_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(align("sd15"))
    running_comfyui.forget_fits()
    fitting, counts = running_comfyui.module("adapters.clip.fit_direction"), []
    original = fitting.encode_prompts

    def counted(text: Any, prompts: Any, progress: Any = None) -> Any:
        counts.append(len(prompts))
        return original(text, prompts, progress)

    monkeypatch.setattr(fitting, "encode_prompts", counted)
    load(path, tiny.clip("sd15"))
    assert counts == [8]
    assert running_comfyui.fits() == []


def test_loading_says_what_was_checked_and_where_it_comes_from() -> None:
    aligned = align("sd15")
    _, text = shown("LoadAlignedDirection", aligned_name=save(aligned).name, clip=tiny.clip("sd15"))
    first, second, third, last = text.split("\n")
    assert first.startswith("cross_attn, pooled_output of SD1ClipModel, read from shared and checked with 8 harmless prompts")
    assert "(cosine 1.0000)" in first
    version = running_comfyui.module("safety_steer.version").__version__
    assert second == f"from {aligned.source.name}; Safety Steer version {version}"
    assert third == f"direction {aligned.direction_hash[:12]}, content {aligned.content_hash[:12]}"
    assert last == "not signed"


def other_weights() -> Any:
    return tiny.clip("sd15", seed=1)


def other_layer() -> Any:
    skipped = tiny.clip("sd15")
    skipped.clip_layer(-2)
    return skipped


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (
            other_weights,
            r"and this encoder gives different states .*\(cosine -?0\.\d+, expected 0.99",
        ),
        (other_layer, r"aligned to 'SD1ClipModel', and this encoder gives different states"),
        (
            lambda: tiny.clip("sdxl"),
            r"'shared.safetensors' was aligned to 'SD1ClipModel', whose text lies in .*is SDXLClipModel",
        ),
        (
            lambda: tiny.clip("wan"),
            r"'shared.safetensors' was aligned to 'SD1ClipModel', whose text lies in .*but this CLIP is",
        ),
        (lambda: None, r"The clip input of Load Aligned Direction is empty"),
    ],
    ids=["other weights", "other layer", "other spaces", "other kind", "no clip"],
)
def test_another_encoder_is_one_clear_error(clip: Any, message: str, error: Any) -> None:
    path = save(align("sd15"))
    with pytest.raises(error, match=message) as raised:
        load(path, clip())
    assert "\n" not in str(raised.value)


def test_an_encoder_stored_in_half_precision_is_the_same_one() -> None:
    path = save(align("sd15"))
    half = tiny.clip("sd15")
    for module in half.cond_stage_model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, torch.nn.Parameter(parameter.to(torch.bfloat16).float(), requires_grad=False))
    plain = tiny.encode(tiny.clip("sd15"), words.DANGEROUS)[0][0]
    assert not torch.equal(tiny.encode(half, words.DANGEROUS)[0][0], plain)
    assert load(path, half).encoder == "SD1ClipModel"


def test_text_that_the_file_does_not_reach_is_told() -> None:
    aligned = align("sd15")
    fewer = replace(
        aligned,
        spaces={"cross_attn": aligned.spaces["cross_attn"]},
        places={"cross_attn": aligned.places["cross_attn"]},
        report={"cross_attn": aligned.report["cross_attn"]},
    )
    _, text = shown("LoadAlignedDirection", aligned_name=save(fewer).name, clip=tiny.clip("sd15"))
    assert "\nnot in the file, and left alone: pooled_output\n" in text


def test_a_file_that_names_no_width_is_checked_by_behaviour_alone(error: Any) -> None:
    aligned = align("sd15")
    anywhere = replace(aligned, places={name: replace(place, width=0) for name, place in aligned.places.items()})
    path = save(anywhere)
    assert same_values(load(path, tiny.clip("sd15")), aligned)
    with pytest.raises(error, match="gives different states"):
        load(path, tiny.clip("sd15", seed=1))


def test_a_direction_for_clip_vision_is_neither_saved_nor_loaded(error: Any) -> None:
    aligned = align("sd15")
    space = aligned.spaces["cross_attn"]
    vision = replace(aligned, spaces={"last_hidden_state": space}, places={}, encoder="CLIPVision", report={})
    with pytest.raises(error, match=r"got one aligned to CLIP vision \(CLIPVision\).*Use Align Direction \(Vision\)"):
        save(vision)
    ALIGNED.mkdir(exist_ok=True)
    assert list(ALIGNED.iterdir()) == []
    vision.save(ALIGNED / "vision.safetensors")
    with pytest.raises(error, match="got one aligned to CLIP vision"):
        load(ALIGNED / "vision.safetensors", tiny.clip("sd15"))


@pytest.mark.parametrize("name", ["absent.safetensors", "../safety_aligned/shared.safetensors", "/etc/passwd", ""])
def test_names_that_are_not_listed_are_refused(name: str, error: Any) -> None:
    save(align("sd15"))
    with pytest.raises(error, match="There is no aligned direction file"):
        running_comfyui.call("LoadAlignedDirection", aligned_name=name, clip=tiny.clip("sd15"))


def test_a_source_direction_and_a_damaged_file_are_refused(error: Any) -> None:
    path = save(align("sd15"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(error, match=r"shared\.safetensors"):
        load(path, tiny.clip("sd15"))
    tiny.direction("sd15").save(path)
    with pytest.raises(error, match="Align a source direction to a text encoder first"):
        load(path, tiny.clip("sd15"))


def test_no_file_is_overwritten(error: Any) -> None:
    aligned = align("sd15")
    for _ in range(2):
        save(aligned)
    assert sorted(path.name for path in ALIGNED.iterdir()) == ["shared-2.safetensors", "shared.safetensors"]
    with pytest.raises(error, match=r"Expected a file name.*Change filename on Save Aligned Direction"):
        save(aligned, "../x")


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_picture_drawn_with_a_loaded_alignment_is_the_one_drawn_with_its_own(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loader in (TinyLoader, TinyKeeper):
        monkeypatch.setitem(running_comfyui.nodes.NODE_CLASS_MAPPINGS, loader.__name__, loader)
    LATENTS.clear()
    queue, made = running_comfyui.Queue(), graph(kind)
    saved = queue.run({**made, "save": node("SaveAlignedDirection", direction=["mixer", 0], filename="shared")})
    assert saved["save"]["text"][0].startswith("saved as shared.safetensors, ")
    kept = {name: each for name, each in made.items() if name not in ("align", "mixer")}
    kept["apply"] = node("ApplySafetySteer", **{**made["apply"]["inputs"], "direction": ["shared", 0]})
    shared = queue.run({**kept, "shared": node("LoadAlignedDirection", aligned_name="shared.safetensors", clip=["load", 1])})
    assert "checked with 8 harmless prompts" in shared["shared"]["text"][0]
    plain = queue.run({**kept, "sample": node("KSampler", **{**made["sample"]["inputs"], "model": ["load", 0]})})
    assert "shared" not in plain
    assert torch.equal(LATENTS[0], LATENTS[1])
    assert not torch.equal(LATENTS[1], LATENTS[2])
