"""Small random text encoders for every model family that ComfyUI conditions on text, made of ComfyUI's real classes.

A table says where ComfyUI keeps a family's encoder and tokenizer, and which sizes its models are given. What a class
fixes, and files that checkpoints carry, are replaced while the encoder is made; encoding runs ComfyUI's own code.
"""

from __future__ import annotations

import tiny  # isort: skip
import io
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import comfy.ops
import comfy.sd
import pytest
import sentencepiece
import tokenizers
import torch
import transformers
import words
from tokenizers import models, pre_tokenizers, processors

WIDTH = 32
# HunyuanVideo and HunyuanImage take the third layer from the end, and ComfyUI wants one before it.
LAYERS = 4
MERGES = 20000
# LTX-2 fixes these: the width of Gemma 3 12B, and that of its 49 states side by side.
FIXED_WIDTHS = {3840: WIDTH, 49 * 3840: (LAYERS + 1) * WIDTH}

Sizes = Mapping[str, Any]


class Operations(comfy.ops.manual_cast):
    """ComfyUI's layers for text encoders, where a token table may be shorter than the vocabulary."""

    class Embedding(comfy.ops.manual_cast.Embedding):
        def forward(self, ids: torch.Tensor, **options: Any) -> torch.Tensor:
            return super().forward(ids % self.num_embeddings, **options)

    class Linear(comfy.ops.manual_cast.Linear):
        def __init__(self, inputs: int, outputs: int, *args: Any, **options: Any) -> None:
            super().__init__(FIXED_WIDTHS.get(inputs, inputs), FIXED_WIDTHS.get(outputs, outputs), *args, **options)


@cache
def _spiece(start: int, end: int, pad: int) -> torch.Tensor:
    """Train a SentencePiece tokenizer with a start token."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*words.benign_prompts(500), words.DANGEROUS, "abcdefghijklmnopqrstuvwxyz():.,0123456789"]),
        model_writer=written,
        vocab_size=400,
        hard_vocab_limit=False,
        bos_id=start,
        eos_id=end,
        pad_id=pad,
        unk_id=3,
        minloglevel=2,
    )
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


def _byte_pairs(start: str, special: Mapping[str, int]) -> transformers.PreTrainedTokenizerFast:
    """Make a byte-pair tokenizer from the commonest merges of ComfyUI's Qwen tokenizer, with some tokens at given ids."""
    lines = (Path(comfy.sd.__file__).parent / "text_encoders/qwen25_tokenizer/merges.txt").read_text("utf-8").splitlines()
    merges = [(left, right) for left, right in (line.split(" ") for line in lines[:MERGES] if not line.startswith("#version"))]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {**{piece: 1000 + number for number, piece in enumerate(pieces)}, **special}
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in special])
    made.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=[(start, special[start])])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


class Llama:
    """Loads a tokenizer with the ids by which ComfyUI finds the user's text in Llama 3's template."""

    @staticmethod
    def from_pretrained(_path: str, **_options: Any) -> transformers.PreTrainedTokenizerFast:
        header = {"<|start_header_id|>": 128006, "user": 882, "<|end_header_id|>": 128007, "\n\n": 271}
        return _byte_pairs(
            "<|begin_of_text|>", {"<|begin_of_text|>": 128000, **header, "<|eot_id|>": 128009, "<image>": 128257}
        )


class Mistral:
    """Loads a tokenizer with the special tokens of Mistral Small 3."""

    @staticmethod
    def from_pretrained(_path: str, **_options: Any) -> transformers.PreTrainedTokenizerFast:
        turns = {"[INST]": 3, "[/INST]": 4, "[SYSTEM_PROMPT]": 17, "[/SYSTEM_PROMPT]": 18}
        return _byte_pairs("<s>", {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 11, **turns})


VISION = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 2, "num_hidden_layers": 1}
# What no option of a model or tokenizer can change: a part of ComfyUI by name, and what stands in for it.
REPLACED: Mapping[str, Callable[[Any], Any]] = {
    "text_encoders.flux.MistralTokenizerClass": lambda _: Mistral,
    # It needs a file from the checkpoint, and transformers 5.23 has changed the class that it calls.
    "text_encoders.flux.load_mistral_tokenizer": lambda _: lambda _: {},
    "text_encoders.hunyuan_video.LlamaTokenizerFast": lambda _: Llama,
    "text_encoders.llama.Gemma3_12B_Config.vision_config": lambda config: {**config, **VISION, "image_size": 224},
    "text_encoders.lt.Embeddings1DConnector": lambda made: partial(made, num_attention_heads=2, attention_head_dim=WIDTH // 2),
    "text_encoders.qwen_vl.Qwen2VLVisionTransformer": lambda made: (
        lambda **options: made(
            **{**options, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_heads": 2, "num_layers": 1}
        )
    ),
}


@contextmanager
def _replaced() -> Iterator[None]:
    """Put stand-ins in place of what ComfyUI fixes, for as long as an encoder is made."""
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in REPLACED.items():
            found = _find(name)
            if found is not None:
                patch.setattr(f"comfy.{name}", stand_in(found))
        yield


def _find(name: str) -> Any:
    """Return a part of ComfyUI by name, None when this checkout has no such part."""
    try:
        return pkgutil.resolve_name(f"comfy.{name}")
    except (AttributeError, ImportError):
        return None


@dataclass(frozen=True)
class Family:
    """Where ComfyUI keeps a family's encoder and tokenizer, the sizes of its models by name, and its tokenizer's files.

    Some classes forget to name their model, so that the sizes are found under "".
    """

    encoder: str
    tokenizer: str
    sizes: Mapping[str, Sizes]
    files: Mapping[str, Callable[[], torch.Tensor]] = field(default_factory=dict)


LLM: Sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 8, "num_hidden_layers": LAYERS}
SHORT_LLM: Sizes = {**LLM, "vocab_size": 512}
T5: Sizes = tiny._t5_config(WIDTH)
# SD3 pads its CLIP states to the width of T5 XXL, which is 4096. The table is shorter than the vocabulary: its ids wrap.
WIDE_T5: Sizes = {**T5, "d_model": 4096, "num_layers": 1, "vocab_size": 8191}
CLIP: Sizes = tiny._clip_config(WIDTH)
CLIP_L_AND_G = {"clip_l": CLIP, "clip_g": tiny._clip_config(48)}
UMT5_FILE = {"spiece_model": tiny._spiece}
GEMMA_FILE = {"spiece_model": partial(_spiece, start=2, end=1, pad=0)}
NEWBIE_FILES = {"gemma_spiece_model": GEMMA_FILE["spiece_model"], "jina_spiece_model": partial(_spiece, start=0, end=2, pad=1)}


def _family(module: str, encoder: str, tokenizer: str, sizes: Mapping[str, Sizes], **more: Any) -> Family:
    return Family(f"text_encoders.{module}.{encoder}", f"text_encoders.{module}.{tokenizer}", sizes, **more)


FAMILIES: dict[str, Family] = {
    "sd15": Family("sd1_clip.SD1ClipModel", "sd1_clip.SD1Tokenizer", {"clip_l": CLIP}),
    "sd2": _family("sd2_clip", "SD2ClipModel", "SD2Tokenizer", {"clip_h": CLIP}),
    "sdxl": Family("sdxl_clip.SDXLClipModel", "sdxl_clip.SDXLTokenizer", CLIP_L_AND_G),
    "sdxl_refiner": Family("sdxl_clip.SDXLRefinerClipModel", "sdxl_clip.SDXLTokenizer", CLIP_L_AND_G),
    "stable_cascade": Family("sdxl_clip.StableCascadeClipModel", "sdxl_clip.StableCascadeTokenizer", CLIP_L_AND_G),
    "sd3": _family("sd3_clip", "sd3_clip", "SD3Tokenizer", {**CLIP_L_AND_G, "t5xxl": WIDE_T5}),
    "flux": _family("flux", "flux_clip", "FluxTokenizer", {"clip_l": CLIP, "t5xxl": T5}),
    "flux2": _family("flux", "flux2_te", "Flux2Tokenizer", {"mistral3_24b": LLM}),
    "flux2_klein": _family("flux", "klein_te", "KleinTokenizer", {"qwen3_4b": LLM}),
    "chroma": _family("pixart_t5", "pixart_te", "PixArtTokenizer", {"t5xxl": T5}),
    "pixart": _family("pixart_t5", "PixArtT5XXL", "PixArtTokenizer", {"t5xxl": T5}),
    "auraflow": _family("aura_t5", "AuraT5Model", "AuraT5Tokenizer", {"pile_t5xl": T5}),
    "hunyuan_dit": _family(
        "hydit", "HyditModel", "HyditTokenizer", {"hydit_clip": CLIP, "mt5xl": T5}, files={"mt5xl.spiece_model": tiny._spiece}
    ),
    "hidream": _family("hidream", "hidream_clip", "HiDreamTokenizer", {**CLIP_L_AND_G, "t5xxl": T5, "llama": LLM}),
    "lumina2": _family("lumina2", "te", "LuminaTokenizer", {"gemma2_2b": SHORT_LLM}, files=GEMMA_FILE),
    "newbie": _family("newbie", "te", "NewBieTokenizer", {"": SHORT_LLM}, files=NEWBIE_FILES),
    "z_image": _family("z_image", "te", "ZImageTokenizer", {"qwen3_4b": LLM}),
    "ovis": _family("ovis", "te", "OvisTokenizer", {"qwen3_2b": LLM}),
    "omnigen2": _family("omnigen2", "te", "Omnigen2Tokenizer", {"qwen25_3b": LLM}),
    "qwen_image": _family("qwen_image", "te", "QwenImageTokenizer", {"qwen25_7b": LLM}),
    "hunyuan_image": _family("hunyuan_image", "te", "HunyuanImageTokenizer", {"qwen25_7b": LLM, "": T5}),
    "hunyuan_video": _family("hunyuan_video", "hunyuan_video_clip", "HunyuanVideoTokenizer", {"clip_l": CLIP, "llama": LLM}),
    "hunyuan_video_15": Family(
        "text_encoders.hunyuan_image.te", "text_encoders.hunyuan_video.HunyuanVideo15Tokenizer", {"qwen25_7b": LLM, "": T5}
    ),
    "kandinsky5": _family("kandinsky5", "te", "Kandinsky5Tokenizer", {"qwen25_7b": LLM, "clip_l": CLIP}),
    "cosmos": _family("cosmos", "te", "CosmosT5Tokenizer", {"t5xxl": T5}),
    "anima": _family("anima", "te", "AnimaTokenizer", {"qwen3_06b": LLM}),
    "wan": _family("wan", "te", "WanT5Tokenizer", {"umt5xxl": T5}, files=UMT5_FILE),
    "ltxv": _family("lt", "ltxv_te", "LTXVT5Tokenizer", {"t5xxl": T5}),
    "ltxav": _family("lt", "ltxav_te", "LTXAVGemmaTokenizer", {"": SHORT_LLM}, files=GEMMA_FILE),
    "mochi": _family("genmo", "mochi_te", "MochiT5Tokenizer", {"t5xxl": T5}),
    "stable_audio": _family("sa_t5", "SAT5Model", "SAT5Tokenizer", {"t5base": T5}),
    "ace": _family("ace", "AceT5Model", "AceT5Tokenizer", {"": T5}, files=UMT5_FILE),
}


def available(family: str) -> bool:
    """Say whether this checkout of ComfyUI has a family's text encoder."""
    return _find(FAMILIES[family].encoder) is not None and _find(FAMILIES[family].tokenizer) is not None


@cache
def clip(family: str, seed: int = 0, llm: tuple[tuple[str, int], ...] = ()) -> comfy.sd.CLIP:
    """Make a family's text encoder, the same one every time: clone it before you change it. `llm`: other sizes of an LLM."""
    entry = FAMILIES[family]
    encoder, tokenizer = _find(entry.encoder), _find(entry.tokenizer)
    target = tiny._Target(encoder if isinstance(encoder, type) else encoder(), tokenizer)
    options = {f"{name}_model_config": {**sizes, **dict(llm if sizes is LLM else ())} for name, sizes in entry.sizes.items()}
    with _replaced():
        made = comfy.sd.CLIP(
            target,
            tokenizer_data={name: file() for name, file in entry.files.items()},
            model_options={"dtype": torch.float32, "custom_operations": Operations, **options},
        )
    tiny.randomise(made.cond_stage_model, seed)
    for part in made.cond_stage_model.children():
        # Flux.2 puts layers 10, 20 and 30 of 40 side by side: here the first three, none of them normed as the last one is.
        if isinstance(getattr(part, "layer", None), list):
            part.layer = [1, 2, 3]
            part.options_default = (part.layer, *part.options_default[1:])
    return made
