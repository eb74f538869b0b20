"""Families of U-Nets: Stable Diffusion 1, 2 and XL, what was made of them, and Stable Cascade."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from ..comfyui import tiny  # isort: skip
from .rows import BOTH, IMAGE, POOLED, POOLED_UNREAD, SIZE, Family, context, noise, text


def unet(**more: Any) -> dict[str, Any]:
    """Return the unet_config of Stable Diffusion's U-Nets."""
    return {**tiny.UNET, "model_channels": 64, "use_linear_in_transformer": True, "adm_in_channels": None, **more}


def sdxl(config: str, **more: Any) -> Family:
    """Return the row of SDXL or of a model that is SDXL with other depths."""
    extras = {**SIZE, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64}
    return Family(
        config,
        unet(num_classes="sequential", **more),
        text(**POOLED),
        LATENT,
        lambda widths: {"context_dim": widths["cross_attn"], "adm_in_channels": widths["pooled_output"] + 6 * 256},
        extras=lambda: {**extras, **({"concat_latent_image": noise(*LATENT)} if "in_channels" in more else {})},
        encoder="sdxl",
        spaces=BOTH,
    )


def seen(width: int) -> dict[str, Any]:
    """Return what an unCLIP node adds: an image as CLIP vision sees it."""
    image = SimpleNamespace(image_embeds=noise(1, width))
    return {"unclip_conditioning": [{"clip_vision_output": image, "strength": 1.0, "noise_augmentation": 0.1}]}


LATENT = (1, 4, 8, 8)
UNCLIP = {"num_classes": "sequential"}
OF_SDXL: dict[str, tuple[str, dict[str, Any]]] = {
    "sdxl_instructpix2pix": ("SDXL_instructpix2pix", {"in_channels": 8}),
    "ssd_1b": (
        "SSD1B",
        {"transformer_depth": [0, 2], "transformer_depth_output": [0, 0, 2, 1], "transformer_depth_middle": -1},
    ),
    "segmind_vega": ("Segmind_Vega", {"transformer_depth": [0, 1], "transformer_depth_middle": -1}),
    "koala_700m": ("KOALA_700M", {"transformer_depth": [0, 2], "transformer_depth_middle": -1}),
    "koala_1b": ("KOALA_1B", {"transformer_depth": [0, 3], "transformer_depth_output": [0, 0, 3, 3]}),
}
UNETS: dict[str, Family] = {
    "sd15": Family(
        "SD15",
        unet(model_channels=32, use_linear_in_transformer=False),
        text(),
        (1, 4, 8, 8),
        context("context_dim"),
        **POOLED_UNREAD,
    ),
    "sd2": Family("SD20", unet(), text(), (1, 4, 8, 8), context("context_dim"), **POOLED_UNREAD),
    "sdxl": sdxl("SDXL"),
    "sdxl_refiner": Family(
        "SDXLRefiner",
        unet(num_classes="sequential"),
        text(**POOLED),
        (1, 4, 8, 8),
        lambda widths: {"context_dim": widths["cross_attn"], "adm_in_channels": widths["pooled_output"] + 5 * 256},
        extras=lambda: {**SIZE, "aesthetic_score": 6.0},
        spaces=BOTH,
    ),
    "stable_cascade": Family(
        "Stable_Cascade_C",
        {"stable_cascade_stage": "c", "c_cond": 32, "c_hidden": [32, 32], "nhead": [2, 2], "blocks": [[1, 1], [1, 1]]},
        text(**POOLED),
        IMAGE,
        context("c_clip_text", "c_clip_text_pooled"),
        refused="the model mixes both texts and an image into one",
        spaces=BOTH,
    ),
    "sd15_instructpix2pix": Family(
        "SD15_instructpix2pix",
        unet(model_channels=32, use_linear_in_transformer=False, in_channels=8),
        text(),
        LATENT,
        context("context_dim"),
        extras=lambda: {"concat_latent_image": noise(*LATENT)},
        encoder="sd15",
        **POOLED_UNREAD,
    ),
    "sd21_unclip_l": Family(
        "SD21UnclipL",
        unet(**UNCLIP, adm_in_channels=1536),
        text(),
        LATENT,
        context("context_dim"),
        partial(seen, 768),
        encoder="sd2",
        **POOLED_UNREAD,
    ),
    "sd21_unclip_h": Family(
        "SD21UnclipH",
        unet(**UNCLIP, adm_in_channels=2048),
        text(),
        LATENT,
        context("context_dim"),
        partial(seen, 1024),
        encoder="sd2",
        **POOLED_UNREAD,
    ),
    "sd_x4_upscaler": Family(
        "SD_X4Upscaler",
        unet(in_channels=7, disable_self_attentions=[True, False], num_classes=1000),
        text(),
        LATENT,
        context("context_dim"),
        extras=lambda: {"concat_image": noise(1, 3, 8, 8), "noise_augmentation": 0.1},
        encoder="sd2",
        **POOLED_UNREAD,
    ),
    "lotus": Family(
        "LotusD",
        unet(num_classes="sequential", num_head_channels=64, adm_in_channels=4),
        text(),
        LATENT,
        context("context_dim"),
        encoder="sd2",
        **POOLED_UNREAD,
    ),
    **{name: sdxl(config, **changes) for name, (config, changes) in OF_SDXL.items()},
    "stable_cascade_b": Family(
        "Stable_Cascade_B",
        {
            "stable_cascade_stage": "b",
            "c_cond": 32,
            "c_hidden": [32, 32],
            "nhead": [-1, 2],
            "blocks": [[1, 1], [1, 1]],
            "block_repeat": [[1, 1], [1, 1]],
            "level_config": ["CT", "CTA"],
        },
        text(**POOLED),
        (1, 4, 8, 8),
        lambda widths: {"c_clip": widths["pooled_output"]},
        extras=lambda: {"stable_cascade_prior": noise(1, 16, 2, 2)},
        encoder="stable_cascade",
        spaces=BOTH,
        unread=("cross_attn",),
        refused="the model reads the pooled text alone",
    ),
}
