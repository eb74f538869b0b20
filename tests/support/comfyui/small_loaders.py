"""Small random models for ComfyUI's own loader nodes to give, so that a saved workflow runs as it is saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from . import running_comfyui  # isort: skip
import comfy.ldm.wan.vae
import comfy.sd
import comfy.taesd.taesd
import pytest
import torch

import nodes

from ..families import clips, models, rows
from . import tiny

WAN_VAE = {"z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [], "temperal_downsample": [0, 1, 1]}
DIRECTION = running_comfyui.module("nodes.load_direction").DEFAULT


@cache
def model(kind: str) -> Any:
    """Make a diffusion model: "sd15", "wan" or "wan_i2v"."""
    return models.model(kind, {"cross_attn": 32}) if kind == "wan_i2v" else tiny.model(kind)


@cache
def clip(kind: str) -> Any:
    """Make a text encoder: "sd15", "wan", "flux" or "qwen_image"."""
    return clips.clip(kind) if kind == "qwen_image" else tiny.clip(kind)


@cache
def vae(kind: str) -> Any:
    """Make a VAE: "sd15" a small one of four channels, "wan" the video one, made narrow."""
    narrow = pytest.MonkeyPatch()
    made = comfy.ldm.wan.vae.WanVAE
    if kind == "sd15":
        network: torch.nn.Module = comfy.taesd.taesd.TAESD()
    else:
        network = made(dim=8, **WAN_VAE)
    tiny.randomise(network, 4)
    # ComfyUI 0.3.64 takes the width of the original, whatever the weights say.
    narrow.setattr(comfy.ldm.wan.vae, "WanVAE", lambda **config: made(**{**config, "dim": 8}))
    try:
        return comfy.sd.VAE(sd=network.state_dict(), dtype=torch.float32)
    finally:
        narrow.undo()


class _Vision:
    """Stands in for a CLIP vision model: says of 16 parts of a picture which colour they have."""

    def encode_image(self, image: torch.Tensor, crop: bool = True) -> SimpleNamespace:
        assert crop
        colours = torch.nn.functional.adaptive_avg_pool2d(image.movedim(-1, 1), 4).flatten(2).transpose(1, 2)
        # Wan takes these.
        return SimpleNamespace(penultimate_hidden_states=torch.einsum("btc,tcd->btd", colours, rows.noise(16, 3, 1280)))


def _unet(unet_name: str, **_: Any) -> tuple[Any, ...]:
    return (model("wan_i2v" if "i2v" in unet_name else "wan"),)


LOADERS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "CheckpointLoaderSimple": lambda **_: (model("sd15"), clip("sd15"), vae("sd15")),
    "UNETLoader": _unet,
    "CLIPLoader": lambda type, **_: (clip(type),),
    "DualCLIPLoader": lambda type, **_: (clip(type),),
    "VAELoader": lambda **_: (vae("wan"),),
    "CLIPVisionLoader": lambda **_: (_Vision(),),
}


@contextmanager
def in_place(encoder: str) -> Iterator[None]:
    """Have the loaders give small models, and Load Safety Direction one that fits this small text encoder."""
    path = running_comfyui.DIRECTIONS / DIRECTION
    if encoder != "qwen_image":
        tiny.direction(encoder).save(path)
    with pytest.MonkeyPatch.context() as patch:
        for name, give in LOADERS.items():
            loader = nodes.NODE_CLASS_MAPPINGS[name]
            patch.setattr(loader, loader.FUNCTION, lambda _self, give=give, **chosen: give(**chosen))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
