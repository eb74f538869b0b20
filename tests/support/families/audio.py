"""Families of sound and music."""

from __future__ import annotations

from typing import Any

from ..comfyui import tiny  # isort: skip
import comfy.ldm.audio.embedders
import torch

from .rows import AUDIO_FRAMES, MADE, Family, Widths, context, noise, text


def lyric_encoder(made: Any, _widths: Widths) -> None:
    """Shrink ACE-Step's encoder of lyrics, which has 82 million weights."""
    sizes = {"input_size": 32, "output_size": 32, "attention_heads": 2, "linear_units": 32, "num_blocks": 1}
    unet = made.diffusion_model
    unet.lyric_encoder = type(unet.lyric_encoder)(**sizes, static_chunk_size=0, **MADE)


def number_conditioner(width: int, most: int = 512, features: str = "") -> torch.nn.Module:
    """Make what Stable Audio embeds seconds with."""
    embedder: torch.nn.Module = comfy.ldm.audio.embedders.NumberConditioner(
        width, min_val=0, max_val=most, **({"fourier_features_type": features} if features else {})
    )
    tiny.randomise(embedder, 3)
    return embedder


def seconds() -> dict[str, torch.Tensor]:
    """Return the weights for start and length of a sound that a checkpoint of Stable Audio has."""
    weights, prefix = number_conditioner(768).state_dict(), "conditioner.conditioners.seconds_"
    return {f"{prefix}{end}.{name}": weight for end in ("start", "total") for name, weight in weights.items()}


def short_seconds(made: Any, widths: Widths) -> None:
    """Shrink what embeds seconds, which is made for 768 channels, and give a value to what only a checkpoint fills."""
    made.seconds_start_embedder = made.seconds_total_embedder = number_conditioner(widths["cross_attn"])
    positions(made)


def positions(made: Any) -> None:
    """Give values to the frequencies of positions, which come with a checkpoint."""
    frequencies = made.diffusion_model.transformer.rotary_pos_emb.inv_freq
    frequencies.copy_(1e4 ** -torch.linspace(0, 1, len(frequencies)))


def padded_seconds() -> dict[str, torch.Tensor]:
    """Return the weights that a checkpoint of Stable Audio 3 has beside the model: for the length, and a row of padding."""
    conditioners = "conditioner.conditioners"
    length = number_conditioner(768, 384, "expo").state_dict()
    padding = {f"{conditioners}.prompt.padding_embedding": torch.zeros(768)}
    return {**padding, **{f"{conditioners}.seconds_total.{name}": weight for name, weight in length.items()}}


def short_total(made: Any, widths: Widths) -> None:
    """Shrink those to the width of the text, and give values to the frequencies of positions."""
    width = widths["cross_attn"]
    made.seconds_total_embedder = number_conditioner(width, 384, "expo")
    made.padding_embedding.data = noise(width)
    positions(made)


AUDIO: dict[str, Family] = {
    "stable_audio": Family(
        "StableAudio",
        {"audio_model": "dit1.0", "embed_dim": 64, "num_heads": 2, "depth": 1, "project_cond_tokens": True},
        text(),
        (1, 64, 16),
        lambda widths: {"cond_token_dim": widths["cross_attn"], "global_cond_dim": 2 * widths["cross_attn"]},
        extras=lambda: {"seconds_start": 0.0, "seconds_total": 2.0},
        weights=seconds,
        shrink=short_seconds,
        refused="the model adds rows for start and length",
    ),
    "ace": Family(
        "ACEStep",
        {
            "audio_model": "ace",
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "num_layers": 1,
            "mlp_ratio": 2.0,
            "max_position": 1024,
            "lyric_encoder_vocab_size": 6693,
            "lyric_hidden_size": 32,
            "ssl_latent_dims": [8, 8],
        },
        text(),
        (1, 8, 16, AUDIO_FRAMES),
        context("text_embedding_dim"),
        extras=lambda: {"conditioning_lyrics": torch.arange(1, 6)[None], "lyrics_strength": 1.0},
        shrink=lyric_encoder,
    ),
    "stable_audio_3": Family(
        "StableAudio3",
        {
            "audio_model": "dit1.0",
            "embed_dim": 64,
            "num_heads": 2,
            "depth": 1,
            "project_cond_tokens": True,
            "io_channels": 256,
            "local_add_cond_dim": 257,
            "global_cond_shared_embed": True,
            "global_cond_type": "adaLN",
            "timestep_features_type": "expo",
        },
        text(),
        (1, 256, 16),
        lambda widths: {"cond_token_dim": widths["cross_attn"], "global_cond_dim": widths["cross_attn"]},
        extras=lambda: {"seconds_total": 2.0},
        weights=padded_seconds,
        shrink=short_total,
        refused="the model adds rows for padding and length",
    ),
    "ace_15": Family(
        "ACEStep15",
        {
            "audio_model": "ace1.5",
            "hidden_size": 64,
            "num_dit_layers": 1,
            "num_lyric_layers": 1,
            "num_timbre_layers": 1,
            "num_tokenizer_layers": 1,
            "num_heads": 2,
            "num_kv_heads": 1,
            "head_dim": 32,
            "intermediate_size": 64,
            "fsq_dim": 64,
            "encoder_hidden_size": 64,
            "encoder_intermediate_size": 64,
            "encoder_num_heads": 2,
        },
        text(conditioning_lyrics=(1, 4, 32)),
        (1, 64, 25),
        context("text_hidden_dim"),
        besides=("audio_codes",),
    ),
}
