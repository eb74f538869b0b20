"""Small tokenizers of the kinds that ComfyUI's text encoders take from checkpoints, with the special tokens they count on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import comfy.sd
import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors

from ..comfyui import words
from .rows import part

MERGES = 20000


@cache
def spiece(start: int, end: int, pad: int) -> torch.Tensor:
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


def _byte_pairs(special: Mapping[str, int]) -> tokenizers.Tokenizer:
    """Make a byte-pair tokenizer from the commonest merges of ComfyUI's Qwen tokenizer, with some tokens at given ids."""
    lines = (Path(comfy.sd.__file__).parent / "text_encoders/qwen25_tokenizer/merges.txt").read_text("utf-8").splitlines()
    merges = [(left, right) for left, right in (line.split(" ") for line in lines[:MERGES] if not line.startswith("#version"))]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {**{piece: 1000 + number for number, piece in enumerate(pieces)}, **special}
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in special])
    return made


def _starting(start: str, special: Mapping[str, int]) -> transformers.PreTrainedTokenizerFast:
    """Make one that puts a start token before every text, as transformers loads it."""
    made = _byte_pairs(special)
    made.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=[(start, special[start])])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


class Llama:
    """Loads a tokenizer with the ids by which ComfyUI finds the user's text in Llama 3's template."""

    @staticmethod
    def from_pretrained(_path: str, **_options: Any) -> transformers.PreTrainedTokenizerFast:
        header = {"<|start_header_id|>": 128006, "user": 882, "<|end_header_id|>": 128007, "\n\n": 271}
        return _starting("<|begin_of_text|>", {"<|begin_of_text|>": 128000, **header, "<|eot_id|>": 128009, "<image>": 128257})


class Mistral:
    """Loads a tokenizer with the special tokens of Mistral Small 3."""

    @staticmethod
    def from_pretrained(_path: str, **_options: Any) -> transformers.PreTrainedTokenizerFast:
        turns = {"[INST]": 3, "[/INST]": 4, "[SYSTEM_PROMPT]": 17, "[/SYSTEM_PROMPT]": 18}
        return _starting("<s>", {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 11, **turns})


def _file(special: Mapping[str, int]) -> torch.Tensor:
    """Return the tokenizer.json of a byte-pair tokenizer with some tokens at given ids, as a checkpoint carries it."""
    return torch.frombuffer(bytearray(_byte_pairs(special).to_str().encode()), dtype=torch.uint8)


@cache
def gemma4() -> torch.Tensor:
    """Return a tokenizer.json with the marks of Gemma 4, as checkpoints carry it."""
    return _file({"<pad>": 0, "<eos>": 1, "<bos>": 2, "<|turn>": 105, "<turn|>": 106, "<|channel>": 100, "<channel|>": 101})


@cache
def minimax_music() -> torch.Tensor:
    """Return a tokenizer.json with the marks of MiniMax Music 3."""
    return _file(part("comfy.ldm.minimax_music.prompt.SPECIAL_TOKEN_IDS"))


@cache
def harmony() -> torch.Tensor:
    """Return a tokenizer.json with the marks of GPT-OSS's conversations, as checkpoints of Lens carry it."""
    marks = ("<|endoftext|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>")
    return _file({mark: 199_000 + number for number, mark in enumerate(marks)})


def _length_of_template() -> int:
    """Count the tokens that Lens puts before a prompt, and takes off again."""
    render = part("comfy.text_encoders.gpt_oss._lens_render_chat")
    if render is None:
        return 0
    made = tokenizers.Tokenizer.from_str(bytes(harmony().tolist()).decode())
    pairs = zip(*(made.encode(render(word), add_special_tokens=False).ids for word in ("a", "b")), strict=True)
    return next(number for number, (one, other) in enumerate(pairs) if one != other)


LENS_TEMPLATE = _length_of_template()
