"""Families of U-Nets: Stable Diffusion 1, 2 and XL, what was made of them, and Stable Cascade."""

from __future__ import annotations

from typing import Any

import tiny  # isort: skip
from family_rows import BOTH, IMAGE, POOLED, SIZE, Family, context, text


def unet(**more: Any) -> dict[str, Any]:
    """Return the unet_config of Stable Diffusion's U-Nets."""
    return {**tiny.UNET, "model_channels": 64, "use_linear_in_transformer": True, "adm_in_channels": None, **more}


UNETS: dict[str, Family] = {
    "sd15": Family(
        "SD15",
        unet(model_channels=32, use_linear_in_transformer=False),
        text(),
        (1, 4, 8, 8),
        context("context_dim"),
        spaces=BOTH,
    ),
    "sd2": Family("SD20", unet(), text(), (1, 4, 8, 8), context("context_dim"), spaces=BOTH),
    "sdxl": Family(
        "SDXL",
        unet(num_classes="sequential"),
        text(**POOLED),
        (1, 4, 8, 8),
        lambda widths: {"context_dim": widths["cross_attn"], "adm_in_channels": widths["pooled_output"] + 6 * 256},
        extras=lambda: {**SIZE, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64},
        spaces=BOTH,
    ),
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
}
