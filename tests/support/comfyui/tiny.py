"""Small random models made of ComfyUI's real classes, and a safety direction that fits their text encoders."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from . import running_comfyui  # isort: skip
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.text_encoders.flux
import comfy.text_encoders.pixart_t5
import comfy.text_encoders.wan
import sentencepiece
import torch

from . import words

CPU = torch.device("cpu")
KINDS = ("sd15", "sdxl", "wan")
CATEGORIES = tuple(running_comfyui.module("safety_steer.categories").MEANINGS)
# What nodes say of `older()`.
ADVICE = (
    "older direction: it was made before long prompts were looked at; choose smollm2-135m-instruct-2026-11 in Load Safety "
    "Direction, or make your own again"
)
LATENTS = {"sd15": (1, 4, 8, 8), "sdxl": (1, 4, 8, 8), "wan": (1, 16, 1, 8, 8)}


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Give every weight a value: ComfyUI's layers leave them as uninitialised memory."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim == 0:
            continue
        if parameter.ndim == 1:
            parameter.data = torch.full_like(parameter, float(name.endswith("weight")))
        else:
            deviation = 1.0 if "embedding" in name or "shared" in name else parameter[0].numel() ** -0.5
            parameter.data = torch.randn(parameter.shape, generator=generator) * deviation
        parameter.requires_grad_(False)


class _Target:
    def __init__(self, clip: Any, tokenizer: Any) -> None:
        self.clip, self.tokenizer, self.params = clip, tokenizer, {}


def _clip_config(width: int) -> dict[str, int]:
    return {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2, "num_hidden_layers": 3}


def _t5_config(width: int) -> dict[str, int]:
    return {"d_model": width, "d_ff": 2 * width, "d_kv": 16, "num_heads": 2, "num_layers": 2, "vocab_size": 32128}


@cache
def _spiece() -> torch.Tensor:
    """Train a UMT5 tokenizer, which checkpoints carry and ComfyUI does not: padding 0, end 1, unknown 2."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*words.benign_prompts(500), words.DANGEROUS, "abcdefghijklmnopqrstuvwxyz():.,0123456789"]),
        model_writer=written,
        vocab_size=400,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


def clip(
    kind: str, seed: int = 0, model_options: Mapping[str, Any] | None = None, weights: Mapping[str, torch.Tensor] | None = None
) -> comfy.sd.CLIP:
    """Make a text encoder: "sd15", "sdxl", "pixart", "wan" or "flux"; of random weights, or of those given."""
    encoders = comfy.text_encoders
    small = {"clip_l_model_config": _clip_config(32), "clip_g_model_config": _clip_config(48)}
    t5 = {"t5xxl_model_config": _t5_config(32)}
    tokenizer_data: dict[str, Any] = {}
    if kind == "sd15":
        target, options = _Target(comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer), small
    elif kind == "sdxl":
        target, options = _Target(comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer), small
    elif kind == "pixart":
        target, options = _Target(encoders.pixart_t5.pixart_te(), encoders.pixart_t5.PixArtTokenizer), t5
    elif kind == "flux":
        target, options = _Target(encoders.flux.flux_clip(), encoders.flux.FluxTokenizer), {**small, **t5}
    else:
        target = _Target(encoders.wan.te(), encoders.wan.WanT5Tokenizer)
        options = {"umt5xxl_model_config": _t5_config(32)}
        tokenizer_data = {"spiece_model": _spiece()}
    options = {"dtype": torch.float32, **options, **(model_options or {})}
    if weights is not None:
        return comfy.sd.CLIP(target, tokenizer_data=tokenizer_data, model_options=options, state_dict=dict(weights))
    made = comfy.sd.CLIP(target, tokenizer_data=tokenizer_data, model_options=options)
    randomise(made.cond_stage_model, seed)
    return made


UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "use_temporal_attention": False,
}
WAN = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 64,
    "ffn_dim": 64,
    "num_heads": 4,
    "num_layers": 2,
    "patch_size": (1, 2, 2),
    "in_dim": 16,
    "out_dim": 16,
    "freq_dim": 32,
    "text_dim": 32,
    "text_len": 512,
    "qk_norm": True,
    "cross_attn_norm": True,
    "eps": 1e-6,
    "window_size": (-1, -1),
}


def model(kind: str) -> comfy.model_patcher.ModelPatcher:
    """Make a diffusion model that takes the text of `clip(kind)`."""
    supported = comfy.supported_models
    if kind == "sd15":
        unet = {"model_channels": 32, "context_dim": 32, "use_linear_in_transformer": False, "adm_in_channels": None}
        config = supported.SD15({**UNET, **unet})
    elif kind == "sdxl":
        unet = {"model_channels": 64, "context_dim": 80, "use_linear_in_transformer": True, "num_classes": "sequential"}
        config = supported.SDXL({**UNET, **unet, "adm_in_channels": 48 + 6 * 256})
    else:
        config = supported.WAN21_T2V(dict(WAN))
    config.set_inference_dtype(torch.float32, None)
    config.manual_cast_dtype = None
    made = config.get_model({}, "", device=CPU)
    randomise(made.diffusion_model, 1)
    return comfy.model_patcher.ModelPatcher(made, CPU, CPU)


def latent(kind: str) -> dict[str, torch.Tensor]:
    """Make an empty latent for `model(kind)`."""
    return {"samples": torch.zeros(LATENTS[kind])}


@cache
def direction(kind: str, anchors: int = 128) -> Any:
    """Make a SafetyDirection for `clip(kind)`."""
    return direction_for(clip(kind), anchors)


def direction_for(encoder: comfy.sd.CLIP, anchors: int = 128) -> Any:
    """Make a SafetyDirection whose source is a rotation of the pooled text of a CLIP, so that a map exists."""
    made, benign = words.pairs(), words.benign_prompts(anchors)
    sides = [[pair.safe for pair in made], [pair.unsafe for pair in made], benign]
    states = [_features(encoder, side) for side in sides]
    width = states[0].shape[1]
    generator = torch.Generator().manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
    deviation = states[2].std(0)
    activations = [
        (rows / deviation) @ rotation + 0.05 * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
        for rows in states
    ]
    return running_comfyui.module("safety_steer.extraction.extract_direction").fit_direction(
        source=running_comfyui.module("safety_steer.directions.source").ModelIdentity("tiny", "test", width, 1),
        layers=(1,),
        pooling="mean",
        estimator="mean",
        pairs=made,
        anchors=benign,
        activations=tuple(activations),
        report={},
    )


def older() -> Any:
    """A direction made before long prompts were looked at."""
    return replace(direction("sd15"), examples=None)


def with_passages(count: int = 40) -> Any:
    """A direction that also asks for long prompts."""
    plain = direction("sd15")
    passages = tuple(f"{', then '.join(words.benign_prompts(8, seed=row))}." for row in range(count))
    return replace(plain, examples=replace(plain.examples, passages=passages))


def _features(encoder: comfy.sd.CLIP, prompts: list[str]) -> torch.Tensor:
    """Return pooled text, all spaces side by side: (N, D) float64. Encodes one by one, as CLIP Text Encode does."""
    pool = running_comfyui.module("safety_steer.directions.pooling").pool
    rows = []
    for prompt in prompts:
        [[states, extras]] = encoder.encode_from_tokens_scheduled(encoder.tokenize(prompt))
        pooled = extras.get("pooled_output")
        rows.append(torch.cat([pool(states), *([] if pooled is None else [pooled])], dim=-1)[0])
    return torch.stack(rows).double()


def align(kind: str = "sd15", **changes: Any) -> Any:
    """Align `direction(kind)` to `clip(kind)` with the node, or whatever other inputs are given."""
    inputs = {"direction": direction(kind), "clip": clip(kind), "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **{**inputs, **changes})[0]


@cache
def aligned(kind: str) -> Any:
    """That, once for all tests."""
    return align(kind)


def encode(encoder: comfy.sd.CLIP, prompt: str) -> list[list[Any]]:
    """Encode a prompt with the core node."""
    made: list[list[Any]] = running_comfyui.call("CLIPTextEncode", clip=encoder, text=prompt)[0]
    return made
