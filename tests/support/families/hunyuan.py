"""HunyuanVideo, HunyuanImage and Kandinsky 5."""

from __future__ import annotations

from typing import Any

from .rows import BOTH, MADE, POOLED, TOKENS, VIDEO, Family, Widths, clip_vision, context, noise, start_frames, text

BYT5 = {"conditioning_byt5small": (1, TOKENS, 32)}
HUNYUAN = "comfy.ldm.hunyuan_video.model.HunyuanVideoParams"


def hunyuan(**more: Any) -> dict[str, Any]:
    """Return that of HunyuanVideo and HunyuanImage."""
    sizes = {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "mlp_ratio": 2.0}
    places = {"patch_size": [1, 2, 2], "axes_dim": [8, 12, 12], "theta": 256}
    switches = {"qkv_bias": True, "guidance_embed": False, "byt5": False, "meanflow": False, "meanflow_sum": False}
    newer = {"vec_in_dim": None, "vision_in_dim": None, "use_cond_type_embedding": False}
    rest = {"image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, **newer}
    return {**rest, **sizes, **places, **switches, **more}


def byt5(made: Any, widths: Widths) -> None:
    """Shrink the way in for the text of ByT5, which is made for 1472 channels."""
    unet = made.diffusion_model
    unet.byt5_in = type(unet.byt5_in)(widths["conditioning_byt5small"], 64, 64, unet.hidden_size, use_res=False, **MADE)


HUNYUAN_15 = hunyuan(
    in_channels=65,
    out_channels=32,
    patch_size=[1, 1, 1],
    byt5=True,
    vision_in_dim=1152,
    use_cond_type_embedding=True,
    meanflow_sum=True,
)
KANDINSKY = {
    "image_model": "kandinsky5",
    "model_dim": 64,
    "time_dim": 32,
    "ff_dim": 64,
    "axes_dims": (8, 12, 12),
    "num_text_blocks": 1,
    "num_visual_blocks": 1,
}
HUNYUANS: dict[str, Family] = {
    "hunyuan_image": Family(
        "HunyuanImage21",
        hunyuan(in_channels=64, out_channels=64, patch_size=[1, 1], axes_dim=[16, 16], byt5=True),
        text(**BYT5),
        (1, 64, 4, 4),
        context("context_in_dim"),
        shrink=byt5,
        params=HUNYUAN,
    ),
    "hunyuan_video": Family(
        "HunyuanVideo",
        hunyuan(guidance_embed=True),
        text(**POOLED),
        VIDEO,
        context("context_in_dim", "vec_in_dim"),
        extras=lambda: {"guidance": 6.0},
        params=HUNYUAN,
        spaces=BOTH,
    ),
    "hunyuan_video_15": Family(
        "HunyuanVideo15",
        HUNYUAN_15,
        text(**BYT5),
        (1, 32, 2, 4, 4),
        context("context_in_dim"),
        shrink=byt5,
        extras=lambda: {"pooled_output": None, "clip_vision_output": clip_vision()},
        params=HUNYUAN,
    ),
    "kandinsky5": Family(
        "Kandinsky5",
        KANDINSKY,
        text(**POOLED),
        VIDEO,
        context("in_text_dim", "in_text_dim2"),
        spaces=BOTH,
    ),
    "hunyuan_image_refiner": Family(
        "HunyuanImage21Refiner",
        hunyuan(in_channels=128, out_channels=64, patch_size=[1, 1, 1], meanflow=True),
        text(),
        (1, 32, 1, 4, 4),
        context("context_in_dim"),
        params=HUNYUAN,
        encoder="hunyuan_image",
    ),
    "hunyuan_video_i2v": Family(
        "HunyuanVideoI2V",
        hunyuan(guidance_embed=False, in_channels=33),
        text(**POOLED),
        VIDEO,
        context("context_in_dim", "vec_in_dim"),
        extras=start_frames,
        params=HUNYUAN,
        encoder="hunyuan_video",
        spaces=BOTH,
    ),
    "hunyuan_video_skyreels": Family(
        "HunyuanVideoSkyreelsI2V",
        hunyuan(guidance_embed=False, in_channels=32),
        text(**POOLED),
        VIDEO,
        context("context_in_dim", "vec_in_dim"),
        extras=start_frames,
        params=HUNYUAN,
        encoder="hunyuan_video",
        spaces=BOTH,
    ),
    "hunyuan_video_15_sr": Family(
        "HunyuanVideo15_SR_Distilled",
        {**HUNYUAN_15, "in_channels": 98},
        text(**BYT5),
        (1, 32, 2, 4, 4),
        context("context_in_dim"),
        shrink=byt5,
        extras=lambda: {"pooled_output": None, "concat_latent_image": noise(1, 66, 2, 4, 4), "noise_augmentation": 0.5},
        params=HUNYUAN,
        encoder="hunyuan_video_15",
    ),
    "kandinsky5_image": Family(
        "Kandinsky5Image",
        {**KANDINSKY, "visual_embed_dim": 64},
        text(**POOLED),
        (1, 16, 1, 8, 8),
        context("in_text_dim", "in_text_dim2"),
        spaces=BOTH,
    ),
}
