"""What else a workflow may contain: a table of graphs around one prompt, each sampled in a fraction of a second.

A `Situation` is a graph less the node under test: other nodes on the MODEL wire and on the prompts, guiders, precisions.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from . import running_comfyui  # isort: skip
import comfy.cldm.cldm
import comfy.controlnet
import comfy.hooks
import comfy.lora
import comfy.model_patcher
import comfy.ops
import comfy.patcher_extension
import comfy.sd
import torch
from test_steering import Conditioning

import nodes

from . import tiny, words

for extra in ("context_windows", "hooks", "pag", "perpneg", "sag"):
    source = Path(running_comfyui.CHECKOUT) / "comfy_extras" / f"nodes_{extra}.py"
    assert asyncio.run(nodes.load_custom_node(str(source), module_parent="comfy_extras"))

Prompts = tuple[Conditioning, Conditioning]

SITES = ("conditioning", "cross-attention")
WRAPPERS = comfy.patcher_extension.WrappersMP


def reachable(direction: Any, site: str) -> Any:
    """Return what of a direction a site steers: pooled text is part of no cross-attention."""
    return (
        running_comfyui.module("adapters.sampling.cross_attention").within_reach(direction) if site == SITES[1] else direction
    )


clip = cache(tiny.clip)


def encode(text: str, encoder: Any = None) -> Conditioning:
    return tiny.encode(encoder or clip("sd15"), text)


def node(name: str, **inputs: Any) -> Callable[[Any], Any]:
    """Return a core node on the MODEL wire; an input that this ComfyUI does not have yet is left out."""
    known = inspect.signature(nodes.NODE_CLASS_MAPPINGS[name].execute).parameters
    return lambda model: running_comfyui.call(name, model=model, **{key: inputs[key] for key in inputs if key in known})[0]


def positive(name: str, **inputs: Any) -> Callable[[Prompts], Prompts]:
    """Return a core node on the positive CONDITIONING."""
    return lambda prompts: (running_comfyui.call(name, conditioning=prompts[0], **inputs)[0], prompts[1])


def negative(name: str, **inputs: Any) -> Callable[[Prompts], Prompts]:
    return lambda prompts: (prompts[0], running_comfyui.call(name, conditioning=prompts[1], **inputs)[0])


def wrapped(place: str, argument: int) -> Callable[[Any], Any]:
    """Return somebody's node: a wrapper that halves an argument."""

    def halve(executor: Any, *args: Any, **kwargs: Any) -> Any:
        return executor(*args[:argument], args[argument] * 0.5, *args[argument + 1 :], **kwargs)

    def patch(model: Any) -> Any:
        patched = model.clone()
        patched.add_wrapper_with_key(place, "somebody", halve)
        return patched

    return patch


def lora(keys: dict[str, str], weights: dict[str, torch.Tensor], part: str, size: float) -> dict[str, torch.Tensor]:
    """Make a random LoRA of rank 2 for the attention matrices of a part."""
    generator, made = torch.Generator().manual_seed(3), {}
    for name, key in keys.items():
        if name.startswith(part) and "attn" in name and weights[key].ndim == 2:
            rows, columns = weights[key].shape
            made[f"{name}.lora_up.weight"] = size * torch.randn(rows, 2, generator=generator)
            made[f"{name}.lora_down.weight"] = torch.randn(2, columns, generator=generator)
    return made


def model_lora(model: Any) -> dict[str, torch.Tensor]:
    return lora(comfy.lora.model_lora_keys_unet(model.model, {}), model.model.state_dict(), "diffusion_model.", 0.2)


def clip_lora(size: float) -> dict[str, torch.Tensor]:
    encoder = clip("sd15").cond_stage_model
    return lora(comfy.lora.model_lora_keys_clip(encoder, {}), encoder.state_dict(), "text_encoders.", size)


def with_lora(model: Any) -> Any:
    return comfy.sd.load_lora_for_models(model, None, model_lora(model), 1.0, 0.0)[0]


def clip_with_lora(size: float) -> Any:
    return comfy.sd.load_lora_for_models(None, clip("sd15"), clip_lora(size), 0.0, 1.0)[1]


@cache
def aligned_with_lora(size: float, kind: str) -> Any:
    # The gate of older directions: an encoder of random weights with a LoRA is too unlike the source for the newer one.
    direction = replace(tiny.direction(kind), examples=None)
    inputs = {"direction": direction, "clip": clip_with_lora(size), "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **inputs)[0]


def scheduled_clip() -> Any:
    """Hang a LoRA on CLIP and model whose strength changes half way: every prompt is encoded twice."""
    hooks = comfy.hooks.create_hook_lora({**model_lora(tiny.model("sd15")), **clip_lora(0.02)}, 1.0, 1.0)
    [frames] = running_comfyui.call("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
    [frames] = running_comfyui.call("CreateHookKeyframe", strength_mult=0.2, start_percent=0.5, prev_hook_kf=frames)
    [hooks] = running_comfyui.call("SetHookKeyframes", hooks=hooks, hook_kf=frames)
    return running_comfyui.call("SetClipHooks", clip=clip("sd15"), schedule_clip=True, apply_to_conds=True, hooks=hooks)[0]


def half_clip() -> Any:
    made = tiny.clip("sd15")
    made.cond_stage_model.half()
    return made


def encoded_by(encoder: Callable[[], Any]) -> Callable[[Prompts], Prompts]:
    return lambda _: (encode(words.DANGEROUS, encoder()), encode("blurry", encoder()))


def in_half(prompts: Prompts) -> Prompts:
    first, second = ([[states.half(), extras] for states, extras in prompt] for prompt in prompts)
    return first, second


def hooked(prompts: Prompts) -> Prompts:
    """Hang a LoRA on the positive, which then runs with weights of its own."""
    hooks = comfy.hooks.create_hook_lora(model_lora(tiny.model("sd15")), 1.0, 0.0)
    inputs = {"cond_NEW": prompts[0], "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    return running_comfyui.call("ConditioningSetProperties", **inputs)[0], prompts[1]


def combined(prompts: Prompts) -> Prompts:
    inputs = {"conditioning_1": prompts[0], "conditioning_2": encode(words.HARMLESS)}
    return running_comfyui.call("ConditioningCombine", **inputs)[0], prompts[1]


@cache
def control_net() -> Any:
    made = comfy.cldm.cldm.ControlNet(
        **tiny.UNET, model_channels=32, context_dim=32, hint_channels=3, num_heads=8, operations=comfy.ops.manual_cast
    )
    tiny.randomise(made, 5)
    return comfy.controlnet.ControlNet(made, load_device=tiny.CPU)


def controlled(prompts: Prompts) -> Prompts:
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(4))
    inputs = {"positive": prompts[0], "negative": prompts[1], "control_net": control_net(), "image": image}
    first, second = running_comfyui.call("ControlNetApplyAdvanced", **inputs, strength=1.0, start_percent=0.0, end_percent=1.0)
    return first, second


def model_in(dtype: torch.dtype, cast: torch.dtype | None, kind: str) -> Any:
    """Make the tiny model with weights of one type, computed in another."""
    model = tiny.model(kind)
    config = model.model.model_config
    config.set_inference_dtype(dtype, cast)
    made = config.get_model({}, "", device=tiny.CPU)
    made.diffusion_model.load_state_dict(model.model.diffusion_model.state_dict())
    return comfy.model_patcher.ModelPatcher(made, tiny.CPU, tiny.CPU)


class LowVram(comfy.model_patcher.ModelPatcher):
    """Loads no layer for good: each one fetches and patches its weights at every call, as where memory is short."""

    def load(self, device_to: Any = None, _memory: int = 0, force_patch_weights: bool = False, **_: Any) -> None:
        super().load(device_to, 1, force_patch_weights, False)


def low_vram(kind: str) -> Any:
    return with_lora(LowVram(tiny.model(kind).model, tiny.CPU, tiny.CPU))


def cfg_guider(model: Any, first: Conditioning, second: Conditioning, _other: str = "") -> Any:
    return running_comfyui.call("CFGGuider", model=model, positive=first, negative=second, cfg=7.0)[0]


def dual_guider(
    model: Any, first: Conditioning, second: Conditioning, other: str = words.HARMLESS, style: str = "regular"
) -> Any:
    inputs = {"cond1": first, "cond2": encode(other), "negative": second, "style": style}
    return running_comfyui.call("DualCFGGuider", model=model, cfg_conds=5.0, cfg_cond2_negative=3.0, **inputs)[0]


def perp_neg_guider(model: Any, first: Conditioning, second: Conditioning, other: str = "") -> Any:
    inputs = {"positive": first, "negative": second, "empty_conditioning": encode(other)}
    return running_comfyui.call("PerpNegGuider", model=model, cfg=7.0, neg_scale=1.0, **inputs)[0]


def sample(guider: Any, shape: tuple[int, ...], steps: int = 2, callback: Any = None) -> torch.Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    [sampler] = running_comfyui.call("KSamplerSelect", sampler_name="euler")
    [sigmas] = running_comfyui.call("BasicScheduler", model=guider.model_patcher, scheduler="simple", steps=steps, denoise=1.0)
    zeros = torch.zeros(shape)
    made: torch.Tensor = guider.sample(noise, zeros, sampler, sigmas, callback=callback, disable_pbar=True, seed=1)
    return made


@dataclass(frozen=True)
class Situation:
    """A graph: its model, a node on the MODEL wire, nodes on the prompts, the guider, the shape of the latents."""

    kind: str = "sd15"
    make: Callable[[str], Any] = tiny.model
    patch: Callable[[Any], Any] | None = None
    prompts: Callable[[Prompts], Prompts] = lambda prompts: prompts
    guider: Callable[..., Any] = cfg_guider
    shape: tuple[int, ...] = ()
    direction: Callable[[str], Any] = tiny.aligned
    sites: tuple[str, ...] = SITES

    def encoded(self) -> Prompts:
        return self.prompts((encode(words.DANGEROUS, clip(self.kind)), encode("blurry", clip(self.kind))))

    def patched(self, model: Any) -> Any:
        return self.patch(model) if self.patch else model

    def sample(self, model: Any, prompts: Prompts, **options: Any) -> torch.Tensor:
        return sample(self.guider(model, *prompts), self.shape or tiny.LATENTS[self.kind], **options)


AREA = {"width": 32, "height": 64, "x": 32, "y": 0, "strength": 1.0}
MASK = {"mask": torch.ones(1, 64, 64).triu(32), "strength": 1.0}
FRAMES = {"context_length": 3, "context_overlap": 1, "context_schedule": "standard_static", "context_stride": 1, "dim": 2}
FP8 = torch.float8_e4m3fn
SITUATIONS = {
    "DualCFGGuider": Situation(guider=dual_guider),
    "DualCFGGuider, nested": Situation(guider=partial(dual_guider, style="nested")),
    "PerpNegGuider": Situation(guider=perp_neg_guider),
    "PerpNeg": Situation(patch=lambda model: node("PerpNeg", empty_conditioning=encode(""), neg_scale=1.0)(model)),
    "SAG": Situation(patch=node("SelfAttentionGuidance", scale=0.5, blur_sigma=2.0)),
    "PAG": Situation(patch=node("PerturbedAttentionGuidance", scale=3.0)),
    "area": Situation(prompts=lambda prompts: combined(positive("ConditioningSetArea", **AREA)(prompts))),
    "area of the negative": Situation(prompts=negative("ConditioningSetArea", **AREA)),
    "mask": Situation(prompts=positive("ConditioningSetMask", **MASK, set_cond_area="default")),
    "mask bounds": Situation(
        prompts=positive("ConditioningSetMask", **MASK, set_cond_area="mask bounds"), shape=(1, 4, 16, 16)
    ),
    "timestep range": Situation(prompts=positive("ConditioningSetTimestepRange", start=0.2, end=0.7)),
    "harmless prompt beside": Situation(prompts=combined),
    "negative zeroed out": Situation(prompts=negative("ConditioningZeroOut")),
    "long negative": Situation(prompts=lambda prompts: (prompts[0], encode("blurry and dark " * 40))),
    "long positive": Situation(
        prompts=lambda prompts: (encode(" ".join([words.DANGEROUS, *words.benign_prompts(10)])), prompts[1])
    ),
    "ControlNet": Situation(prompts=controlled, sites=SITES[:1]),
    "LoRA": Situation(patch=with_lora),
    "LoRA of a video model": Situation("wan", patch=with_lora),
    "LoRA of the CLIP": Situation(
        prompts=encoded_by(partial(clip_with_lora, 0.05)), direction=partial(aligned_with_lora, 0.05)
    ),
    "light LoRA of the CLIP, not aligned to": Situation(prompts=encoded_by(partial(clip_with_lora, 0.01))),
    "LoRA hook": Situation(prompts=hooked),
    "scheduled LoRA hook of the CLIP": Situation(prompts=encoded_by(scheduled_clip)),
    "context windows": Situation(
        "wan",
        patch=node("ContextWindowsManual", **FRAMES, closed_loop=False, fuse_method="pyramid", freenoise=True),
        shape=(1, 16, 8, 8, 8),
    ),
    "batch of 4": Situation(shape=(4, 4, 8, 8)),
    "batch of 4 videos": Situation("wan", shape=(4, 16, 2, 8, 8)),
    "somebody's OUTER_SAMPLE wrapper": Situation(patch=wrapped(WRAPPERS.OUTER_SAMPLE, 0)),
    "somebody's APPLY_MODEL wrapper": Situation(patch=wrapped(WRAPPERS.APPLY_MODEL, 0)),
    "somebody's wrapper of the text": Situation(patch=wrapped(WRAPPERS.APPLY_MODEL, 3)),
    "weights in fp16": Situation(make=partial(model_in, torch.float16, torch.float32)),
    "weights in bf16": Situation(make=partial(model_in, torch.bfloat16, torch.float32)),
    "model in bf16": Situation(make=partial(model_in, torch.bfloat16, None)),
    "weights in fp8": Situation(make=partial(model_in, FP8, torch.float32)),
    "weights in fp8, model in bf16": Situation(make=partial(model_in, FP8, torch.bfloat16)),
    "CLIP in fp16": Situation(prompts=encoded_by(half_clip)),
    "conditioning in fp16": Situation(prompts=in_half),
    "little VRAM": Situation(make=low_vram),
}
