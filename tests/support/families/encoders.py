"""Where ComfyUI keeps every family's text encoder and tokenizer, and what sizes and files they are given here."""

from __future__ import annotations

from ..comfyui import tiny  # isort: skip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from .rows import part
from .tokenizers import LENS_TEMPLATE, gemma4, harmony, minimax_music, spiece

WIDTH = 32
# HunyuanVideo and HunyuanImage take the third layer from the end, and ComfyUI wants one before it.
LAYERS = 4

Sizes = Mapping[str, Any]


@dataclass(frozen=True)
class Encoder:
    """Where ComfyUI keeps a family's encoder and tokenizer, the sizes of its models by name, and its tokenizer's files.

    Some classes forget to name their model, so that the sizes are found under "". `options` are other model options,
    `tokens` what a node of the family says to the tokenizer. `made_with` returns what ComfyUI gives the function that makes the
    encoder's class when it finds this family's weights; `of` names what it gives the one that makes the tokenizer's. `needs`
    names a part of ComfyUI that checkouts with the family have, where encoder and tokenizer are not enough to tell.
    """

    encoder: str
    tokenizer: str
    sizes: Mapping[str, Sizes]
    files: Mapping[str, Callable[[], torch.Tensor]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, Any] = field(default_factory=dict)
    made_with: Callable[[], Mapping[str, Any]] = dict
    of: str = ""
    needs: str = ""


LLM: Sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 8, "num_hidden_layers": LAYERS}
SHORT_LLM: Sizes = {**LLM, "vocab_size": 512}
# For encoders that pad to many rows and whose heads always have 256 numbers.
NARROW_LLM: Sizes = {**SHORT_LLM, "num_attention_heads": 2, "num_key_value_heads": 1}
GPT_OSS: Sizes = {**LLM, "head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 2}
T5: Sizes = tiny._t5_config(WIDTH)
# SD3 pads its CLIP states to the width of T5 XXL, which is 4096. The table is shorter than the vocabulary: its ids wrap.
WIDE_T5: Sizes = {**T5, "d_model": 4096, "num_layers": 1, "vocab_size": 8191}
CLIP: Sizes = tiny._clip_config(WIDTH)
CLIP_L_AND_G = {"clip_l": CLIP, "clip_g": tiny._clip_config(48)}
UMT5_FILE = {"spiece_model": tiny._spiece}
GEMMA_FILE = {"spiece_model": partial(spiece, start=2, end=1, pad=0)}
NEWBIE_FILES = {"gemma_spiece_model": GEMMA_FILE["spiece_model"], "jina_spiece_model": partial(spiece, start=0, end=2, pad=1)}


# LTX-2.3 projects the text twice, for video and for sound, and lays both side by side.
BOTH_TEXTS = {"text_projection_type": "dual_linear", "video_projection_dim": 2 * WIDTH, "audio_projection_dim": WIDTH}


def _with_gemma4() -> Mapping[str, Any]:
    model = part("comfy.text_encoders.gemma4.gemma4_text_encoder_model")(part("comfy.text_encoders.gemma4.Gemma4_12B"))
    return {**BOTH_TEXTS, "text_encoder_model": model, "text_encoder_key": "gemma4"}


def _encoder(module: str, encoder: str, tokenizer: str, sizes: Mapping[str, Sizes], **more: Any) -> Encoder:
    return Encoder(f"text_encoders.{module}.{encoder}", f"text_encoders.{module}.{tokenizer}", sizes, **more)


ENCODERS: dict[str, Encoder] = {
    "sd15": Encoder("sd1_clip.SD1ClipModel", "sd1_clip.SD1Tokenizer", {"clip_l": CLIP}),
    "sd2": _encoder("sd2_clip", "SD2ClipModel", "SD2Tokenizer", {"clip_h": CLIP}),
    "sdxl": Encoder("sdxl_clip.SDXLClipModel", "sdxl_clip.SDXLTokenizer", CLIP_L_AND_G),
    "sdxl_refiner": Encoder("sdxl_clip.SDXLRefinerClipModel", "sdxl_clip.SDXLTokenizer", CLIP_L_AND_G),
    "stable_cascade": Encoder("sdxl_clip.StableCascadeClipModel", "sdxl_clip.StableCascadeTokenizer", CLIP_L_AND_G),
    "sd3": _encoder("sd3_clip", "sd3_clip", "SD3Tokenizer", {**CLIP_L_AND_G, "t5xxl": WIDE_T5}),
    "flux": _encoder("flux", "flux_clip", "FluxTokenizer", {"clip_l": CLIP, "t5xxl": T5}),
    "flux2": _encoder("flux", "flux2_te", "Flux2Tokenizer", {"mistral3_24b": LLM}),
    "flux2_klein": _encoder("flux", "klein_te", "KleinTokenizer", {"qwen3_4b": LLM}),
    "flux2_klein_8b": _encoder(
        "flux", "klein_te", "KleinTokenizer8B", {"qwen3_8b": LLM}, made_with=lambda: {"model_type": "qwen3_8b"}
    ),
    "chroma": _encoder("pixart_t5", "pixart_te", "PixArtTokenizer", {"t5xxl": T5}),
    "pixart": _encoder("pixart_t5", "PixArtT5XXL", "PixArtTokenizer", {"t5xxl": T5}),
    "auraflow": _encoder("aura_t5", "AuraT5Model", "AuraT5Tokenizer", {"pile_t5xl": T5}),
    "hunyuan_dit": _encoder(
        "hydit", "HyditModel", "HyditTokenizer", {"hydit_clip": CLIP, "mt5xl": T5}, files={"mt5xl.spiece_model": tiny._spiece}
    ),
    "hidream": _encoder("hidream", "hidream_clip", "HiDreamTokenizer", {**CLIP_L_AND_G, "t5xxl": T5, "llama": LLM}),
    "lumina2": _encoder("lumina2", "te", "LuminaTokenizer", {"gemma2_2b": SHORT_LLM}, files=GEMMA_FILE),
    "newbie": _encoder("newbie", "te", "NewBieTokenizer", {"": SHORT_LLM}, files=NEWBIE_FILES),
    "z_image": _encoder("z_image", "te", "ZImageTokenizer", {"qwen3_4b": LLM}),
    "ovis": _encoder("ovis", "te", "OvisTokenizer", {"qwen3_2b": LLM}),
    "omnigen2": _encoder("omnigen2", "te", "Omnigen2Tokenizer", {"qwen25_3b": LLM}),
    "qwen_image": _encoder("qwen_image", "te", "QwenImageTokenizer", {"qwen25_7b": LLM}),
    "hunyuan_image": _encoder("hunyuan_image", "te", "HunyuanImageTokenizer", {"qwen25_7b": LLM, "": T5}),
    "hunyuan_video": _encoder("hunyuan_video", "hunyuan_video_clip", "HunyuanVideoTokenizer", {"clip_l": CLIP, "llama": LLM}),
    "hunyuan_video_15": Encoder(
        "text_encoders.hunyuan_image.te", "text_encoders.hunyuan_video.HunyuanVideo15Tokenizer", {"qwen25_7b": LLM, "": T5}
    ),
    "kandinsky5": _encoder("kandinsky5", "te", "Kandinsky5Tokenizer", {"qwen25_7b": LLM, "clip_l": CLIP}),
    "cosmos": _encoder("cosmos", "te", "CosmosT5Tokenizer", {"t5xxl": T5}),
    "anima": _encoder("anima", "te", "AnimaTokenizer", {"qwen3_06b": LLM}),
    "wan": _encoder("wan", "te", "WanT5Tokenizer", {"umt5xxl": T5}, files=UMT5_FILE),
    "ltxv": _encoder("lt", "ltxv_te", "LTXVT5Tokenizer", {"t5xxl": T5}),
    "ltxav": _encoder("lt", "ltxav_te", "LTXAVGemmaTokenizer", {"": NARROW_LLM}, files=GEMMA_FILE),
    "ltxav_23": _encoder(
        "lt",
        "ltxav_te",
        "LTXAVGemmaTokenizer",
        {"": NARROW_LLM},
        files=GEMMA_FILE,
        made_with=lambda: BOTH_TEXTS,
        needs="comfy.text_encoders.lt.DualLinearProjection",
    ),
    "ltxav_gemma4": _encoder(
        "lt",
        "ltxav_te",
        "ltxav_gemma4_tokenizer",
        {"": NARROW_LLM},
        files={"tokenizer_json": gemma4},
        made_with=_with_gemma4,
        of="text_encoders.gemma4.Gemma4_12B.tokenizer",
    ),
    "mochi": _encoder("genmo", "mochi_te", "MochiT5Tokenizer", {"t5xxl": T5}),
    "stable_audio": _encoder("sa_t5", "SAT5Model", "SAT5Tokenizer", {"t5base": T5}),
    "ace": _encoder("ace", "AceT5Model", "AceT5Tokenizer", {"": T5}, files=UMT5_FILE),
    "lens": _encoder(
        "gpt_oss",
        "lens_te",
        "LensTokenizer",
        {},
        files={"tokenizer_json": harmony},
        # The template is as long as this tokenizer makes it.
        options={
            "gpt_oss_config": {**GPT_OSS, "num_experts_per_tok": 1},
            "selected_layers": (0, 1, 2, 3),
            "txt_offset": LENS_TEMPLATE,
        },
    ),
    "krea2": _encoder("krea2", "te", "Krea2Tokenizer", {"qwen3vl_4b": LLM}),
    "ideogram4": _encoder("ideogram4", "te", "Ideogram4Tokenizer", {"qwen3vl_8b": LLM}),
    "ideogram4_vl": _encoder("ideogram4", "te_qwen3vl", "Ideogram4Qwen3VLTokenizer", {"qwen3vl_8b": LLM}),
    "boogu": _encoder("boogu", "te", "BooguTokenizer", {"qwen3vl_8b": LLM}),
    "mage_flow": _encoder("mage_flow", "te", "MageFlowTokenizer", {"qwen3vl_4b": LLM}),
    "joyimage": _encoder("joyimage", "te", "JoyImageTokenizer", {"qwen3vl_8b": LLM}),
    "longcat_image": _encoder("longcat_image", "te", "LongCatImageTokenizer", {"qwen25_7b": LLM}),
    "ernie_image": _encoder("ernie", "te", "ErnieTokenizer", {"ministral3_3b": LLM}),
    "pixeldit": _encoder("pixeldit", "pixeldit_te", "PixelDiTGemma2Tokenizer", {"gemma2_2b": NARROW_LLM}, files=GEMMA_FILE),
    "cogvideox": _encoder("cogvideo", "cogvideo_te", "CogVideoXTokenizer", {"t5xxl": T5}),
    "minimax_h3": _encoder("minimax", "te", "MiniMaxH3Tokenizer", {"qwen3vl_32b": LLM}),
    "kandinsky5_image": _encoder("kandinsky5", "te", "Kandinsky5TokenizerImage", {"qwen25_7b": LLM, "clip_l": CLIP}),
    # A second of music is five tokens of sound, which a language model samples.
    "ace_15": _encoder("ace15", "te", "ACE15Tokenizer", {"": LLM}, tokens={"duration": 1, "lyrics": "la la"}),
    # It finds things in pictures by their names; no sampler reads it.
    "sam3": _encoder("sam3_clip", "SAM3ClipModelWrapper", "SAM3TokenizerWrapper", {"sam3_clip": CLIP}),
    "stable_audio_3": _encoder("sa3", "SAT5GemmaModel", "SAT5GemmaTokenizer", {}, files={"spiece_model": tiny._spiece}),
}
# Encoders that give no text: token ids, and sound.
TEXTLESS: dict[str, Encoder] = {
    "hidream_o1": _encoder("hidream_o1", "HiDreamO1TE", "HiDreamO1Tokenizer", {}),
    "minimax_music3": _encoder(
        "minimax_music",
        "MiniMaxMusic3TEModel",
        "MiniMaxMusic3Tokenizer",
        {},
        files={"tokenizer_json": minimax_music},
        tokens={"max_audio_frames": 3},
    ),
}
