"""The table behind family_models: for each model family a small unet_config, the shapes of its text and its other inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import tiny  # isort: skip
import comfy.ldm.audio.embedders
import comfy.ops
import torch

Widths = Mapping[str, int]
Shape = tuple[int, ...]
TOKENS = 6
AUDIO_FRAMES = 8


@dataclass(frozen=True)
class Family:
    """One row of the table: a class of comfy.supported_models and a unet_config for it.

    `text` is what a text encoder puts into CONDITIONING; the last number of a tensor that is no mask is its width, which
    `sized` carries into unet_config. A `latent` of several shapes is a nested tensor, as for video with sound. `extras`
    makes the other keys of CONDITIONING, `weights` those beside the diffusion model without which the class cannot be made.
    `shrink` replaces parts whose size is no parameter by small ones of the same class. `params` names a dataclass of all
    keys unet_config may have: what a checkout's class lacks is left out. `needs` names a module of checkouts that have it.
    """

    config: str
    unet: Mapping[str, Any]
    text: Mapping[str, Shape]
    latent: Shape | tuple[Shape, ...]
    sized: Callable[[Widths], dict[str, Any]]
    extras: Callable[[], dict[str, Any]] = dict
    weights: Callable[[], dict[str, torch.Tensor]] = dict
    shrink: Callable[[Any, Widths], None] | None = None
    params: str = ""
    needs: str = ""


def noise(*shape: int) -> torch.Tensor:
    """Return random numbers, the same ones for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def text(width: int = 32, tokens: int = TOKENS, mask: bool = False, **more: Shape) -> dict[str, Shape]:
    """Return the shapes of a CONDITIONING entry."""
    return {"cross_attn": (1, tokens, width), **more, **({"attention_mask": (1, tokens)} if mask else {})}


def clip_vision() -> SimpleNamespace:
    """Stand in for the output of CLIP vision."""
    # Wan takes the one, HunyuanVideo 1.5 the other.
    return SimpleNamespace(penultimate_hidden_states=noise(1, 5, 1280), last_hidden_state=noise(1, 5, 1152))


def start_frames() -> dict[str, Any]:
    """Return what an image-to-video node of Wan adds."""
    mask = torch.ones(1, 1, 2, 8, 8)
    mask[:, :, :1] = 0.0
    return {"concat_latent_image": noise(1, 16, 2, 8, 8), "concat_mask": mask}


def unet(**more: Any) -> dict[str, Any]:
    """Return the unet_config of Stable Diffusion's U-Nets."""
    return {**tiny.UNET, "model_channels": 64, "use_linear_in_transformer": True, "adm_in_channels": None, **more}


def wan(**more: Any) -> dict[str, Any]:
    """Return that of Wan's models."""
    return {**tiny.WAN, **more}


def flux(**more: Any) -> dict[str, Any]:
    """Return that of Flux and the models that follow it."""
    sizes = {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "mlp_ratio": 2.0, "patch_size": 2}
    places = {"axes_dim": [8, 12, 12], "theta": 10000, "txt_ids_dims": []}
    rest = {"in_channels": 16, "out_channels": 16, "qkv_bias": True, "vec_in_dim": None}
    return {**sizes, **places, **rest, **more}


def hunyuan(**more: Any) -> dict[str, Any]:
    """Return that of HunyuanVideo and HunyuanImage."""
    sizes = {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "mlp_ratio": 2.0}
    places = {"patch_size": [1, 2, 2], "axes_dim": [8, 12, 12], "theta": 256}
    switches = {"qkv_bias": True, "guidance_embed": False, "byt5": False, "meanflow": False, "meanflow_sum": False}
    newer = {"vec_in_dim": None, "vision_in_dim": None, "use_cond_type_embedding": False}
    rest = {"image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, **newer}
    return {**rest, **sizes, **places, **switches, **more}


def cosmos(image_model: str, **more: Any) -> dict[str, Any]:
    """Return that of Cosmos and of Anima, which is built on it."""
    limits = {"max_img_h": 32, "max_img_w": 32, "max_frames": 8, "patch_spatial": 2, "patch_temporal": 1}
    sizes = {"in_channels": 16, "out_channels": 16, "model_channels": 64, "num_blocks": 1, "num_heads": 2, "mlp_ratio": 2.0}
    places = {"pos_emb_cls": "rope3d", "pos_emb_interpolation": "crop", "pos_emb_learnable": True}
    lora = {"use_adaln_lora": True, "adaln_lora_dim": 16, "concat_padding_mask": True}
    return {"image_model": image_model, **limits, **sizes, **places, **lora, **more}


def next_dit(**more: Any) -> dict[str, Any]:
    """Return that of Lumina 2 and of the models that share its class."""
    sizes = {"patch_size": 2, "in_channels": 16, "n_layers": 1, "n_refiner_layers": 1, "qk_norm": True}
    return {"image_model": "lumina2", **sizes, "axes_lens": [300, 512, 512], **more}


MADE = {"dtype": torch.float32, "operations": comfy.ops.disable_weight_init}


def lyric_encoder(made: Any, _widths: Widths) -> None:
    """Shrink ACE-Step's encoder of lyrics, which has 82 million weights."""
    sizes = {"input_size": 32, "output_size": 32, "attention_heads": 2, "linear_units": 32, "num_blocks": 1}
    unet = made.diffusion_model
    unet.lyric_encoder = type(unet.lyric_encoder)(**sizes, static_chunk_size=0, **MADE)


def llm_adapter(made: Any, widths: Widths) -> None:
    """Shrink Anima's adapter, which is made for 1024 channels."""
    dims = dict.fromkeys(("source_dim", "target_dim", "model_dim"), widths["cross_attn"])
    unet = made.diffusion_model
    unet.llm_adapter = type(unet.llm_adapter)(**dims, num_layers=1, num_heads=2, **MADE)


def byt5(made: Any, widths: Widths) -> None:
    """Shrink the way in for the text of ByT5, which is made for 1472 channels."""
    unet = made.diffusion_model
    unet.byt5_in = type(unet.byt5_in)(widths["conditioning_byt5small"], 64, 64, unet.hidden_size, use_res=False, **MADE)


def no_face(made: Any, _widths: Widths) -> None:
    """Drop Wan Animate's encoders of faces, which have 35 million weights and get no faces here."""
    made.diffusion_model.motion_encoder = made.diffusion_model.face_encoder = None


def number_conditioner(width: int) -> torch.nn.Module:
    """Make what Stable Audio embeds seconds with."""
    embedder: torch.nn.Module = comfy.ldm.audio.embedders.NumberConditioner(width, min_val=0, max_val=512)
    tiny.randomise(embedder, 3)
    return embedder


def seconds() -> dict[str, torch.Tensor]:
    """Return the weights for start and length of a sound that a checkpoint of Stable Audio has."""
    weights, prefix = number_conditioner(768).state_dict(), "conditioner.conditioners.seconds_"
    return {f"{prefix}{end}.{name}": weight for end in ("start", "total") for name, weight in weights.items()}


def short_seconds(made: Any, widths: Widths) -> None:
    """Shrink what embeds seconds, which is made for 768 channels, and give a value to what only a checkpoint fills."""
    made.seconds_start_embedder = made.seconds_total_embedder = number_conditioner(widths["cross_attn"])
    frequencies = made.diffusion_model.transformer.rotary_pos_emb.inv_freq
    frequencies.copy_(1e4 ** -torch.linspace(0, 1, len(frequencies)))


def context(key: str, pooled: str = "") -> Callable[[Widths], dict[str, Any]]:
    """Say which keys of unet_config hold the widths of cross_attn and pooled_output."""
    return lambda widths: {key: widths["cross_attn"], **({pooled: widths["pooled_output"]} if pooled else {})}


IMAGE, VIDEO = (1, 16, 8, 8), (1, 16, 2, 8, 8)
POOLED = {"pooled_output": (1, 32)}
SIZE = {"width": 64, "height": 64}
BYT5 = {"conditioning_byt5small": (1, TOKENS, 32)}
FLUX = "comfy.ldm.flux.model.FluxParams"
HUNYUAN = "comfy.ldm.hunyuan_video.model.HunyuanVideoParams"


FAMILIES: dict[str, Family] = {
    "sd15": Family(
        "SD15", unet(model_channels=32, use_linear_in_transformer=False), text(), (1, 4, 8, 8), context("context_dim")
    ),
    "sd2": Family("SD20", unet(), text(), (1, 4, 8, 8), context("context_dim")),
    "sdxl": Family(
        "SDXL",
        unet(num_classes="sequential"),
        text(**POOLED),
        (1, 4, 8, 8),
        lambda widths: {"context_dim": widths["cross_attn"], "adm_in_channels": widths["pooled_output"] + 6 * 256},
        extras=lambda: {**SIZE, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64},
    ),
    "sdxl_refiner": Family(
        "SDXLRefiner",
        unet(num_classes="sequential"),
        text(**POOLED),
        (1, 4, 8, 8),
        lambda widths: {"context_dim": widths["cross_attn"], "adm_in_channels": widths["pooled_output"] + 5 * 256},
        extras=lambda: {**SIZE, "aesthetic_score": 6.0},
    ),
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
    ),
    "flux": Family(
        "Flux",
        flux(image_model="flux", guidance_embed=True),
        text(**POOLED),
        IMAGE,
        context("context_in_dim", "vec_in_dim"),
        extras=lambda: {"guidance": 3.5, "reference_latents": [noise(1, 16, 4, 4)]},
        params=FLUX,
    ),
    "chroma": Family(
        "Chroma",
        flux(image_model="chroma", in_channels=64, out_channels=64, in_dim=64, out_dim=64, hidden_dim=32, n_layers=1),
        text(),
        IMAGE,
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None},
        params="comfy.ldm.chroma.model.ChromaParams",
    ),
    "ovis": Family(
        "FluxSchnell",
        flux(image_model="flux", guidance_embed=False, yak_mlp=True, txt_norm=True, txt_ids_dims=[1, 2]),
        text(),
        IMAGE,
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None},
        params=FLUX,
        needs="comfy.text_encoders.ovis",
    ),
    "flux2": Family(
        "Flux2",
        flux(
            image_model="flux2",
            in_channels=128,
            out_channels=128,
            patch_size=1,
            axes_dim=[8, 8, 8, 8],
            txt_ids_dims=[3],
            default_ref_method="index",
            ref_index_scale=10.0,
            qkv_bias=False,
            ops_bias=False,
            global_modulation=True,
            mlp_silu_act=True,
            guidance_embed=True,
        ),
        text(mask=True),
        (1, 128, 4, 4),
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None, "guidance": 3.5, "reference_latents": [noise(1, 128, 2, 2)]},
        params=FLUX,
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
        {
            "image_model": "pixart_alpha",
            "hidden_size": 48,
            "num_heads": 2,
            "depth": 1,
            "patch_size": 2,
            "in_channels": 4,
            "mlp_ratio": 2.0,
            "pe_interpolation": 1,
            "micro_condition": True,
        },
        text(),
        (1, 4, 40, 40),  # positions are divided by the size in units of 64, rounded: less would divide by zero
        context("caption_channels"),
        extras=lambda: dict(SIZE),
    ),
    "hunyuan_dit": Family(
        "HunyuanDiT",
        {"image_model": "hydit", "hidden_size": 64, "num_heads": 4, "depth": 2, "mlp_ratio": 2.0},
        text(tokens=77, mask=True, conditioning_mt5xl=(1, 256, 32), attention_mask_mt5xl=(1, 256)),
        (1, 4, 8, 8),
        lambda widths: {"text_states_dim": widths["cross_attn"], "text_states_dim_t5": widths["conditioning_mt5xl"]},
        extras=lambda: dict(SIZE),
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
    ),
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
    ),
    "hunyuan_video_15": Family(
        "HunyuanVideo15",
        hunyuan(
            in_channels=65,
            out_channels=32,
            patch_size=[1, 1, 1],
            byt5=True,
            vision_in_dim=1152,
            use_cond_type_embedding=True,
            meanflow_sum=True,
        ),
        text(**BYT5),
        (1, 32, 2, 4, 4),
        context("context_in_dim"),
        shrink=byt5,
        extras=lambda: {"pooled_output": None, "clip_vision_output": clip_vision()},
        params=HUNYUAN,
    ),
    "kandinsky5": Family(
        "Kandinsky5",
        {
            "image_model": "kandinsky5",
            "model_dim": 64,
            "time_dim": 32,
            "ff_dim": 64,
            "axes_dims": (8, 12, 12),
            "num_text_blocks": 1,
            "num_visual_blocks": 1,
        },
        text(**POOLED),
        VIDEO,
        context("in_text_dim", "in_text_dim2"),
    ),
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
    "cosmos_predict2": Family(
        "CosmosT2IPredict2",
        cosmos("cosmos_predict2", rope_enable_fps_modulation=False),
        text(),
        (1, 16, 1, 8, 8),
        context("crossattn_emb_channels"),
    ),
    "anima": Family(
        "Anima",
        cosmos("anima", rope_enable_fps_modulation=False),
        text(),
        (1, 16, 1, 8, 8),
        context("crossattn_emb_channels"),
        extras=lambda: {"t5xxl_ids": torch.arange(3, 8), "t5xxl_weights": torch.ones(5)},
        shrink=llm_adapter,
    ),
    "wan": Family("WAN21_T2V", wan(), text(), (1, 16, 1, 8, 8), context("text_dim")),
    "wan_i2v": Family(
        "WAN21_I2V",
        wan(model_type="i2v", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**start_frames(), "clip_vision_output": clip_vision()},
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
    ),
    "wan_s2v": Family(
        "WAN22_S2V",
        wan(model_type="s2v", audio_dim=32, audio_inject_layers=[0]),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {"audio_embed": noise(1, 25, 32, AUDIO_FRAMES), "reference_latents": [noise(1, 16, 1, 8, 8)]},
    ),
    "wan_animate": Family(
        "WAN22_Animate",
        wan(model_type="animate", in_dim=36),
        text(),
        VIDEO,
        context("text_dim"),
        extras=lambda: {**start_frames(), "clip_vision_output": clip_vision(), "pose_video_latent": noise(1, 16, 1, 8, 8)},
        shrink=no_face,
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
        text(64),
        ((1, 128, 2, 4, 4), (1, 8, AUDIO_FRAMES, 16)),
        lambda widths: {"caption_channels": widths["cross_attn"] // 2},
        extras=lambda: {"frame_rate": 25.0},
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
    "stable_audio": Family(
        "StableAudio",
        {"audio_model": "dit1.0", "embed_dim": 64, "num_heads": 2, "depth": 1, "project_cond_tokens": True},
        text(),
        (1, 64, 16),
        lambda widths: {"cond_token_dim": widths["cross_attn"], "global_cond_dim": 2 * widths["cross_attn"]},
        extras=lambda: {"seconds_start": 0.0, "seconds_total": 2.0},
        weights=seconds,
        shrink=short_seconds,
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
    "stable_cascade": Family(
        "Stable_Cascade_C",
        {"stable_cascade_stage": "c", "c_cond": 32, "c_hidden": [32, 32], "nhead": [2, 2], "blocks": [[1, 1], [1, 1]]},
        text(**POOLED),
        IMAGE,
        context("c_clip_text", "c_clip_text_pooled"),
    ),
}
