"""What the pack holds on to when a run is over: tensors of its own on the CPU, and neither an encoder nor a model."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
from support.comfyui import tiny, words
from test_steering import DEFAULTS, ksampler

ALIGN = {"map": "ridge", "max_anchors": 2048}


def gone(reference: weakref.ref[Any]) -> bool:
    gc.collect()
    return reference() is None


def tensors_in(value: Any, seen: set[int] | None = None) -> Iterator[torch.Tensor]:
    """Yield every tensor that an object of the pack holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item, seen)
    elif type(value).__module__.startswith(running_comfyui.PACKAGE):
        yield from tensors_in(vars(value), seen)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_an_aligned_direction_does_not_hold_its_encoder(kind: str) -> None:
    clip = tiny.clip(kind)
    encoder = weakref.ref(clip.cond_stage_model)
    [aligned] = running_comfyui.call("AlignSafetyDirection", direction=tiny.direction(kind), clip=clip, **ALIGN)
    tiny.encode(clip, words.DANGEROUS)
    hooked = [part for part in clip.cond_stage_model.modules() if part._forward_hooks or part._forward_pre_hooks]
    assert hooked == []
    del clip, hooked
    assert gone(encoder)
    held = list(tensors_in(aligned))
    assert held
    assert {tensor.device.type for tensor in held} == {"cpu"}


@pytest.mark.parametrize("site", ["conditioning", "cross-attention"])
def test_a_report_does_not_hold_the_model_it_is_of(site: str) -> None:
    model, clip = tiny.model("sd15"), tiny.clip("sd15")
    network, inputs = weakref.ref(model.model), {**DEFAULTS, "preserve_norm": False, "site": site}
    [aligned] = running_comfyui.call("AlignSafetyDirection", direction=tiny.direction("sd15"), clip=clip, **ALIGN)
    steered, log = running_comfyui.call("ApplySafetySteer", model=model, direction=aligned, **inputs)
    ksampler("sd15", steered, tiny.encode(clip, words.DANGEROUS), tiny.encode(clip, "blurry"))
    assert log.ran()
    del model, steered
    comfy.model_management.cleanup_models()
    assert gone(network)
    assert {tensor.device.type for record in log.records() for tensor in tensors_in(record)} == {"cpu"}
