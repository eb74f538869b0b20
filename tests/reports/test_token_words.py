"""Pieces of tokenizers joined to words, in the styles of the encoders that generators read."""

from __future__ import annotations

import pytest

from safety_steer.reports.token_words import Word, join_pieces, numbered


def byte_level(text: str) -> str:
    """Write a text in the alphabet of byte-level BPE, made as its authors describe it."""
    kept = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = {byte: chr(256 + place) for place, byte in enumerate(byte for byte in range(256) if byte not in kept)}
    return "".join(others.get(byte, chr(byte)) for byte in text.encode())


TIGER, LATTICE = byte_level("虎"), byte_level("é")
STYLES = {
    "CLIP": ["<|startoftext|>", "a</w>", "light", "house</w>", ",</w>", f"caf{LATTICE}</w>", "<|endoftext|>", "<pad>", "<pad>"],
    "T5": ["▁a", "▁light", "house", "▁", ",", "▁café", "</s>", "<pad>", "<pad>"],
    "Llama 2": ["<s>", "▁a", "▁lighthouse", "▁,", "▁caf", "<0xC3>", "<0xA9>", "</s>"],
    "BERT": ["[CLS]", "a", "light", "##house", ",", "café", "[SEP]", "[PAD]", "[PAD]"],
    "Qwen": ["<|im_start|>", "a", "Ġlight", "house", "Ġ,", f"Ġcaf{LATTICE}", "<|im_end|>"],
    "decoded": ["a", " light", "house", " ,", " café"],
}


@pytest.mark.parametrize("pieces", STYLES.values(), ids=STYLES)
def test_words_read_as_they_were_written(pieces: list[str]) -> None:
    found = join_pieces(pieces)
    assert [word.text for word in found if not word.special] == ["a", "lighthouse", ",", "café"]


@pytest.mark.parametrize("pieces", STYLES.values(), ids=STYLES)
def test_words_cover_all_tokens_once_and_in_order(pieces: list[str]) -> None:
    found = join_pieces(pieces)
    assert [found[0].first, *(word.stop for word in found)] == [*(word.first for word in found), len(pieces)]


def test_letters_cut_into_several_tokens_are_read_whole() -> None:
    pieces = [TIGER[:1], TIGER[1:] + "</w>"]
    assert join_pieces(pieces) == (Word("虎", 0, 2),)
    assert join_pieces([TIGER[:1] + "</w>"])[0].text == "\ufffd"


def test_special_tokens_have_plain_names_and_runs_of_them_are_one() -> None:
    found = join_pieces(STYLES["BERT"])
    assert found[0] == Word("start", 0, 1, special=True)
    assert found[-2:] == (Word("end", 6, 7, special=True), Word("padding x2", 7, 9, special=True))
    assert [word.text for word in join_pieces(STYLES["CLIP"])][-2:] == ["end", "padding x2"]
    assert join_pieces(["<s>"])[0].text == "start"


def test_unknown_words_are_words() -> None:
    assert [word.special for word in join_pieces(["[CLS]", "[UNK]", "sea", "[SEP]"])] == [True, False, False, True]


def test_nothing_gives_nothing_and_numbers_name_every_token() -> None:
    assert join_pieces([]) == ()
    assert numbered(2) == (Word("0", 0, 1), Word("1", 1, 2))
