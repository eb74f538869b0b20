"""The other families of video."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from .images import cosmos
from .rows import AUDIO_FRAMES, TOKENS, VIDEO, Family, Widths, context, noise, part, start_frames, text

# Newer checkouts keep LTX-2's connectors in the model, older ones in the text encoder.
CONNECTED = part("comfy.ldm.lightricks.av_model.LTXAVModel.preprocess_text_embeds") is not None


def connectors(widths: Widths) -> dict[str, int]:
    """Return the sizes of the connectors that LTX-2 has where its text encoder has none; older classes pass them by."""
    sizes = {"connector_num_attention_heads": 2, "connector_attention_head_dim": widths["cross_attn"] // 2}
    return {**sizes, "connector_num_layers": 1}


def rotations(made: Any, _widths: Widths) -> None:
    """Give values to the frequencies of MiniMax H3's positions, which come with a checkpoint."""
    frequencies = made.diffusion_model.rope.inv_freq
    frequencies.copy_(1e4 ** -torch.linspace(0, 1, len(frequencies)))


LTX2 = {
    "image_model": "ltxav",
    "num_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "cross_attention_dim": 64,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 16,
    "audio_cross_attention_dim": 32,
}
SOUND_FILM = ((1, 128, 2, 4, 4), (1, 8, AUDIO_FRAMES, 16))
TWO_TEXTS = "the model makes two texts of it, for video and sound"
# It reads a text of its own for video and for sound, side by side, and hands each to a connector as it is.
LTX23 = Family(
    "LTXAV",
    {
        **LTX2,
        "caption_proj_before_connector": True,
        "caption_projection_first_linear": False,
        "cross_attention_adaln": True,
        "apply_gated_attention": True,
        "connector_apply_gated_attention": True,
        "connector_num_attention_heads": 2,
        "connector_attention_head_dim": 32,
        "audio_connector_num_attention_heads": 2,
        "audio_connector_attention_head_dim": 16,
        "connector_num_layers": 1,
    },
    text(96),
    SOUND_FILM,
    lambda _: {},
    extras=lambda: {"frame_rate": 25.0, "unprocessed_ltxav_embeds": True},
    needs="comfy.text_encoders.lt.DualLinearProjection",
    refused=TWO_TEXTS,
)
COSMOS = cosmos(
    "cosmos",
    block_config="FA-CA-MLP",
    block_x_format="THWBD",
    affline_emb_norm=True,
    extra_per_block_abs_pos_emb=True,
    extra_per_block_abs_pos_emb_type="learnable",
)
COG = {
    "image_model": "cogvideox",
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "num_layers": 1,
    "time_embed_dim": 32,
    "use_rotary_positional_embeddings": True,
}
VIDEOS: dict[str, Family] = {
    "cosmos": Family(
        "CosmosT2V",
        COSMOS,
        text(mask=True),
        VIDEO,
        context("crossattn_emb_channels"),
    ),
    "ltxv": Family(
        "LTXV",
        {"image_model": "ltxv", "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 32, "cross_attention_dim": 64},
        text(mask=True),
        (1, 128, 2, 4, 4),
        context("caption_channels"),
        extras=lambda: {"frame_rate": 25.0},
    ),
    "ltxav": Family(
        "LTXAV",
        LTX2,
        text(32 if CONNECTED else 64),
        SOUND_FILM,
        lambda widths: {"caption_channels": widths["cross_attn"] // (1 if CONNECTED else 2), **connectors(widths)},
        extras=lambda: {"frame_rate": 25.0, **({"unprocessed_ltxav_embeds": True} if CONNECTED else {})},
        refused=TWO_TEXTS if CONNECTED else "",
    ),
    "ltxav_23": LTX23,
    "ltxav_gemma4": replace(LTX23, needs="comfy.text_encoders.lt.ltxav_gemma4_tokenizer"),
    "mochi": Family(
        "GenmoMochi",
        {
            "image_model": "mochi_preview",
            "depth": 2,
            "num_heads": 2,
            "hidden_size_x": 64,
            "hidden_size_y": 32,
            "mlp_ratio_x": 1536 * 8 / 64,  # its class insists on this product
            "mlp_ratio_y": 2.0,
            "in_channels": 12,
            "learn_sigma": False,
            "qk_norm": True,
            "qkv_bias": False,
            "out_bias": True,
            "posenc_preserve_area": True,
            "timestep_scale": 1000.0,
            "use_t5": True,
            "t5_token_length": TOKENS,
        },
        text(mask=True),
        (1, 12, 2, 8, 8),
        context("t5_feat_dim"),
    ),
    "cosmos_i2v": Family(
        "CosmosI2V",
        {**COSMOS, "in_channels": 17},
        text(mask=True),
        VIDEO,
        context("crossattn_emb_channels"),
        extras=start_frames,
        encoder="cosmos",
    ),
    "cosmos_predict2_i2v": Family(
        "CosmosI2VPredict2",
        cosmos("cosmos_predict2", in_channels=17, rope_enable_fps_modulation=False),
        text(),
        VIDEO,
        context("crossattn_emb_channels"),
        extras=start_frames,
        encoder="cosmos",
    ),
    "cogvideox": Family("CogVideoX_T2V", COG, text(), VIDEO, context("text_embed_dim")),
    "cogvideox_i2v": Family(
        "CogVideoX_I2V",
        {**COG, "in_channels": 32},
        text(),
        VIDEO,
        context("text_embed_dim"),
        extras=lambda: {"concat_latent_image": noise(*VIDEO)},
        encoder="cogvideox",
    ),
    "cogvideox_inpaint": Family(
        "CogVideoX_Inpaint",
        {**COG, "in_channels": 48},
        text(),
        VIDEO,
        context("text_embed_dim"),
        extras=lambda: {"concat_latent_image": noise(1, 32, 2, 8, 8)},
        encoder="cogvideox",
    ),
    "minimax_h3": Family(
        "MiniMaxH3",
        {
            "image_model": "minimax_h3",
            "hidden_size": 64,
            "num_layers": 1,
            "token_refiner_num_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "ffn_hidden_size": 64,
            "time_embed_hidden_size": 64,
            "time_embed_dim": 32,
            "rope_inv_freq_len": 4,
        },
        text(),
        ((1, 24, 2, 8, 8), (1, 32, 2, AUDIO_FRAMES)),
        context("text_dim"),
        extras=lambda: {"minimax_refs": [{"kind": "image", "latent": noise(1, 24, 1, 4, 4), "latent_h": 4, "latent_w": 4}]},
        shrink=rotations,
        refused="the model refines the text before its layers see it",
    ),
}
