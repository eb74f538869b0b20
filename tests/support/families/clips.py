"""Small random text encoders for every model family that ComfyUI conditions on text, made of ComfyUI's real classes.

A table says where ComfyUI keeps a family's encoder and tokenizer, and which sizes its models are given. What a class
fixes, and files that checkpoints carry, are replaced while the encoder is made; encoding runs ComfyUI's own code.
"""

from __future__ import annotations

from ..comfyui import tiny  # isort: skip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import comfy.ops
import comfy.sd
import pytest
import torch

from .encoders import ENCODERS, LAYERS, LLM, TEXTLESS, WIDTH, Sizes
from .rows import part
from .tokenizers import Llama, Mistral

# LTX-2 fixes these: the width of Gemma 3 12B, and that of its 49 states side by side.
FIXED_WIDTHS = {3840: WIDTH, 49 * 3840: (LAYERS + 1) * WIDTH}


class Operations(comfy.ops.manual_cast):
    """ComfyUI's layers for text encoders, where a token table may be shorter than the vocabulary."""

    class Embedding(comfy.ops.manual_cast.Embedding):
        def forward(self, ids: torch.Tensor, **options: Any) -> torch.Tensor:
            return super().forward(ids % self.num_embeddings, **options)

    class Linear(comfy.ops.manual_cast.Linear):
        def __init__(self, inputs: int, outputs: int, *args: Any, **options: Any) -> None:
            super().__init__(FIXED_WIDTHS.get(inputs, inputs), FIXED_WIDTHS.get(outputs, outputs), *args, **options)


def _with_experts(operations: type) -> type:
    """Add ComfyUI's layer of experts, whose weights a checkpoint makes otherwise."""
    made = getattr(getattr(comfy.ops, "mixed_precision_ops", dict)(), "MoEExperts", None)
    if made is None:
        return operations

    class Experts(made):
        def __init__(self, *sizes: Any, **options: Any) -> None:
            super().__init__(*sizes, **options)
            self.weight = torch.nn.Parameter(torch.empty(self._orig_shape))

    return type("WithExperts", (operations,), {"MoEExperts": Experts})


VISION = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 2, "num_hidden_layers": 1}
QWEN3_VISION = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "depth": 1, "deepstack_visual_indexes": [0]}
T5_GEMMA = {
    "vocab_size": 512,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


MUSIC: Sizes = {
    **LLM,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "decoder_num_heads": 2,
    "decoder_intermediate_size": WIDTH,
    "decoder_num_layers": 1,
}


def _small(made: Callable[[], Any], sizes: Mapping[str, int]) -> Any:
    """Make a configuration that takes no sizes, and give it some."""
    config = made()
    vars(config).update(sizes)
    return config


# What no option of a model or tokenizer can change: a part of ComfyUI by name, and what stands in for it.
REPLACED: Mapping[str, Callable[[Any], Any]] = {
    "text_encoders.flux.MistralTokenizerClass": lambda _: Mistral,
    # It needs a file from the checkpoint, and transformers 5.23 has changed the class that it calls.
    "text_encoders.flux.load_mistral_tokenizer": lambda _: lambda _: {},
    # Gemma 4 has a layer of the whole prompt after every five of its last 1,024 tokens, and sizes for pictures.
    "text_encoders.gemma4.Gemma4_12B_Config.sliding_attention": lambda _: [1024, False],
    "text_encoders.gemma4.Gemma4_12B_Config.vision_config": lambda config: {
        **config,
        "mm_embed_dim": WIDTH,
        "output_proj_dims": WIDTH,
    },
    "text_encoders.hunyuan_video.LlamaTokenizerFast": lambda _: Llama,
    "text_encoders.llama.Gemma3_12B_Config.vision_config": lambda config: {**config, **VISION, "image_size": 224},
    "text_encoders.lt.Embeddings1DConnector": lambda made: partial(made, num_attention_heads=2, attention_head_dim=WIDTH // 2),
    "text_encoders.minimax_music.MODEL_CONFIG": lambda config: {**config, **MUSIC},
    "text_encoders.qwen3vl.QWEN3VL_VISION": lambda sizes: dict.fromkeys(sizes, QWEN3_VISION),
    "text_encoders.qwen3vl.QWEN3VL_VISION_COMMON": lambda common: {**common, "num_heads": 2},
    "text_encoders.sa3.T5GemmaEncoderConfig": lambda made: partial(_small, made, T5_GEMMA),
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
    return part(f"comfy.{name}")


def available(family: str) -> bool:
    """Say whether this checkout of ComfyUI has a family's text encoder."""
    entry = ENCODERS[family]
    return all(_find(name) is not None for name in (entry.encoder, entry.tokenizer, *filter(None, (entry.of,)))) and (
        not entry.needs or part(entry.needs) is not None
    )


@cache
def clip(family: str, seed: int = 0, llm: tuple[tuple[str, int], ...] = ()) -> comfy.sd.CLIP:
    """Make a family's text encoder, the same one every time: clone it before you change it. `llm`: other sizes of an LLM."""
    entry = {**ENCODERS, **TEXTLESS}[family]
    encoder, tokenizer = (_find(name) for name in (entry.encoder, entry.tokenizer))
    target = tiny._Target(
        encoder if isinstance(encoder, type) else encoder(**entry.made_with()),
        tokenizer(_find(entry.of)) if entry.of else tokenizer,
    )
    options = {f"{name}_model_config": {**sizes, **dict(llm if sizes is LLM else ())} for name, sizes in entry.sizes.items()}
    with _replaced():
        made = comfy.sd.CLIP(
            target,
            tokenizer_data={name: file() for name, file in entry.files.items()},
            model_options={"dtype": torch.float32, "custom_operations": _with_experts(Operations), **options, **entry.options},
        )
    tiny.randomise(made.cond_stage_model, seed)
    for name, buffer in made.cond_stage_model.named_buffers():
        if name.endswith("layer_scalar"):  # a checkpoint says by what Gemma 4 multiplies all that a layer gives
            buffer.fill_(1.0)
    for child in made.cond_stage_model.children():
        # Some put layers such as 10, 20 and 30 of 40 side by side: here three, none of them normed as the last one is.
        if isinstance(getattr(child, "layer", None), list):
            child.layer = [1, 2, 3]
            child.options_default = (child.layer, *child.options_default[1:])
    return made
