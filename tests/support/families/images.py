"""Families of pictures that read T5, CLIP or several encoders side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from .rows import IMAGE, MADE, POOLED, SIZE, TOKENS, Family, Widths, context, text


def cosmos(image_model: str, **more: Any) -> dict[str, Any]:
    """Return that of Cosmos and of Anima, which is built on it."""
    limits = {"max_img_h": 32, "max_img_w": 32, "max_frames": 8, "patch_spatial": 2, "patch_temporal": 1}
    sizes = {"in_channels": 16, "out_channels": 16, "model_channels": 64, "num_blocks": 1, "num_heads": 2, "mlp_ratio": 2.0}
    places = {"pos_emb_cls": "rope3d", "pos_emb_interpolation": "crop", "pos_emb_learnable": True}
    lora = {"use_adaln_lora": True, "adaln_lora_dim": 16, "concat_padding_mask": True}
    return {"image_model": image_model, **limits, **sizes, **places, **lora, **more}


def llm_adapter(made: Any, widths: Widths) -> None:
    """Shrink Anima's adapter, which is made for 1024 channels."""
    dims = dict.fromkeys(("source_dim", "target_dim", "model_dim"), widths["cross_attn"])
    unet = made.diffusion_model
    unet.llm_adapter = type(unet.llm_adapter)(**dims, num_layers=1, num_heads=2, **MADE)


PIXART = {
    "hidden_size": 48,
    "num_heads": 2,
    "depth": 1,
    "patch_size": 2,
    "in_channels": 4,
    "mlp_ratio": 2.0,
    "pe_interpolation": 1,
}
# Positions are divided by the size in units of 64, rounded: less would divide by zero.
PIXART_LATENT = (1, 4, 40, 40)
HUNYUAN_DIT = Family(
    "HunyuanDiT",
    {"image_model": "hydit", "hidden_size": 64, "num_heads": 4, "depth": 2, "mlp_ratio": 2.0},
    text(tokens=77, mask=True, conditioning_mt5xl=(1, 256, 32), attention_mask_mt5xl=(1, 256)),
    (1, 4, 8, 8),
    lambda widths: {"text_states_dim": widths["cross_attn"], "text_states_dim_t5": widths["conditioning_mt5xl"]},
    extras=lambda: dict(SIZE),
    spaces=("cross_attn", "conditioning_mt5xl"),
    besides=("hidden rows of conditioning_mt5xl",),
)
IMAGES: dict[str, Family] = {
    "sd3": Family(
        "SD3",
        {"in_channels": 16, "out_channels": 16, "patch_size": 2, "depth": 2, "input_size": None, "qk_norm": "rms"},
        text(4096, **POOLED),
        IMAGE,
        lambda widths: {
            "adm_in_channels": widths["pooled_output"],
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": widths["cross_attn"], "out_features": 128},
            },
        },
        spaces=("cross_attn/clip_l_g", "cross_attn/t5xxl", "pooled_output"),
    ),
    "auraflow": Family(
        "AuraFlow",
        {"dim": 64, "global_conddim": 64, "n_heads": 2, "n_double_layers": 1, "n_layers": 2, "max_seq": 64},
        text(),
        (1, 4, 8, 8),
        context("cond_seq_dim"),
    ),
    "pixart": Family(
        "PixArtAlpha",
        {**PIXART, "image_model": "pixart_alpha", "micro_condition": True},
        text(),
        PIXART_LATENT,
        context("caption_channels"),
        extras=lambda: dict(SIZE),
    ),
    "pixart_sigma": Family(
        "PixArtSigma",
        {**PIXART, "image_model": "pixart_sigma", "micro_condition": False},
        text(),
        PIXART_LATENT,
        context("caption_channels"),
        encoder="pixart",
    ),
    "hunyuan_dit": HUNYUAN_DIT,
    "hunyuan_dit_10": replace(
        HUNYUAN_DIT,
        config="HunyuanDiT1",
        unet={**HUNYUAN_DIT.unet, "image_model": "hydit1", "size_cond": True, "use_style_cond": True},
        encoder="hunyuan_dit",
    ),
    "hidream": Family(
        "HiDream",
        {
            "image_model": "hidream",
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "axes_dims_rope": [16, 8, 8],
            "max_resolution": [32, 32],
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": 2,
            "num_layers": 2,
            "num_single_layers": 2,
            "llama_layers": [0, 1, 2, 3],
        },
        text(**POOLED, conditioning_llama3=(1, 4, TOKENS, 32)),
        IMAGE,
        lambda widths: {
            "caption_channels": [widths["cross_attn"], widths["conditioning_llama3"]],
            "text_emb_dim": widths["pooled_output"],
        },
        spaces=("cross_attn", *(f"conditioning_llama3/layer_{layer}" for layer in (1, 2, 3, 4)), "pooled_output"),
    ),
    "cosmos_predict2": Family(
        "CosmosT2IPredict2",
        cosmos("cosmos_predict2", rope_enable_fps_modulation=False),
        text(),
        (1, 16, 1, 8, 8),
        context("crossattn_emb_channels"),
        encoder="cosmos",
    ),
    "anima": Family(
        "Anima",
        cosmos("anima", rope_enable_fps_modulation=False),
        text(),
        (1, 16, 1, 8, 8),
        context("crossattn_emb_channels"),
        extras=lambda: {"t5xxl_ids": torch.arange(3, 8), "t5xxl_weights": torch.ones(5)},
        shrink=llm_adapter,
        refused="an adapter makes other text of it",
        besides=("t5xxl_ids",),
    ),
}
