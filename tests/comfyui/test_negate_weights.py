"""Negate Unsafe Weights on real text encoders of ComfyUI: a clone is patched, the model stays as it was, twice is nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.clip_vision
import comfy.lora
import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from support.comfyui import quantised, tiny, words
from support.families import clips

ENCODERS: dict[str, Callable[[], Any]] = {
    "clip_l": lambda: tiny.clip("sd15"),
    "clip_l_and_g": lambda: tiny.clip("sdxl"),
    "t5": lambda: tiny.clip("pixart"),
    "umt5": lambda: tiny.clip("wan"),
    "qwen": lambda: clips.clip("qwen_image"),
}
every_encoder = pytest.mark.parametrize("kind", ENCODERS)
PAIRS = [
    {"safe": f"a {thing} in the garden", "unsafe": f"a dangerous {thing} in the dark", "category": "harm"}
    for thing in ("cat", "dog", "house", "boat", "tree", "child", "car", "bird", "clown", "horse")
]
PROMPT = words.DANGEROUS


@cache
def encoder(kind: str) -> Any:
    return ENCODERS[kind]()


@pytest.fixture(scope="module", autouse=True)
def _files() -> None:
    folder = running_comfyui.BASE / "models" / "safety_pairs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, PAIRS)), encoding="utf-8")
    (folder / "one-sided.jsonl").write_text(json.dumps({**PAIRS[0], "safe": ""}), encoding="utf-8")
    (folder / "few.jsonl").write_text(json.dumps(PAIRS[0]), encoding="utf-8")
    (running_comfyui.BASE / "models" / "safety_patches").mkdir(parents=True, exist_ok=True)
    folder_paths.filename_list_cache.clear()


def patches() -> Path:
    folder_paths.filename_list_cache.clear()
    return running_comfyui.BASE / "models" / "safety_patches"


def negate(clip: Any, **inputs: Any) -> tuple[Any, str]:
    return running_comfyui.call("NegateUnsafeWeights", clip=clip, **{"source": "mine.jsonl", **inputs})


def states(clip: Any) -> torch.Tensor:
    return clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT))[0][0].clone()


def stored(clip: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in clip.cond_stage_model.state_dict().items()}


def loaded(clip: Any) -> dict[str, torch.Tensor]:
    comfy.model_management.load_models_gpu([clip.patcher])
    return stored(clip)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fails(name: str, clip: Any, **inputs: Any) -> str:
    with pytest.raises(getattr(running_comfyui.module("safety_steer.errors"), name)) as caught:
        negate(clip, **inputs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_encoder
def test_a_clone_has_chosen_weights_of_the_other_sign(kind: str) -> None:
    clip = encoder(kind)
    comfy.model_management.unload_all_models()
    before = stored(clip)
    changed, text = negate(clip)
    after = loaded(changed)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all(name.endswith(("out_proj.weight", "SelfAttention.o.weight", "o_proj.weight")) for name in moved)
    for name in moved:
        places = before[name] != after[name]
        assert torch.equal(after[name][places], -before[name][places])
        assert 0 < int(places.sum()) <= 0.02 * places.numel() + 1
        assert f"{name.removesuffix('.weight')}: {int(places.sum())} of {places.numel():,}" in text


@every_encoder
def test_after_unloading_the_weights_are_as_before_bit_for_bit(kind: str) -> None:
    clip = encoder(kind)
    comfy.model_management.unload_all_models()
    before, said = stored(clip), states(clip)
    changed, _ = negate(clip)
    assert not torch.equal(states(changed), said)
    assert torch.equal(states(clip), said)
    states(changed)
    comfy.model_management.unload_all_models()
    assert same(stored(clip), before)
    assert not clip.patcher.patches


@every_encoder
def test_negating_twice_gives_the_weights_back(kind: str) -> None:
    clip = encoder(kind)
    comfy.model_management.unload_all_models()
    before, said = stored(clip), states(clip)
    patch = running_comfyui.module("safety_steer.negation.patch")
    choose = running_comfyui.module("adapters.clip.read_pairs").choose
    pairs = running_comfyui.module("safety_steer.storage.prompt_files").read_pairs(
        running_comfyui.BASE / "models" / "safety_pairs" / "mine.jsonl"
    )
    choose(clip, pairs, "both", 0.1, True).save(patches() / f"{kind}.safetensors")
    assert patch.WeightPatch.load(patches() / f"{kind}.safetensors").count > 0
    once, _ = negate(clip, source=f"{kind}.safetensors")
    twice, _ = negate(once, source=f"{kind}.safetensors")
    assert not torch.equal(states(once), said)
    assert torch.equal(states(twice), said)
    assert same(loaded(twice), before)


@every_encoder
def test_the_pairs_and_the_patch_file_of_them_do_the_same(kind: str) -> None:
    clip = encoder(kind)
    module = running_comfyui.module("safety_steer.storage.prompt_files")
    pairs = module.read_pairs(running_comfyui.BASE / "models" / "safety_pairs" / "mine.jsonl")
    choose = running_comfyui.module("adapters.clip.read_pairs").choose
    choose(clip, pairs, "attention", 0.02, True).save(patches() / f"same-{kind}.safetensors")
    assert torch.equal(states(negate(clip)[0]), states(negate(clip, source=f"same-{kind}.safetensors")[0]))


def test_strength_0_gives_back_the_very_clip() -> None:
    clip = encoder("clip_l")
    changed, text = negate(clip, strength=0.0)
    assert changed is clip
    assert text.startswith("nothing changed")


def test_strength_one_half_sets_the_weights_to_zero() -> None:
    clip = encoder("clip_l")
    comfy.model_management.unload_all_models()
    before = stored(clip)
    after = loaded(negate(clip, strength=0.5)[0])
    moved = torch.cat([after[name][before[name] != after[name]] for name in before])
    assert len(moved) > 0
    assert not moved.any()


def lora(clip: Any, seed: int) -> Any:
    """Put a LoRA on a clone, as Load LoRA does, on the layers that are negated and others."""
    generator = torch.Generator().manual_seed(seed)
    keys, made = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {}), {}
    for name, key in keys.items():
        if name.startswith("lora_te") and key.endswith(("out_proj.weight", "fc1.weight")):
            rows, columns = clip.cond_stage_model.state_dict()[key].shape
            made[f"{name}.lora_up.weight"] = torch.randn(rows, 2, generator=generator) * 0.1
            made[f"{name}.lora_down.weight"] = torch.randn(2, columns, generator=generator) * 0.1
    assert made
    return comfy.sd.load_lora_for_models(None, clip, made, 0, 0.7)[1]


def test_a_lora_before_is_negated_with_the_weight_and_one_after_is_added() -> None:
    clip = encoder("clip_l")
    comfy.model_management.unload_all_models()
    plain, lifted = stored(clip), loaded(lora(clip, 1))
    after_lora, _ = negate(lora(clip, 1), layers="both", tau=0.1)
    turned = loaded(after_lora)
    places = {name: turned[name] != lifted[name] for name in lifted}
    assert sum(int(found.sum()) for found in places.values()) > 0
    assert all(torch.equal(turned[name][found], -lifted[name][found]) for name, found in places.items())
    before_lora = loaded(lora(negate(clip, layers="both", tau=0.1)[0], 1))
    only_negated = loaded(negate(clip, layers="both", tau=0.1)[0])
    assert not same(before_lora, turned)
    for name, value in before_lora.items():
        assert torch.allclose(value - only_negated[name], lifted[name] - plain[name], atol=1e-6)
    comfy.model_management.unload_all_models()
    assert same(stored(clip), plain)


def test_what_is_saved_holds_the_negated_weights() -> None:
    clip = encoder("clip_l")
    changed, _ = negate(clip)
    comfy.model_management.load_models_gpu([changed.patcher], force_patch_weights=True)
    saved = {name: value.clone() for name, value in changed.get_sd().items()}
    comfy.model_management.unload_all_models()
    plain = clip.get_sd()
    assert any(not torch.equal(saved[name], plain[name]) for name in plain)


@pytest.mark.parametrize("stored_as", quantised.known())
def test_quantised_weights_are_negated_and_given_back(stored_as: str) -> None:
    clip = quantised.clip("wan", stored_as)
    before, said = [weight.dequantize().clone() for weight in quantised.layers(clip)], states(clip)
    changed, _ = negate(clip, layers="both", tau=0.1)
    assert not torch.equal(states(changed), said)
    assert torch.equal(states(clip), said)
    comfy.model_management.unload_all_models()
    after = [weight.dequantize() for weight in quantised.layers(clip)]
    assert len(after) == len(before) > 0
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_half_precision_is_negated_exactly() -> None:
    clip = tiny.clip("sd15", model_options={"dtype": torch.float16})
    before, said = stored(clip), states(clip)
    once = negate(clip, layers="both", tau=0.1)[0]
    after = loaded(once)
    moved = {name: before[name] != after[name] for name in before}
    assert any(found.any() for found in moved.values())
    assert all(torch.equal(after[name][found], -before[name][found]) for name, found in moved.items())
    comfy.model_management.unload_all_models()
    assert torch.equal(states(clip), said)


@pytest.mark.skipif(not hasattr(comfy.lora, "prefetch_prepared_value"), reason="this ComfyUI prepares no patches")
def test_a_patch_that_comfyui_copies_to_another_device_does_the_same() -> None:
    made = running_comfyui.module("adapters.negated_weights").NegatedWeights
    patch, weight = made({"x"}, (torch.tensor([1, 5], dtype=torch.int32), -1.0)), torch.randn(2, 3)
    copied = comfy.lora.prefetch_prepared_value(patch, [0], torch.zeros(4096, dtype=torch.uint8), None, True)
    assert copied is not patch
    patches = [[(1.0, one, 1.0, None, None)] for one in (patch, copied)]
    one, other = (comfy.lora.calculate_weight(found, weight.clone(), "x") for found in patches)
    assert torch.equal(one, other)
    assert torch.equal(one.view(-1)[[1, 5]], -weight.view(-1)[[1, 5]])


def test_weights_that_only_another_loader_can_read_are_refused() -> None:
    clip = tiny.clip("sd15")
    layer = clip.cond_stage_model.clip_l.transformer.text_model.encoder.layers[0].self_attn.out_proj
    layer.weight = torch.nn.Parameter(torch.zeros(32, 20, dtype=torch.uint8), requires_grad=False)
    assert "not GGUF" in fails("EncoderError", clip)


@pytest.mark.parametrize(
    ("error", "inputs", "says"),
    [
        ("DataError", {"source": "one-sided.jsonl"}, "has no 'safe'"),
        ("DataError", {"source": "few.jsonl"}, "at least 8"),
        ("DataError", {"source": "missing.jsonl"}, "There is no file of pairs"),
        ("DataError", {"source": "missing.safetensors"}, "There is no patch file"),
        ("DataError", {"layers": "some"}, "Expected layers"),
        ("DataError", {"scores": "best"}, "Expected scores"),
        ("DataError", {"tau": 1.5}, "Expected tau"),
    ],
)
def test_bad_input_is_one_clear_error(error: str, inputs: dict[str, Any], says: str) -> None:
    assert says in fails(error, encoder("clip_l"), **inputs)


def test_an_empty_clip_input_is_one_clear_error() -> None:
    assert "has no text encoder" in fails("EncoderError", None)


def test_an_encoder_without_such_layers_is_one_clear_error() -> None:
    clip = tiny.clip("sd15")
    for block in clip.cond_stage_model.clip_l.transformer.text_model.encoder.layers:
        block.self_attn.mixed = block.self_attn.out_proj
        del block.self_attn.out_proj
    assert "has no linear layers of the kind 'attention'" in fails("EncoderError", clip)


def test_a_patch_of_another_model_is_one_clear_error() -> None:
    module = running_comfyui.module("safety_steer.storage.prompt_files")
    pairs = module.read_pairs(running_comfyui.BASE / "models" / "safety_pairs" / "mine.jsonl")
    choose = running_comfyui.module("adapters.clip.read_pairs").choose
    choose(encoder("clip_l"), pairs, "attention", 0.02, True).save(patches() / "other.safetensors")
    assert "has other weights there" in fails("MismatchError", tiny.clip("sd15", seed=1), source="other.safetensors")
    assert "does not have that layer" in fails("MismatchError", encoder("umt5"), source="other.safetensors")
