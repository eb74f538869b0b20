"""Families of pictures that read one language model."""

from __future__ import annotations

from typing import Any

from family_rows import BOTH, IMAGE, POOLED, Family, context, noise, text


def next_dit(**more: Any) -> dict[str, Any]:
    """Return that of Lumina 2 and of the models that share its class."""
    sizes = {"patch_size": 2, "in_channels": 16, "n_layers": 1, "n_refiner_layers": 1, "qk_norm": True}
    return {"image_model": "lumina2", **sizes, "axes_lens": [300, 512, 512], **more}


LLM_IMAGES: dict[str, Family] = {
    "lumina2": Family(
        "Lumina2",
        next_dit(dim=64, n_heads=2, n_kv_heads=1, axes_dims=[8, 12, 12]),
        text(mask=True),
        IMAGE,
        context("cap_feat_dim"),
    ),
    "newbie": Family(
        "Lumina2",
        next_dit(dim=64, n_heads=2, n_kv_heads=1, axes_dims=[8, 12, 12]),
        text(mask=True, **POOLED),
        IMAGE,
        context("cap_feat_dim", "clip_text_dim"),
        needs="comfy.text_encoders.newbie",
        spaces=BOTH,
    ),
    "z_image": Family(
        "ZImage",
        next_dit(
            dim=256,  # its modulation has 256 channels and the class takes no fewer
            n_heads=8,
            n_kv_heads=8,
            axes_dims=[8, 12, 12],
            rope_theta=256.0,
            ffn_dim_multiplier=1.0,
            z_image_modulation=True,
            time_scale=1000.0,
            pad_tokens_multiple=32,
        ),
        text(mask=True),
        IMAGE,
        context("cap_feat_dim"),
    ),
    "omnigen2": Family(
        "Omnigen2",
        {
            "image_model": "omnigen2",
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_kv_heads": 1,
            "num_layers": 1,
            "num_refiner_layers": 1,
            "axes_dim_rope": [8, 12, 12],
            "axes_lens": [1024, 512, 512],
            "multiple_of": 32,
            "timestep_scale": 1000.0,
        },
        text(mask=True),
        IMAGE,
        context("text_feat_dim"),
        extras=lambda: {"reference_latents": [noise(1, 16, 4, 4)]},
    ),
    "qwen_image": Family(
        "QwenImage",
        {
            "image_model": "qwen_image",
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "num_layers": 1,
            "axes_dims_rope": (8, 12, 12),
        },
        text(),
        (1, 16, 1, 8, 8),
        context("joint_attention_dim"),
        extras=lambda: {"reference_latents": [noise(1, 16, 1, 4, 4)]},
    ),
}
