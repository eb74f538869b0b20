"""Encode many prompts with a ComfyUI CLIP: the text spaces CLIP Text Encode would give, several prompts per pass if it can.

A CLIP encodes one prompt at a time, but a prompt may have several sections, which most encoders process together and lay
end to end. So prompts of one shape are given to it as the sections of one prompt, and the result is cut apart. Whether an
encoder allows that is found out by trying it on two prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import comfy.model_management
import torch
from torch import Tensor

from ...safety_steer.directions.text_spaces import Place, fits, only_token_ids, second_ways, take
from ...safety_steer.errors import EncoderError
from ...safety_steer.extraction.text_model import Progress
from ...safety_steer.fast_products import fast_products
from . import layout
from . import tokens as clip_tokens
from .parts import outputs_of_parts
from .tokens import Tokens, length, shape

if TYPE_CHECKING:
    from comfy.sd import CLIP

Texts = dict[str, Tensor]

# By hand: states of at most 256 MiB at a time.
BYTES_PER_WINDOW = 2**28
# By hand: about fifty prompts of CLIP's 77 tokens.
TOKENS_PER_PASS = 4096
# By hand: states of 1,024 tokens of T5 XXL. More are no faster on a CPU, and take several times the memory.
BYTES_PER_CPU_PASS = 2**24
# By hand: prompts in a pass and alone differ by rounding only; `benchmarks/encoding.py` and the tests hold real encoders to it.
SAME_COSINE = 0.9999
# Pairs of prompts that most tokenizers cut alike, to find out whether an encoder takes several at once.
ALIKE = (("a cat", "a dog"), ("red", "blue"), ("a", "b"))


def encoder_name(clip: CLIP | None, node: str = "Align Direction") -> str:
    """Name a CLIP's encoder for people; raises EncoderError when there is none."""
    if clip is None:
        raise EncoderError(
            f"The clip input of {node} is empty: this checkpoint file has no text encoder. Load one with Load CLIP."
        )
    return type(clip.cond_stage_model).__name__.strip("_")


@dataclass(frozen=True, eq=False)
class ClipText:
    """A CLIP, the places of its text spaces, and how many rows its template takes off a prompt in each: `cropped`.

    `together` says whether several prompts can share a pass, `bytes_per_token` how much all spaces together weigh. `beside`
    names what carries a prompt to the model past those spaces.
    """

    clip: CLIP
    places: Mapping[str, Place]
    together: bool
    bytes_per_token: int
    options: Mapping[str, Any] = field(default_factory=dict)
    cropped: Mapping[str, int] = field(default_factory=dict)
    beside: Sequence[str] = ()


def study(clip: CLIP) -> ClipText:
    """Find out where a CLIP puts its text and whether it takes several prompts at once; raises EncoderError for neither."""
    options = {**_without_zero_padding(clip), **clip_tokens.without_sampling(clip)}
    tokens = clip.tokenize(ALIKE[0][0], **options)
    if clip_tokens.generates_sound(tokens):
        raise EncoderError(
            f"Expected a text encoder that gives text states, but {encoder_name(clip)} generates sound for a prompt, "
            "which holds no rows of the prompt: there is nothing to align to. Models of this kind cannot be steered."
        )
    with outputs_of_parts(clip) as parts:
        entry = entry_of(clip, tokens)
    if only_token_ids(entry):
        raise EncoderError(
            f"Expected a text encoder that gives text states, but {encoder_name(clip)} gives token ids, which the "
            "model encodes itself: there is nothing to align to. Models of this kind cannot be steered."
        )
    widths = {name: outputs[0].shape[-1] for name, outputs in parts.items() if isinstance(outputs[0], Tensor)}
    places = layout.places(tokens, entry, widths)
    if layout.STATES not in {place.key for place in places.values()}:
        raise EncoderError(
            f"The text encoder {encoder_name(clip)} gives no text states to align to. Connect the CLIP that encodes "
            "your prompts."
        )
    texts = [take(entry, place) for place in places.values()]
    size = sum(part.numel() * 4 for part in texts) // max(1, length(tokens))
    beside = [*second_ways(entry), *clip_tokens.beside(options)]
    alone = ClipText(clip, places, False, max(1, size), options, beside=beside)
    return _tried_together(alone)


def _tried_together(text: ClipText) -> ClipText:
    """Encode two prompts apart and together, and return how that can be done; itself when it cannot."""
    for pair in ALIKE:
        tokens = [text.clip.tokenize(prompt, **text.options) for prompt in pair]
        if shape(tokens[0]) == shape(tokens[1]) and len({len(part) for part in shape(tokens[0])}) == 1:
            break
    else:
        return text
    apart = [_encode(text, [one])[0] for one in tokens]
    try:
        entry, _ = _pass(text, tokens)
        rows = {name: len(_own_rows(entry, place)) for name, place in text.places.items() if fits(entry, place)}
        cropped = {name: rows[name] - 2 * len(apart[0][name]) for name in rows}
        bold = replace(text, together=True, cropped=cropped)
        both = _encode(bold, tokens)
    except (EncoderError, IndexError, RuntimeError):
        return text
    alike = all(_same(one, other) for one, other in zip(apart, both, strict=True))
    return bold if alike and not _same(apart[0], both[1]) else text


def encode_prompts(
    text: ClipText, prompts: Sequence[str], progress: Progress | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Yield the text spaces (T_i, D) of consecutive prompts, by name; a pooled state counts as one token.

    Clip skip, LoRA and prompt weights act as in CLIP Text Encode. Padding that the encoder sets to 0 is left out, and
    padding that it masks is 0. `progress` is told how many prompts are done, of how many.
    """
    done = 0
    for tokens in _windows(text, (text.clip.tokenize(prompt, **text.options) for prompt in prompts)):
        encoded: list[Texts] = [{}] * len(tokens)
        for rows in _passes(text, tokens):
            comfy.model_management.throw_exception_if_processing_interrupted()
            for row, texts in zip(rows, _encode(text, [tokens[row] for row in rows]), strict=True):
                encoded[row] = texts
            done += len(rows)
            if progress is not None:
                progress(done, len(prompts))
        yield {space: [texts[space] for texts in encoded] for space in text.places}


def _windows(text: ClipText, prompts: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    """Cut tokenized prompts into windows whose text states fit in memory together."""
    window: list[Tokens] = []
    size = 0
    for tokens in prompts:
        window.append(tokens)
        size += length(tokens) * text.bytes_per_token
        if size >= BYTES_PER_WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window


def _passes(text: ClipText, tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Group prompts that can share one pass: as many and as long sections for every part of the encoder."""
    groups: dict[Any, list[int]] = {}
    for row, sections in enumerate(tokens):
        lengths = shape(sections)
        alone = not text.together or len({len(part) for part in lengths}) > 1
        groups.setdefault((lengths, row if alone else None), []).append(row)
    for rows in groups.values():
        size = max(1, tokens_per_pass(text.clip, text.bytes_per_token) // length(tokens[rows[0]]))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def tokens_per_pass(clip: CLIP, bytes_per_token: int) -> int:
    """Return how many tokens a pass may have on the device of a CLIP whose text states weigh `bytes_per_token`."""
    most = BYTES_PER_CPU_PASS if clip.patcher.load_device.type == "cpu" else BYTES_PER_WINDOW
    return min(TOKENS_PER_PASS, most // bytes_per_token)


def _encode(text: ClipText, group: Sequence[Tokens]) -> list[Texts]:
    """Encode prompts of one shape in one pass, and cut the result apart."""
    entry, parts = _pass(text, group)
    cut: dict[str, list[Tensor]] = {}
    for name, place in text.places.items():
        if not fits(entry, place):
            raise EncoderError(
                f"The text encoder {encoder_name(text.clip)} gives {name} for some prompts only, so nothing can be aligned "
                "to it. Use another text encoder."
            )
        if place.key == layout.POOLED:
            pooled = _pooled_rows(place.cut(entry[place.key]), parts, len(group))
            if pooled is None:
                return [_encode(text, [tokens])[0] for tokens in group]
            cut[name] = pooled
        else:
            cut[name] = _pieces(_own_rows(entry, place), len(group), text.cropped.get(name, 0))
    return [{name: pieces[row] for name, pieces in cut.items()} for row in range(len(group))]


def _pass(text: ClipText, group: Sequence[Tokens]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encode prompts as if they were sections of one: its entry, and what every part of the encoder gave."""
    with outputs_of_parts(text.clip) as parts, fast_products(text.clip.patcher.load_device):
        return entry_of(text.clip, clip_tokens.merged(group)), parts


def _without_zero_padding(clip: CLIP) -> dict[str, Any]:
    """Return tokenizer options that leave out padding, for encoders that mask it and then set it to 0."""
    names = [name for name, part in clip.cond_stage_model.named_children() if getattr(part, "zero_out_masked", False)]
    return {"tokenizer_options": {f"{name}_min_length": 0 for name in names}} if names else {}


def entry_of(clip: CLIP, tokens: Tokens) -> dict[str, Any]:
    """Encode tokens to one conditioning entry; raises EncoderError for a CLIP that changes during sampling."""
    entries = clip.encode_from_tokens_scheduled(tokens)
    if len(entries) != 1:
        raise EncoderError(
            "This CLIP changes during sampling (Set CLIP Hooks with schedule_clip). Connect Align Direction to the CLIP "
            "before that node."
        )
    states, extras = entries[0]
    return {**extras, layout.STATES: states}


def _own_rows(entry: Mapping[str, Any], place: Place) -> Tensor:
    """Return a space's rows of one entry (T, D), without those of another encoder."""
    states, own = take(entry, place), place.own_rows(entry[place.key])
    if states.ndim == 2:
        return states
    return states[0] if own is None else states[0][own[0]]


def _pieces(rows: Tensor, count: int, cropped: int) -> list[Tensor]:
    """Cut rows (T, D) of `count` prompts apart; a template cropped from the first prompt only is cropped from all."""
    if count == 1:
        return [rows]
    if cropped < 0 or (len(rows) + cropped) % count:
        raise EncoderError("The encoder does not lay prompts end to end.")
    size = (len(rows) + cropped) // count
    return [rows[row * size : (row + 1) * size - cropped] for row in range(count)]


def _same(one: Texts, other: Texts) -> bool:
    """Say whether two encodings are the same but for rounding."""
    if any(one[name].shape != other[name].shape for name in one):
        return False
    first, second = (torch.cat([texts[name].flatten().double().cpu() for name in one]) for texts in (one, other))
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0)) >= SAME_COSINE


def _pooled_rows(first: Tensor, parts: Mapping[str, Any], count: int) -> list[Tensor] | None:
    """Return each prompt's pooled state (1, D), from the part whose first section gave `first`; None when none did."""
    if count == 1:
        return [first]
    for outputs in parts.values():
        pooled = outputs[1]
        if not isinstance(pooled, Tensor) or pooled.shape[-1] != first.shape[-1]:
            continue
        # With prompt weights the encoder appends one empty section, which the division leaves out.
        sections = len(pooled) // count
        if sections and torch.equal(pooled[:1].to(first), first):
            return [pooled[row * sections][None].to(first) for row in range(count)]
    return None
