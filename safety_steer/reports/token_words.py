"""From the pieces a tokenizer cuts a prompt into, back to words a person can read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

SPECIAL = re.compile(r"<\|[^|]*\|>|</?[A-Za-z_]+\d*>|\[[A-Z]{2,5}\d*\]")
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
PADDING = "<pad>"
NAMES = {"pad": "padding", "start": "start", "cls": "start", "bos": "start", "end": "end", "sep": "end", "eos": "end"}
SHORT_NAMES = {"<s>": "start", "</s>": "end"}


@dataclass(frozen=True)
class Word:
    """A word and its tokens, from `first` up to `stop`; a `special` one frames or fills the text and is no word of it."""

    text: str
    first: int
    stop: int
    special: bool = False


def join_pieces(pieces: Sequence[str]) -> tuple[Word, ...]:
    """Join the pieces of one prompt to words: byte-level BPE (CLIP, GPT, Llama 3, Qwen), SentencePiece and WordPiece.

    Pieces of special tokens, such as "<pad>", become special words, runs of the same one a single word.
    """
    begins, cleaned = _style(pieces)
    words: list[Word] = []
    start = 0
    for special, run in groupby(pieces, key=_special_name):
        size = len(list(run))
        stop = start + size
        if special:
            words.append(Word(special if size == 1 else f"{special} x{size}", start, stop, special=True))
        else:
            words += [Word(cleaned(pieces[a:b]), a, b) for a, b in _cut(pieces, start, stop, begins)]
        start = stop
    return tuple(words)


def numbered(count: int) -> tuple[Word, ...]:
    """Return a numbered word for every token, for want of the words themselves."""
    return tuple(Word(str(number), number, number + 1) for number in range(count))


def _cut(pieces: Sequence[str], start: int, stop: int, begins: Callable[[str, str], bool]) -> Iterator[tuple[int, int]]:
    """Yield the ends of words among ordinary pieces."""
    first = start
    for place in range(start + 1, stop + 1):
        if place == stop or begins(pieces[place - 1], pieces[place]):
            yield first, place
            first = place


def _style(pieces: Sequence[str]) -> tuple[Callable[[str, str], bool], Callable[[Sequence[str]], str]]:
    """Return how to tell that a piece begins a word, given the one before it, and how to make pieces readable."""
    ordinary = [piece for piece in pieces if not _special_name(piece)]
    if any(piece.endswith("</w>") for piece in ordinary):
        return lambda before, _: before.endswith("</w>"), lambda part: _from_bytes("".join(part).replace("</w>", ""))
    if any(piece.startswith("▁") for piece in ordinary):
        return lambda _, piece: piece.startswith("▁"), _from_sentence_pieces
    if any(piece.startswith("##") for piece in ordinary) or "[CLS]" in pieces:
        return lambda _, piece: not piece.startswith("##"), lambda part: "".join(piece.removeprefix("##") for piece in part)
    if any("Ġ" in piece or "Ċ" in piece for piece in ordinary):
        return lambda _, piece: piece[:1] in "ĠĊ", lambda part: _from_bytes("".join(part)).strip()
    return lambda _, piece: piece[:1].isspace(), lambda part: "".join(part).strip()


def _special_name(piece: str) -> str:
    """Return what to call a special token; "" for an ordinary piece."""
    if BYTE.fullmatch(piece) or not SPECIAL.fullmatch(piece) or "unk" in piece.lower():
        return ""
    known = SHORT_NAMES.get(piece) or next((name for key, name in NAMES.items() if key in piece.lower()), None)
    return known or piece.strip("<|>[]/")


def _from_sentence_pieces(part: Sequence[str]) -> str:
    """Join SentencePiece pieces; bytes such as "<0xE7>" are read as UTF-8."""
    raw = b"".join(
        bytes([int(found[1], 16)]) if (found := BYTE.fullmatch(piece)) else piece.replace("▁", " ").encode() for piece in part
    )
    return raw.decode(errors="replace").strip()


def _from_bytes(text: str) -> str:
    """Read text in the alphabet of byte-level BPE, where every byte is one printable letter, as UTF-8."""
    raw = b"".join(bytes([_LETTERS[letter]]) if letter in _LETTERS else letter.encode() for letter in text)
    return raw.decode(errors="replace")


def _byte_letters() -> dict[str, int]:
    """Return the alphabet: printable Latin-1 bytes stand for themselves, the others follow from letter 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + place): byte for place, byte in enumerate(others)}}


_LETTERS = _byte_letters()
