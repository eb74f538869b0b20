"""Negate Unsafe Weights (Vision) on a real CLIP vision of ComfyUI: a clone is patched, and the model stays as it was."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.clip_vision
import comfy.lora
import comfy.model_management
import comfy.sd
import pytest
import torch
from support.comfyui import tiny, versions

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "hidden_act": "quick_gelu",
    "image_size": 28,
    "patch_size": 14,
    "num_channels": 3,
    "model_type": "clip_vision_model",
    "projection_dim": 8,
}


def vision(seed: int = 0) -> Any:
    made = versions.clip_vision(VISION)
    tiny.randomise(made.model, seed)
    return made


def pictures(seed: int, count: int = 9) -> torch.Tensor:
    return torch.rand(count, 28, 28, 3, generator=torch.Generator().manual_seed(seed))


def negate_vision(model: Any, **inputs: Any) -> tuple[Any, str]:
    given = {"source": "the pictures", "safe": pictures(1), "unsafe": pictures(2) ** 3}
    return running_comfyui.call("NegateUnsafeWeightsVision", clip_vision=model, **{**given, **inputs})


def test_a_clip_vision_is_negated_and_stays_as_it_was() -> None:
    model = vision()
    shown = pictures(3, 1)
    said = model.encode_image(shown)["image_embeds"].clone()
    changed, text = negate_vision(model)
    assert "fc2" in text
    assert "out_proj" not in text
    assert not torch.equal(changed.encode_image(shown)["image_embeds"], said)
    assert torch.equal(model.encode_image(shown)["image_embeds"], said)
    assert negate_vision(model, strength=0.0)[0] is model
    comfy.model_management.unload_all_models()
    assert not model.patcher.patches


@pytest.mark.parametrize(
    ("inputs", "says"), [({"safe": None}, "both safe and unsafe"), ({"unsafe": pictures(2, 8)}, "as many safe as unsafe")]
)
def test_one_sided_pictures_are_one_clear_error(inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(running_comfyui.module("safety_steer.errors").DataError, match=says):
        negate_vision(vision(), **inputs)
