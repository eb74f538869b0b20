"""The other families of video."""

from __future__ import annotations

from family_images import cosmos
from family_rows import AUDIO_FRAMES, TOKENS, VIDEO, Family, Widths, context, part, text

# Newer checkouts keep LTX-2's connectors in the model, older ones in the text encoder.
CONNECTED = part("comfy.ldm.lightricks.av_model.LTXAVModel.preprocess_text_embeds") is not None


def connectors(widths: Widths) -> dict[str, int]:
    """Return the sizes of the connectors that LTX-2 has where its text encoder has none; older classes pass them by."""
    sizes = {"connector_num_attention_heads": 2, "connector_attention_head_dim": widths["cross_attn"] // 2}
    return {**sizes, "connector_num_layers": 1}


VIDEOS: dict[str, Family] = {
    "cosmos": Family(
        "CosmosT2V",
        cosmos(
            "cosmos",
            block_config="FA-CA-MLP",
            block_x_format="THWBD",
            affline_emb_norm=True,
            extra_per_block_abs_pos_emb=True,
            extra_per_block_abs_pos_emb_type="learnable",
        ),
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
        {
            "image_model": "ltxav",
            "num_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "cross_attention_dim": 64,
            "audio_num_attention_heads": 2,
            "audio_attention_head_dim": 16,
            "audio_cross_attention_dim": 32,
        },
        text(32 if CONNECTED else 64),
        ((1, 128, 2, 4, 4), (1, 8, AUDIO_FRAMES, 16)),
        lambda widths: {"caption_channels": widths["cross_attn"] // (1 if CONNECTED else 2), **connectors(widths)},
        extras=lambda: {"frame_rate": 25.0, **({"unprocessed_ltxav_embeds": True} if CONNECTED else {})},
        refused="the model makes two texts of it, for video and sound" if CONNECTED else "",
    ),
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
}
