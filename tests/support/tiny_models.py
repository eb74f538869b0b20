"""Tiny transformers models of random weights, with tokenizers that know the words of `wording`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .wording import VOCABULARY

KINDS = ("llama", "bert", "t5", "clip")


def make_tokenizer(kind: str) -> Any:
    """A word-level tokenizer with the special tokens that family adds; llama's adds none by itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    template = {"bert": "[CLS] $A [SEP]", "t5": "$A </s>", "clip": "<s> $A </s>"}.get(kind)
    if template is not None:
        used = [(word, numbers[word]) for word in template.split() if word in numbers]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    named = {"bos_token": "<s>"} if kind in ("llama", "clip") else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="<pad>", eos_token="</s>", model_max_length=48, **named
    )


def make_model(kind: str, seed: int = 0, width: int = 48) -> Any:
    """A tiny randomly initialised transformers model, weights large enough for attention to matter."""
    import transformers

    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": width, "num_attention_heads": 4, "intermediate_size": 64}
    shared = {**sizes, "num_hidden_layers": 3, "max_position_embeddings": 64, "initializer_range": 0.3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "llama":
            return transformers.LlamaModel(transformers.LlamaConfig(num_key_value_heads=2, **shared))
        if kind == "bert":
            return transformers.BertModel(transformers.BertConfig(**shared))
        if kind == "clip":
            model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**shared, eos_token_id=3, bos_token_id=2))
            for name, weight in model.named_parameters():
                if weight.ndim == 2 and "position" not in name:
                    torch.nn.init.normal_(weight, std=0.3)
            return model
        config = transformers.T5Config(
            vocab_size=len(VOCABULARY), d_model=width, d_kv=12, d_ff=64, num_layers=3, num_heads=4, decoder_start_token_id=1
        )
        return transformers.T5ForConditionalGeneration(config)


def save_model(kind: str, folder: Path, seed: int = 0, width: int = 48) -> Path:
    """Save a tiny model and its tokenizer as a Hugging Face folder."""
    make_model(kind, seed, width).save_pretrained(folder)
    make_tokenizer(kind).save_pretrained(folder)
    return folder
