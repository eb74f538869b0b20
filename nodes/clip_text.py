"""Encode many prompts with a ComfyUI CLIP: the tensors CLIP Text Encode would give, several prompts per pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import comfy.model_management
import torch
from torch import Tensor

from ..safety_steer.errors import EncoderError

if TYPE_CHECKING:
    from comfy.sd import CLIP

Tokens = dict[str, list[list[Any]]]
Texts = dict[str, Tensor]

TOKENS_PER_PASS = 4096
TOKENS_PER_WINDOW = 8000
KNOWN_EXTRAS = ("pooled_output", "attention_mask")
SUPPORTED = (
    {"l"},
    {"h"},
    {"g"},
    {"g", "l"},
    {"t5xxl"},
    {"umt5xxl"},
    {"t5base"},
    {"pile_t5xl"},
    {"l", "t5xxl"},
    {"minilm"},
    {"smollm2"},
)


def encoder_name(clip: CLIP | None) -> str:
    """Name a CLIP's encoder for people; raises EncoderError when there is none."""
    if clip is None:
        raise EncoderError(
            "The clip input of Align Direction is empty: this checkpoint file has no text encoder. Load one with Load CLIP."
        )
    return type(clip.cond_stage_model).__name__.strip("_")


def encode_prompts(
    clip: CLIP, prompts: Sequence[str], advance: Callable[[int], None] | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Yield the text tensors of consecutive prompts: `cross_attn` (T_i, D) and, where there is one, `pooled_output` (1, D).

    Clip skip, LoRA and prompt weights act as in CLIP Text Encode. Padding that the encoder sets to 0 is left out. `advance`
    is told how many prompts are done. Raises EncoderError for a kind of encoder that is not supported.
    """
    options = _without_zero_padding(clip)
    _check_supported(clip, clip.tokenize("", **options))
    for tokens in _windows(clip.tokenize(prompt, **options) for prompt in prompts):
        encoded: list[Texts] = [{}] * len(tokens)
        for rows in _same_shape(tokens):
            comfy.model_management.throw_exception_if_processing_interrupted()
            for row, texts in zip(rows, _encode(clip, [tokens[row] for row in rows]), strict=True):
                encoded[row] = texts
            if advance is not None:
                advance(len(rows))
        yield {space: [texts[space] for texts in encoded] for space in encoded[0]}


def _check_supported(clip: CLIP, tokens: Tokens) -> None:
    if set(tokens) not in SUPPORTED:
        raise EncoderError(
            f"The text encoder {encoder_name(clip)} ({', '.join(sorted(tokens))}) is not supported yet. Align Direction "
            "works with the CLIP of SD 1.5, SD 2, SDXL, Flux, models with a single T5 or UMT5 such as Wan or PixArt, and the "
            "demo generator."
        )


def _without_zero_padding(clip: CLIP) -> dict[str, Any]:
    """Return tokenizer options that leave out padding, for encoders that mask it and then set it to 0."""
    names = [name for name, part in clip.cond_stage_model.named_children() if getattr(part, "zero_out_masked", False)]
    return {"tokenizer_options": {f"{name}_min_length": 0 for name in names}} if names else {}


def _windows(prompts: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    """Cut tokenized prompts into windows whose text states fit in memory together."""
    window: list[Tokens] = []
    size = 0
    for tokens in prompts:
        window.append(tokens)
        size += _length(tokens)
        if size >= TOKENS_PER_WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window


def _length(tokens: Tokens) -> int:
    return max(sum(map(len, sections)) for sections in tokens.values())


def _same_shape(tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Group prompts whose sections can share one pass: as many and as long ones for every part of the encoder."""
    groups: dict[Any, list[int]] = {}
    for row, sections in enumerate(tokens):
        shape = tuple(tuple(map(len, sections[key])) for key in sorted(sections))
        alone = len({len(lengths) for lengths in shape}) > 1
        groups.setdefault((shape, row if alone else None), []).append(row)
    for rows in groups.values():
        together = max(1, TOKENS_PER_PASS // _length(tokens[rows[0]]))
        for start in range(0, len(rows), together):
            yield rows[start : start + together]


def _encode(clip: CLIP, group: Sequence[Tokens]) -> list[Texts]:
    """Encode prompts of one shape as if they were sections of one long prompt, and cut the result apart."""
    merged = {key: [section for tokens in group for section in tokens[key]] for key in group[0]}
    with _pooled_of_parts(clip) as parts:
        entries = clip.encode_from_tokens_scheduled(merged)
    if len(entries) != 1:
        raise EncoderError(
            "This CLIP changes during sampling (Set CLIP Hooks with schedule_clip). Connect Align Direction to the CLIP "
            "before that node."
        )
    states, extras = entries[0]
    unknown = [name for name, value in extras.items() if isinstance(value, Tensor) and name not in KNOWN_EXTRAS]
    if unknown or states.shape[1] % len(group):
        raise EncoderError(
            f"The text encoder {encoder_name(clip)} gives more than text states ({', '.join(unknown) or 'extra rows'}) "
            "and is not supported yet. Use another model with Align Direction."
        )
    texts = [{"cross_attn": piece[0]} for piece in torch.tensor_split(states, len(group), dim=1)]
    first = extras.get("pooled_output")
    if first is None:
        return texts
    pooled = _pooled_rows(first, parts, len(group))
    if pooled is None:
        return [_encode(clip, [tokens])[0] for tokens in group]
    return [{**text, "pooled_output": row} for text, row in zip(texts, pooled, strict=True)]


@contextmanager
def _pooled_of_parts(clip: CLIP) -> Iterator[list[Tensor]]:
    """Collect the pooled states of all sections from the encoder's parts: a CLIP hands out those of the first only."""
    collected: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], Tensor):
            collected.append(output[1])

    handles = [part.register_forward_hook(keep) for part in clip.cond_stage_model.children()]
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


def _pooled_rows(first: Tensor, parts: Sequence[Tensor], count: int) -> list[Tensor] | None:
    """Return each prompt's pooled state (1, D), from the part whose first section gave `first`; None when none did."""
    if count == 1:
        return [first]
    for pooled in parts:
        # With prompt weights the encoder appends one empty section, which the division leaves out.
        sections = len(pooled) // count
        if sections and torch.equal(pooled[:1].to(first), first):
            return [pooled[row * sections][None].to(first) for row in range(count)]
    return None
