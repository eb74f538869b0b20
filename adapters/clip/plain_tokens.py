"""Tokenize prompts as plain text, without padding: what a language model reads of a prompt and nothing else.

Most tokenizers of ComfyUI take parentheses for weights, unless they are escaped; some (LongCat-Image, Lens) know no weights and
would read the escapes. Most pad as they are asked to; some (LongCat-Image, PixelDiT) pad all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .tokens import Sections, Tokens, sections

if TYPE_CHECKING:
    from comfy.sd import CLIP

PROBES = ("a photo of a cat", "some words about the sea and a house near me")
PARENTHESIS = "("


@dataclass(frozen=True, eq=False)
class PlainTokenizer:
    """A CLIP's tokenizer with its options: `escaped` where it takes escapes, `padding` is what to leave out, by key."""

    clip: CLIP
    options: Mapping[str, Any]
    escaped: bool
    padding: Mapping[str, int]

    def __call__(self, prompt: str) -> Tokens:
        """Return the tokens of a prompt."""
        text = _escape(prompt) if self.escaped else prompt
        tokens: Tokens = self.clip.tokenize(text, **self.options)
        unpadded = {key: _without(found, self.padding[key]) for key, found in sections(tokens).items() if key in self.padding}
        return {**tokens, **unpadded}


def plain(clip: CLIP, options: Mapping[str, Any]) -> PlainTokenizer:
    """Find out what a CLIP's tokenizer makes of parentheses, and what it pads with in spite of its options."""
    one, other = (sections(clip.tokenize(text, **options)) for text in (PARENTHESIS, _escape(PARENTHESIS)))
    short, long = (sections(clip.tokenize(text, **options)) for text in PROBES)
    fixed = [key for key in short if len(short[key][0]) == len(long[key][0])]
    padding = {key: token for key in fixed if (token := _padding(clip, key)) is not None}
    escaped = all(numbers(one[key]) == numbers(other[key]) for key in one)
    return PlainTokenizer(clip, options, escaped, padding)


def numbers(found: Sections) -> list[Any]:
    """Return the token numbers of the first section."""
    return [item[0] for item in found[0]]


def _escape(prompt: str) -> str:
    return prompt.replace("(", "\\(").replace(")", "\\)")


def _padding(clip: CLIP, key: str) -> int | None:
    """Return what the tokenizer of a part pads with; None for one whose model wants every prompt as long, as CLIP's does."""
    tokenizer = getattr(clip.tokenizer, key, None)
    token = getattr(tokenizer, "pad_token", None)
    needed = getattr(tokenizer, "pad_to_max_length", True) or token == getattr(tokenizer, "end_token", None)
    return None if needed or not isinstance(token, int) else token


def _without(found: Sections, padding: int) -> Sections:
    return [[item for item in section if not (isinstance(item[0], int) and item[0] == padding)] for section in found]
