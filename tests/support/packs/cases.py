"""All cases, by the folder that a pack's code lies in; a pack without any is only loaded."""

from __future__ import annotations

from collections.abc import Mapping

from . import pipes, samplers
from .case import Case

CASES: Mapping[str, Mapping[str, Case]] = {
    "ComfyUI-AnimateDiff-Evolved": samplers.ANIMATEDIFF,
    "ComfyUI-Easy-Use": pipes.EASY_USE,
    "ComfyUI-GGUF": samplers.GGUF,
    "ComfyUI-Impact-Pack": pipes.IMPACT,
    "ComfyUI-Inspire-Pack": pipes.INSPIRE,
    "ComfyUI-KJNodes": samplers.KJNODES,
    "ComfyUI-LTXVideo": {},
    "ComfyUI-TeaCache": {},
    "ComfyUI-TripleKSampler": samplers.TRIPLE,
    "ComfyUI-WanMoeKSampler": samplers.MOE,
    "ComfyUI-ppm": samplers.PPM,
    "ComfyUI_IPAdapter_plus": samplers.IPADAPTER,
    "ComfyUI_UltimateSDUpscale": samplers.ULTIMATE,
    "ComfyUI_tinyterraNodes": pipes.TINYTERRA,
    "RES4LYF": samplers.RES4LYF,
    "comfyui-prompt-control": samplers.PROMPT_CONTROL,
    "efficiency-nodes-comfyui": pipes.EFFICIENCY,
    "rgthree-comfy": pipes.RGTHREE,
}
NEEDS: Mapping[str, tuple[str, ...]] = {"ComfyUI-Inspire-Pack": ("ComfyUI-Impact-Pack",)}
"""Packs that another one samples with."""
