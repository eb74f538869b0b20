"""Families of pictures that read one language model."""

from __future__ import annotations

from typing import Any

import torch

from .rows import BOTH, HIDDEN, IMAGE, POOLED, Family, Widths, context, noise, text


def next_dit(**more: Any) -> dict[str, Any]:
    """Return that of Lumina 2 and of the models that share its class."""
    sizes = {"patch_size": 2, "in_channels": 16, "n_layers": 1, "n_refiner_layers": 1, "qk_norm": True}
    return {"image_model": "lumina2", **sizes, "axes_lens": [300, 512, 512], **more}


def gate_scales(made: Any, _widths: Widths) -> None:
    """Give a value to the scales of PiD's gates, which are single numbers."""
    for gate in made.diffusion_model.lq_proj.gate_modules:
        gate.log_alpha.data.fill_(0.0)


Z_IMAGE = next_dit(
    dim=256,  # its modulation has 256 channels and the class takes no fewer
    n_heads=8,
    n_kv_heads=8,
    axes_dims=[8, 12, 12],
    rope_theta=256.0,
    ffn_dim_multiplier=1.0,
    z_image_modulation=True,
    time_scale=1000.0,
    pad_tokens_multiple=32,
)
QWEN_IMAGE = {"attention_head_dim": 32, "num_attention_heads": 2, "num_layers": 1, "axes_dims_rope": (8, 12, 12)}
IDEOGRAM = {
    "image_model": "ideogram4",
    "num_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "intermediate_size": 64,
    "adaln_dim": 32,
    "mrope_section": [6, 5, 5],
}
PIXEL_DIT = {
    "num_groups": 2,
    "hidden_size": 64,
    "pixel_hidden_size": 16,
    "pixel_attn_hidden_size": 32,
    "pixel_num_groups": 2,
    "patch_depth": 1,
    "pixel_depth": 1,
}
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
        Z_IMAGE,
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
        {"image_model": "qwen_image", **QWEN_IMAGE},
        text(),
        (1, 16, 1, 8, 8),
        context("joint_attention_dim"),
        extras=lambda: {"reference_latents": [noise(1, 16, 1, 4, 4)]},
    ),
    "z_image_pixel": Family(
        "ZImagePixelSpace",
        {
            **Z_IMAGE,
            "image_model": "zimage_pixel",
            "in_channels": 3,
            "patch_size": 8,
            "decoder_hidden_size": 32,
            "decoder_num_res_blocks": 1,
            "decoder_max_freqs": 2,
        },
        text(mask=True),
        (1, 3, 32, 32),
        context("cap_feat_dim"),
        encoder="z_image",
    ),
    "boogu": Family(
        "Boogu",
        {
            "image_model": "boogu",
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_kv_heads": 1,
            "num_layers": 1,
            "num_double_stream_layers": 1,
            "num_refiner_layers": 1,
            "axes_dim_rope": (8, 12, 12),
            "axes_lens": (1024, 512, 512),
            "multiple_of": 32,
        },
        text(mask=True),
        IMAGE,
        context("instruction_feat_dim"),
        extras=lambda: {"reference_latents": [noise(1, 16, 4, 4)]},
    ),
    "mage_flow": Family(
        "MageFlow",
        {"image_model": "mage_flow", **QWEN_IMAGE},
        text(),
        (1, 128, 4, 4),
        context("joint_attention_dim"),
        extras=lambda: {"reference_latents": [noise(1, 128, 2, 2)]},
    ),
    "joyimage": Family(
        "JoyImage",
        {"image_model": "joyimage", "hidden_size": 64, "num_attention_heads": 2, "num_layers": 1, "rope_dim_list": [8, 12, 12]},
        text(mask=True),
        (1, 16, 1, 8, 8),
        context("text_dim"),
        extras=lambda: {"reference_latents": [noise(1, 16, 1, 4, 4)]},
    ),
    "ernie_image": Family(
        "ErnieImage",
        {
            "image_model": "ernie",
            "hidden_size": 64,
            "num_attention_heads": 2,
            "num_layers": 1,
            "ffn_hidden_size": 64,
            "rope_axes_dim": (8, 12, 12),
        },
        text(mask=True),
        (1, 128, 4, 4),
        context("text_in_dim"),
    ),
    "krea2": Family(
        "Krea2",
        {
            "image_model": "krea2",
            "features": 64,
            "heads": 2,
            "kvheads": 1,
            "multiplier": 2,
            "layers": 1,
            "txtlayers": 3,
            "txtheads": 2,
            "txtkvheads": 2,
            "default_ref_method": "index",
        },
        text(96),
        (1, 16, 1, 8, 8),
        lambda widths: {"txtdim": widths["cross_attn"] // 3},
        extras=lambda: {"reference_latents": [noise(1, 16, 1, 4, 4)]},
    ),
    "ideogram4": Family("Ideogram4", IDEOGRAM, text(96, mask=True), (1, 128, 4, 4), context("llm_features_dim")),
    "ideogram4_vl": Family("Ideogram4", IDEOGRAM, text(96, mask=True), (1, 128, 4, 4), context("llm_features_dim")),
    "lens": Family(
        "Lens",
        {
            "image_model": "lens",
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "num_layers": 1,
            "axes_dims_rope": (8, 12, 12),
        },
        text(128, mask=True),
        (1, 128, 4, 4),
        lambda widths: {"enc_hidden_dim": widths["cross_attn"] // 4},
    ),
    "pixeldit": Family(
        "PixelDiTT2I",
        {"image_model": "pixeldit_t2i", **PIXEL_DIT},
        text(mask=True),
        (1, 3, 32, 32),
        context("txt_embed_dim"),
        besides=HIDDEN,
    ),
    "pid": Family(
        "PiD",
        {"image_model": "pid", **PIXEL_DIT, "lq_hidden_dim": 16, "lq_num_res_blocks": 1},
        text(mask=True),
        (1, 3, 32, 32),
        context("txt_embed_dim"),
        extras=lambda: {"lq_latent": noise(1, 16, 2, 2), "degrade_sigma": torch.tensor([0.1])},
        shrink=gate_scales,
        encoder="pixeldit",
        besides=HIDDEN,
    ),
}
