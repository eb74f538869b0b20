"""Show a ComfyUI CLIP made-up pictures, to learn what rows pictures leave in the text it gives.

Whether a CLIP takes pictures is found out by offering it one. Where they come to lie is found out as well: a prompt is encoded
without its picture, with one and with another one of the same size. What is longer by is the picture's, and it begins where the
two differ first, since an encoder of this kind reads from left to right.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import comfy.model_management
import torch
from torch import Tensor

from ...safety_steer.alignment.image_readings import PictureSample
from ...safety_steer.directions.text_spaces import fits, take
from . import layout
from .encode_prompts import ClipText, entry_of
from .tokens import Tokens, sections, without_sampling

if TYPE_CHECKING:
    from comfy.sd import CLIP

# By hand: prompts that get a picture, and sizes of pictures, small ones of many shapes in patches of 14 or 28 pixels.
PROMPTS = 16
# In pixels; see above.
SIZES = ((112, 112), (140, 196), (224, 224), (168, 280), (280, 140), (196, 196), (252, 224), (112, 252))
SAME = 1e-3  # of a token's length, by hand: rounding changes less


def takes_pictures(clip: CLIP) -> bool:
    """Say whether a CLIP takes pictures into the prompt, as they are or as what CLIP vision made of them."""
    return _accepts_images(clip) or _accepts_image_embeddings(clip)


def samples(text: ClipText, prompts: Sequence[str]) -> dict[str, list[PictureSample]]:
    """Encode prompts with pictures: by text space that pictures reach, the rows of each prompt with those of pictures marked.

    A space has no samples where image rows cannot be assigned; so has one whose pictures come from CLIP vision, as a CLIP
    alone does not say what those look like.
    """
    if not _accepts_images(text.clip):
        reached = [name for name, place in text.places.items() if place.key == layout.STATES]
        return {name: [] for name in reached if _accepts_image_embeddings(text.clip)}
    found: dict[str, list[PictureSample]] = {}
    for number, prompt in enumerate(prompts[:PROMPTS]):
        comfy.model_management.throw_exception_if_processing_interrupted()
        one, other = (_with_picture(text.clip, prompt, picture(2 * number + twin)) for twin in (0, 1))
        encoded = [_rows(text, tokens) for tokens in (_without(one), one, other, _with_both(one, other))]
        for name in text.places:
            states = [rows[name] for rows in encoded if name in rows]
            if len(states) == len(encoded) and len(states[1]) != len(states[0]):
                found.setdefault(name, []).extend(_marked(*states))
    return found


def picture(number: int) -> Tensor:
    """Make a picture (1, H, W, 3) in 0..1: noise as coarse as photographs are or finer, over a slope of two colours."""
    generator = torch.Generator().manual_seed(number)
    height, width = SIZES[number // 2 % len(SIZES)]
    coarse, loud = torch.rand(2, generator=generator).tolist()
    frequencies = torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width).square()
    spectrum = torch.fft.rfft2(torch.randn(3, height, width, generator=generator))
    noise = torch.fft.irfft2(spectrum * (frequencies + 1 / width**2) ** -coarse, s=(height, width))
    ends = torch.rand(2, 3, generator=generator)
    slope = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, width)[:, None])
    made: Tensor = (slope + 0.3 * loud * (noise / noise.std()).permute(1, 2, 0)).clamp(0, 1)[None]
    return made


def _accepts_images(clip: CLIP) -> bool:
    """Say whether a CLIP puts a picture it is given among its tokens."""
    try:
        return _place(_with_picture(clip, "a", picture(0))) is not None
    except TypeError:
        return False


def _accepts_image_embeddings(clip: CLIP) -> bool:
    """Say whether a CLIP takes embeddings of pictures."""
    return "image_embeds" in inspect.signature(clip.tokenizer.tokenize_with_weights).parameters


def _with_picture(clip: CLIP, prompt: str, seen: Tensor) -> Tokens:
    tokens: Tokens = clip.tokenize(prompt, images=[seen], **without_sampling(clip))
    return tokens


def _place(tokens: Tokens) -> tuple[str, int] | None:
    """Return under which key and where in the first section a picture stands."""
    for key, found in sections(tokens).items():
        for at, token in enumerate(found[0]):
            if isinstance(token[0], Mapping):
                return key, at
    return None


def _without(tokens: Tokens) -> Tokens:
    """Take the picture out of a prompt."""
    key, at = _place(tokens) or ("", 0)
    [section] = tokens[key]
    return {**tokens, key: [[*section[:at], *section[at + 1 :]]]}


def _with_both(one: Tokens, other: Tokens) -> Tokens:
    """Put the other picture behind the first, with the tokens on either side of it."""
    key, at = _place(one) or ("", 0)
    [section], [second] = one[key], other[key]
    return {**one, key: [[*section[: at + 2], *second[at - 1 : at + 2], *section[at + 2 :]]]}


def _rows(text: ClipText, tokens: Tokens) -> dict[str, Tensor]:
    """Encode tokens: the rows (T, D) of each text space that has rows, on the CPU."""
    entry = entry_of(text.clip, tokens)
    taken = {name: take(entry, place) for name, place in text.places.items() if fits(entry, place)}
    return {name: states[0].float().cpu() for name, states in taken.items() if states.ndim == 3}


def _marked(none: Tensor, one: Tensor, other: Tensor, both: Tensor) -> list[PictureSample]:
    """Mark the rows of pictures in one prompt, encoded without any, with either of two of one size, and with both."""
    size, between = len(one) - len(none), len(both) + len(none) - 2 * len(one)
    if len(one) != len(other) or size < 0 or between < 0:
        return []
    differ = (one - other).norm(dim=-1) > SAME * one.norm(dim=-1)
    start = int(differ.float().argmax())
    if not bool(differ.any()) or start + size > len(one):
        return []
    starts = [start], [start], [start, start + size + between]
    return [PictureSample(rows, _mask(rows, firsts, size)) for rows, firsts in zip((one, other, both), starts, strict=True)]


def _mask(rows: Tensor, starts: Sequence[int], size: int) -> Tensor:
    """Return which rows (T,) lie in blocks of a size."""
    places = torch.arange(len(rows))
    return torch.stack([(places >= start) & (places < start + size) for start in starts]).any(0)
