"""Wan and everything made of it; all read UMT5."""

from __future__ import annotations

from typing import Any

from ..comfyui import tiny  # isort: skip
import torch

from .rows import AUDIO_FRAMES, MADE, VIDEO, Family, Widths, clip_vision, context, noise, start_frames, text


def wan(**more: Any) -> dict[str, Any]:
    """Return that of Wan's models."""
    return {**tiny.WAN, **more}


def no_face(made: Any, _widths: Widths) -> None:
    """Drop Wan Animate's encoders of faces, which have 35 million weights and get no faces here."""
    made.diffusion_model.motion_encoder = made.diffusion_model.face_encoder = None


def short_sounds(made: Any, _widths: Widths) -> None:
    """Shrink HuMo's way in for sound, which has 40 million weights."""
    unet = made.diffusion_model
    unet.audio_proj = type(unet.audio_proj)(seq_len=8, blocks=5, channels=1280, intermediate_dim=16, output_dim=1536, **MADE)


def posed() -> dict[str, Any]:
    """Return what a node of SCAIL adds: a person, and a pose at half the size."""
    return {
        "reference_latents": [noise(1, 16, 1, 8, 8)],
        "pose_video_latent": noise(1, 16, 2, 4, 4),
        "clip_vision_output": clip_vision(),
    }


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
    "wan_bernini": Family(
        "WAN21_T2V",
        wan(),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"context_latents": [noise(1, 16, 1, 8, 8), noise(*VIDEO)]},
        needs="comfy_extras.nodes_bernini",
        encoder="wan",
    ),
    "wan_22_5b": Family("WAN22_T2V", wan(in_dim=48, out_dim=48), text(), (1, 48, 2, 8, 8), context("text_dim"), encoder="wan"),
    "wan_fun_control": Family(
        "WAN21_FunControl2V",
        wan(model_type="i2v", in_dim=48),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"concat_latent_image": noise(1, 32, 2, 8, 8), "clip_vision_output": clip_vision()},
        encoder="wan",
    ),
    "wan_22_camera": Family(
        "WAN22_Camera",
        wan(model_type="camera_2.2", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"camera_conditions": noise(1, 24, 2, 64, 64), **start_frames()},
        encoder="wan",
    ),
    "wan_humo": Family(
        "WAN21_HuMo",
        wan(model_type="humo"),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"audio_embed": noise(1, 2, 8, 5, 1280), "reference_latents": [noise(1, 16, 1, 8, 8)]},
        shrink=short_sounds,
        encoder="wan",
    ),
    "wan_causal": Family("WAN21_CausalAR_T2V", wan(), text(), VIDEO, context("text_dim"), encoder="wan"),
    "wan_flow_rvs": Family("WAN21_FlowRVS", wan(model_type="flow_rvs"), text(), VIDEO, context("text_dim"), encoder="wan"),
    "wan_scail": Family(
        "WAN21_SCAIL", wan(model_type="scail", in_dim=20), text(), VIDEO, context("text_dim"), extras=posed, encoder="wan"
    ),
    "wan_scail2": Family(
        "WAN21_SCAIL2",
        wan(model_type="scail2", in_dim=20),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**posed(), "driving_mask_28ch": noise(1, 2, 28, 4, 4), "ref_mask_28ch": noise(1, 3, 28, 8, 8)},
        encoder="wan",
    ),
    "wan_dancer": Family(
        "WAN22_WanDancer",
        wan(model_type="wandancer", in_dim=36, audio_inject_layers=[0]),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {
            **start_frames(),
            "audio_embed": noise(1, 8, 35),
            "clip_vision_output": clip_vision(),
            "clip_vision_output_ref": clip_vision(),
            "fps": 30.0,
        },
        encoder="wan",
    ),
    "wan_animate2": Family(
        "WAN_Animate2",
        wan(model_type="animate2", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**start_frames(), "clip_vision_output": clip_vision(), "pose_video_latent": noise(1, 16, 1, 8, 8)},
        encoder="wan",
        copies=("cross_attn_pose",),
        besides=("cross_attn_pose",),
    ),
}
