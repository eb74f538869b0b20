"""Families whose conditioning holds no text, though a prompt makes it; and why some classes of ComfyUI have no row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from .rows import Family, Widths, part

DIT = "comfy.ldm.minimax_music.dit"
FRAMES = 4


@contextmanager
def one_short_layer() -> Iterator[None]:
    """Have MiniMax Music 3's model made with one layer of the 36 that its class fixes, and a short one."""
    module = part(DIT)
    block = module.TransformerBlock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "range", lambda _: (0,), raising=False)
        patch.setattr(module, "TransformerBlock", lambda width, head, _inner, *rest: block(width, head, 64, *rest))
        yield


def filled(made: Any, _widths: Widths) -> None:
    """Give values to what MiniMax Music 3 takes from a checkpoint."""
    transformer = made.diffusion_model.diffusion_transformer.transformer
    frequencies = transformer.rotary_pos_emb.inv_freq
    frequencies.copy_(1e4 ** -torch.linspace(0, 1, len(frequencies)))
    for layer in transformer.layers:
        layer.pre_norm.beta.zero_()
        layer.ff_norm.beta.zero_()


TEXTLESS: dict[str, Family] = {
    "hidream_o1": Family(
        "HiDreamO1",
        {
            "image_model": "hidream_o1",
            "text_config_overrides": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "head_dim": 16,
                "rope_dims": [4, 2, 2],
            },
            "vision_config_overrides": {"hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "depth": 1},
        },
        {},
        (1, 3, 64, 64),
        lambda _: {},
        spaces=(),
        refused="token ids, which the model encodes itself at every step",
    ),
    # Its class fixes the widths: of eight states of 4096 channels for each frame of sound.
    "minimax_music3": Family(
        "MiniMaxMusic3",
        {"audio_model": "minimax_music3"},
        {"cross_attn": (1, FRAMES, 8 * 4096)},
        (1, 128, 13),
        lambda _: {},
        extras=lambda: {"conditioning_scale": torch.ones(1, 1, 1)},
        shrink=filled,
        within=one_short_layer,
        spaces=(),
        refused="sound that is generated for the prompt, without rows of it",
    ),
}
PICTURES, FINDS = "pictures or constants instead of text", "its text says what to find in a picture and meets no sampler"
WITHOUT_ROW = {
    **dict.fromkeys(("SAM3", "SAM31"), FINDS),
    **dict.fromkeys(("SVD_img2vid", "SV3D_u", "SV3D_p", "Stable_Zero123", "SeedVR2"), PICTURES),
    **dict.fromkeys(("Hunyuan3Dv2", "Hunyuan3Dv2_1", "Hunyuan3Dv2mini", "TripoSplat", "Trellis2"), PICTURES),
    **dict.fromkeys(("RT_DETR_v4", "DepthAnything3"), PICTURES),
}
