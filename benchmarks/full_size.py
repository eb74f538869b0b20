"""Generators and text encoders in the sizes people run, of ComfyUI's own classes with random weights, made on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.comfyui import tiny  # isort: skip
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.text_encoders.qwen_image
import torch


@dataclass(frozen=True)
class Generator:
    """A class of comfy.supported_models with the sizes of a checkpoint, and what one run of it is given.

    `text` is (rows, width) of a prompt, `pooled` the width of its pooled text, `extras` what else its conditioning holds.
    """

    config: str
    unet: Mapping[str, Any]
    latent: tuple[int, ...]
    text: tuple[int, int]
    cfg: float
    pooled: int = 0
    extras: Mapping[str, Any] = field(default_factory=dict)


WAN = {**tiny.WAN, "freq_dim": 256, "text_dim": 4096}
VIDEO = (1, 16, 9, 60, 104)  # 33 frames of 832 x 480
GENERATORS: dict[str, Generator] = {
    "SDXL": Generator(
        "SDXL",
        {
            **tiny.UNET,
            "model_channels": 320,
            "num_res_blocks": [2, 2, 2],
            "channel_mult": [1, 2, 4],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "transformer_depth_middle": 10,
            "use_linear_in_transformer": True,
            "num_classes": "sequential",
            "context_dim": 2048,
            "adm_in_channels": 2816,
        },
        (1, 4, 128, 128),
        (77, 2048),
        cfg=7.0,
        pooled=1280,
        extras={"width": 1024, "height": 1024, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 1024},
    ),
    "Flux": Generator(
        "Flux",
        {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": 2,
            "hidden_size": 3072,
            "num_heads": 24,
            "depth": 19,
            "depth_single_blocks": 38,
            "mlp_ratio": 4.0,
            "axes_dim": [16, 56, 56],
            "theta": 10000,
            "qkv_bias": True,
            "guidance_embed": True,
            "context_in_dim": 4096,
            "vec_in_dim": 768,
            "txt_ids_dims": [],
        },
        (1, 16, 128, 128),
        (512, 4096),
        cfg=1.0,
        pooled=768,
        extras={"guidance": 3.5},
    ),
    "Qwen-Image": Generator(
        "QwenImage",
        {"image_model": "qwen_image", "in_channels": 64, "num_layers": 60},
        (1, 16, 1, 128, 128),
        (128, 3584),
        cfg=4.0,
    ),
    "Wan 1.3B": Generator(
        "WAN21_T2V", {**WAN, "dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30}, VIDEO, (512, 4096), cfg=5.0
    ),
    "Wan 14B": Generator(
        "WAN21_T2V", {**WAN, "dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}, VIDEO, (512, 4096), cfg=5.0
    ),
}
# By name: what `tiny.clip` calls it and its sizes there, which an empty entry leaves as ComfyUI has them.
ENCODERS: dict[str, tuple[str, str]] = {
    "T5-XXL": ("pixart", "t5xxl_model_config"),
    "UMT5-XXL": ("wan", "umt5xxl_model_config"),
    "Qwen2.5-VL-7B": ("qwen_image", ""),
}


def fill(module: torch.nn.Module, seed: int) -> None:
    """Give every weight a value where it lies: ones for norms, zeros for biases, random numbers for the rest."""
    device = next(module.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim < 2:
            parameter.fill_(float(name.endswith(("weight", "scale"))))
        else:
            parameter.normal_(
                0, 1.0 if "embed" in name or "shared" in name else parameter[0].numel() ** -0.5, generator=generator
            )


def model(generator: Generator, dtype: torch.dtype) -> comfy.model_patcher.ModelPatcher:
    """Return the generator's diffusion model with random weights, on ComfyUI's device."""
    device = comfy.model_management.get_torch_device()
    config = getattr(comfy.supported_models, generator.config)(dict(generator.unet))
    config.set_inference_dtype(dtype, None)
    config.manual_cast_dtype = None
    made = config.get_model({}, "", device=device).eval()
    fill(made.diffusion_model.to(device), 1)
    return comfy.model_patcher.ModelPatcher(made, device, comfy.model_management.unet_offload_device())


def conditioning(generator: Generator, seed: int) -> list[list[Any]]:
    """Return CONDITIONING of random text in the generator's sizes, on the CPU as text encoders leave it."""
    random = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, generator.pooled, generator=random) if generator.pooled else None
    return [[torch.randn(1, *generator.text, generator=random), {"pooled_output": pooled, **generator.extras}]]


def encoder(name: str, dtype: torch.dtype) -> comfy.sd.CLIP:
    """Return a text encoder with random weights and ComfyUI's own sizes, on ComfyUI's device."""
    kind, sizes = ENCODERS[name]
    device = comfy.model_management.text_encoder_device()
    options = {"dtype": dtype, "initial_device": device, "load_device": device}
    if sizes:
        made = tiny.clip(kind, model_options={**options, sizes: {}}, weights={})
    else:
        part = comfy.text_encoders.qwen_image
        made = comfy.sd.CLIP(tiny._Target(part.te(), part.QwenImageTokenizer), model_options=options)
    fill(made.cond_stage_model, 0)
    return made
