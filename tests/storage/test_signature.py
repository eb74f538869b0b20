"""Signed files: what holds, what is broken and why, and that a signed file is still the file it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from support import builders
from support.toy_file import DOCUMENT, TENSORS

from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import DataError, FileFormatError
from safety_steer.storage import container, keys, signature
from safety_steer.storage.signature import FIELD, State, judge

Block = dict[str, Any]


@pytest.fixture
def mine(tmp_path: Path) -> tuple[keys.Key, dict[str, str]]:
    """A secret key, and the folder of trusted ones that has its public half."""
    secret, public, made = keys.new_key(tmp_path / "mine", "Ada Example")
    assert keys.read_public(public) == made
    return keys.read_secret(secret), {made.hex: made.name}


@pytest.fixture
def signed(toy: Path, mine: tuple[keys.Key, dict[str, str]]) -> Path:
    contents = container.read_contents(toy)
    text = signature.sign(contents, mine[0], pairs="1" * 64)
    container.write(toy, contents.document, contents.tensors, {FIELD: text})
    return toy


@pytest.fixture
def signed_once(signed: Path, mine: tuple[keys.Key, dict[str, str]]) -> tuple[dict[str, str], Path, bytes]:
    """Trusted keys, a signed file to write over, and its bytes."""
    return mine[1], signed, signed.read_bytes()


def changed_block(path: Path, change: Callable[[Block], object]) -> Path:
    """Change a file's signature in place and leave everything else."""
    contents = container.read_contents(path)
    block = json.loads(contents.beside[FIELD])
    change(block)
    container.write(path, contents.document, contents.tensors, {**contents.beside, FIELD: json.dumps(block)})
    return path


def forged(path: Path, document: Block, tensors: dict[str, torch.Tensor]) -> Path:
    """Put other content below a file's signature, with a content hash that fits it, as a careful forger would."""
    beside = container.read_contents(path).beside
    container.write(path, document, tensors, beside)
    return path


def test_a_signature_by_a_trusted_key_holds(signed: Path, mine: tuple[keys.Key, dict[str, str]]) -> None:
    verdict = judge(container.read_contents(signed), mine[1])
    assert verdict.state is State.TRUSTED
    assert (verdict.by, verdict.pairs) == ("Ada Example", "1" * 64)
    assert [verdict.key] == list(mine[1])
    assert verdict.text == f"signed by Ada Example (key {verdict.key[:16]}, which you trust)"


def test_the_name_of_a_trusted_key_is_the_one_in_its_file(signed: Path, mine: tuple[keys.Key, dict[str, str]]) -> None:
    [key] = mine[1]
    assert "signed by Ada of the lab" in judge(container.read_contents(signed), {key: "Ada of the lab"}).text


def test_a_signature_by_a_key_nobody_trusts_says_so(signed: Path) -> None:
    verdict = judge(container.read_contents(signed), {"0" * 64: "somebody else"})
    assert verdict.state is State.UNKNOWN
    assert "signed by 'Ada Example', a key you have not marked as trusted" in verdict.text


def test_a_file_without_a_signature_is_not_signed(toy: Path) -> None:
    assert judge(container.read_contents(toy), {}).text == "not signed"


def test_a_signed_file_holds_what_it_held_and_has_the_same_content_hash(toy: Path, mine: tuple[keys.Key, Block]) -> None:
    before = container.read_contents(toy)
    container.write(toy, before.document, before.tensors, {FIELD: signature.sign(before, mine[0])})
    document, tensors = container.read(toy)
    assert document == before.document
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_a_signed_direction_loads_as_the_unsigned_one(tmp_path: Path, mine: tuple[keys.Key, dict[str, str]]) -> None:
    path, direction = tmp_path / "direction.safetensors", builders.small_direction()
    direction.save(path)
    assert SafetyDirection.load_signed(path, mine[1])[1].state is State.UNSIGNED
    contents = container.read_contents(path)
    container.write(path, contents.document, contents.tensors, {FIELD: signature.sign(contents, mine[0])})
    assert SafetyDirection.load(path).content_hash == direction.content_hash
    found, verdict = SafetyDirection.load_signed(path, mine[1])
    assert found.content_hash == direction.content_hash
    assert verdict.state is State.TRUSTED


@pytest.mark.parametrize(
    ("document", "tensors"),
    [
        ({**DOCUMENT, "note": "sword"}, TENSORS),
        ({**DOCUMENT, "more": 1}, TENSORS),
        (DOCUMENT, {**TENSORS, "a": TENSORS["a"] + 1}),
        (DOCUMENT, {**TENSORS, "a": TENSORS["a"].reshape(3, 2)}),
        (DOCUMENT, {**TENSORS, "a": TENSORS["a"].double()}),
        (DOCUMENT, {"c": TENSORS["a"], "b": TENSORS["b"]}),
        (DOCUMENT, {"a": TENSORS["a"]}),
    ],
    ids=["a word", "a word more", "a number", "a shape", "a dtype", "a name", "a tensor less"],
)
@pytest.mark.parametrize("installed", [True, False])
def test_changed_content_is_noticed_even_without_cryptography(
    document: Block,
    tensors: dict[str, torch.Tensor],
    installed: bool,
    signed: Path,
    mine: tuple[keys.Key, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    verdict = judge(container.read_contents(forged(signed, document, tensors)), mine[1])
    assert verdict.state is State.BROKEN
    assert verdict.text.startswith("BROKEN SIGNATURE: the file was changed after it was signed")


def test_the_signature_of_another_file_is_broken(signed: Path, tmp_path: Path, mine: tuple[keys.Key, Block]) -> None:
    other = tmp_path / "other.safetensors"
    container.write(other, {"kind": "toy", "note": "kite"}, TENSORS, container.read_contents(signed).beside)
    assert judge(container.read_contents(other), mine[1]).reason == signature.CHANGED


def claim(name: str, value: object) -> Callable[[Block], object]:
    return lambda block: block["statement"].update({name: value})


def put(name: str, value: object) -> Callable[[Block], object]:
    return lambda block: block.update({name: value})


def cut(name: str, length: int) -> Callable[[Block], object]:
    return lambda block: block.update({name: block[name][:length]})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (claim("by", "Somebody Famous"), "not made with the key it names"),
        (claim("pairs", "2" * 64), "not made with the key it names"),
        (claim("more", 1), "not made with the key it names"),
        (claim("content", "0" * 64), "changed after it was signed"),
        (claim("by", 7), "by is no short text"),
        (claim("by", "x" * 500), "by is no short text"),
        (claim("by", "two\nlines"), "by is no short text"),
        (put("key", "ab" * 32), "not made with the key it names"),
        (put("key", "00" * 32), "not made with the key it names"),
        (put("signature", "00" * 64), "not made with the key it names"),
        (cut("signature", 127), "signature is not 128 hexadecimal digits"),
        (cut("signature", 0), "signature is not 128 hexadecimal digits"),
        (cut("key", 62), "key is not 64 hexadecimal digits"),
        (put("key", ["ab"]), "key is not 64 hexadecimal digits"),
        (put("algorithm", "rsa"), "algorithm 'rsa', expected ed25519"),
        (put("algorithm", "none"), "algorithm 'none', expected ed25519"),
        (put("algorithm", None), "algorithm None, expected ed25519"),
        (put("statement", None), "no statement"),
        (put("statement", "text"), "no statement"),
    ],
)
def test_a_changed_signature_is_broken_and_says_why_in_one_line(
    change: Callable[[Block], object], reason: str, signed: Path, mine: tuple[keys.Key, dict[str, str]]
) -> None:
    verdict = judge(container.read_contents(changed_block(signed, change)), mine[1])
    assert verdict.state is State.BROKEN
    assert reason in verdict.text
    assert verdict.text.isprintable()
    assert verdict.pairs == ""


def test_a_statement_signed_by_another_key_does_not_pass_for_the_first(
    signed: Path, tmp_path: Path, mine: tuple[keys.Key, dict[str, str]]
) -> None:
    theirs = keys.read_secret(keys.new_key(tmp_path / "theirs", "Ada Example")[0])
    contents = container.read_contents(signed)
    container.write(signed, contents.document, contents.tensors, {FIELD: signature.sign(contents, theirs)})
    assert judge(container.read_contents(signed), mine[1]).state is State.UNKNOWN
    changed_block(signed, put("key", next(iter(mine[1]))))
    assert judge(container.read_contents(signed), mine[1]).state is State.BROKEN


def test_header_texts_that_were_not_signed_break_a_signature(signed: Path, mine: tuple[keys.Key, dict[str, str]]) -> None:
    contents = container.read_contents(signed)
    container.write(signed, contents.document, contents.tensors, {**contents.beside, "license": "none"})
    assert "the header holds 'license', which was not signed" in judge(container.read_contents(signed), mine[1]).text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        "7",
        "x" * 9000,
        "[" * 8000,
        '{"a":' * 1000,
        '{"statement": {"by": NaN}}',
        "9" * 6000,
        "\x00",
    ],
    ids=["empty", "null", "list", "table", "open", "number", "long", "deep", "deep-table", "nan", "digits", "nul"],
)
def test_what_is_no_signature_is_a_broken_one(text: str, toy: Path) -> None:
    data = save(TENSORS, {FIELD: text, container.METADATA_KEY: json.dumps(container.read(toy)[0])})
    toy.write_bytes(data)
    verdict = judge(container.read_contents(toy), {})
    assert verdict.state is State.BROKEN
    assert verdict.text.isprintable()
    assert len(verdict.text) < 300


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_of_a_signed_file_passes_for_the_signed_one(
    place: int, flip: int, signed_once: tuple[dict[str, str], Path, bytes]
) -> None:
    trusted, path, whole = signed_once
    path.write_bytes(whole)
    contents = container.read_contents(path)
    signed_text = contents.beside[FIELD]
    data = bytearray(whole)
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    try:
        found = container.read_contents(path)
    except FileFormatError:
        return
    verdict = judge(found, trusted)
    if verdict.state is State.TRUSTED:
        # Only white space and the escapes of JSON may differ: what is read is what was signed.
        assert found.document == contents.document
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in contents.tensors.items())
        assert json.loads(found.beside[FIELD]) == json.loads(signed_text)
    else:
        assert verdict.state in (State.BROKEN, State.UNSIGNED)


def test_without_cryptography_a_signature_is_not_checked_and_nothing_can_be_signed(
    signed: Path, tmp_path: Path, mine: tuple[keys.Key, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cryptography.exceptions", "cryptography.hazmat.primitives.asymmetric.ed25519"):
        monkeypatch.setitem(sys.modules, name, None)
    verdict = judge(container.read_contents(signed), mine[1])
    assert verdict.state is State.UNCHECKED
    assert verdict.text.endswith("not checked: cryptography is not installed")
    assert verdict.pairs == ""
    with pytest.raises(DataError, match="pip install cryptography"):
        signature.sign(container.read_contents(signed), mine[0])
    with pytest.raises(DataError, match="pip install cryptography"):
        keys.new_key(tmp_path / "other", "Ada")
    assert not list(tmp_path.glob("other*"))
