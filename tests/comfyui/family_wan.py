"""Wan and everything made of it; all read UMT5."""

from __future__ import annotations

from typing import Any

import tiny  # isort: skip
import torch
from family_rows import AUDIO_FRAMES, VIDEO, Family, Widths, clip_vision, context, noise, start_frames, text


def wan(**more: Any) -> dict[str, Any]:
    """Return that of Wan's models."""
    return {**tiny.WAN, **more}


def no_face(made: Any, _widths: Widths) -> None:
    """Drop Wan Animate's encoders of faces, which have 35 million weights and get no faces here."""
    made.diffusion_model.motion_encoder = made.diffusion_model.face_encoder = None


WAN: dict[str, Family] = {
    "wan": Family("WAN21_T2V", wan(), text(), (1, 16, 1, 8, 8), context("text_dim")),
    "wan_i2v": Family(
        "WAN21_I2V",
        wan(model_type="i2v", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**start_frames(), "clip_vision_output": clip_vision()},
        encoder="wan",
    ),
    "wan_vace": Family(
        "WAN21_Vace",
        wan(model_type="vace", vace_layers=1, vace_in_dim=96),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {
            "vace_frames": [noise(1, 32, 2, 8, 8)],
            "vace_mask": [torch.ones(1, 64, 2, 8, 8)],
            "vace_strength": [1.0],
        },
        encoder="wan",
    ),
    "wan_camera": Family(
        "WAN21_Camera",
        wan(model_type="camera", in_dim=32),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {
            "camera_conditions": noise(1, 24, 2, 64, 64),
            "concat_latent_image": noise(1, 16, 2, 8, 8),
            "clip_vision_output": clip_vision(),
        },
        encoder="wan",
    ),
    "wan_s2v": Family(
        "WAN22_S2V",
        wan(model_type="s2v", audio_dim=32, audio_inject_layers=[0]),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"audio_embed": noise(1, 25, 32, AUDIO_FRAMES), "reference_latents": [noise(1, 16, 1, 8, 8)]},
        encoder="wan",
    ),
    "wan_animate": Family(
        "WAN22_Animate",
        wan(model_type="animate", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**start_frames(), "clip_vision_output": clip_vision(), "pose_video_latent": noise(1, 16, 1, 8, 8)},
        shrink=no_face,
        encoder="wan",
    ),
}
