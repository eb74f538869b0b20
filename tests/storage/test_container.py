"""Reading hostile files: whatever comes in, FileFormatError or the very bytes that were signed."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from support import forged
from support.toy_file import DOCUMENT, TENSORS
from torch import Tensor

from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import FileFormatError
from safety_steer.storage import container


def refused(path: Path, *words: str) -> None:
    """Assert that all readers refuse a file with FileFormatError, and that `read`'s message names the words."""
    with pytest.raises(FileFormatError) as raised:
        container.read(path)
    for word in words:
        assert word in str(raised.value)
    for load in (SafetyDirection.load, AlignedDirection.load):
        with pytest.raises(FileFormatError):
            load(path)


def header_with(entry: Any, name: str = "a") -> bytes:
    """A file whose header holds one entry, whatever it is."""
    return forged.joined({name: entry}, b"\0" * 8)


def test_what_was_written_is_read_back_bit_for_bit(toy: Path) -> None:
    document, tensors = container.read(toy)
    assert {key: document[key] for key in DOCUMENT} == DOCUMENT
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_same_content_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    container.write(one, DOCUMENT, TENSORS)
    container.write(other, dict(reversed(DOCUMENT.items())), dict(reversed(TENSORS.items())))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"a": TENSORS["a"].double(), "b": TENSORS["b"]},
        {"a": TENSORS["a"].reshape(3, 2), "b": TENSORS["b"]},
        {"c": TENSORS["a"], "b": TENSORS["b"]},
        {"a": TENSORS["a"] + 1, "b": TENSORS["b"]},
        {"a": TENSORS["a"]},
    ],
)
def test_the_hash_depends_on_name_dtype_shape_and_values(change: dict[str, Tensor]) -> None:
    assert container.content_hash(DOCUMENT, change) != container.content_hash(DOCUMENT, TENSORS)


def test_the_hash_depends_on_the_document_but_not_on_the_stored_hash() -> None:
    plain = container.content_hash(DOCUMENT, TENSORS)
    assert container.content_hash({**DOCUMENT, "content_hash": "x"}, TENSORS) == plain
    assert container.content_hash({**DOCUMENT, "note": "sword"}, TENSORS) != plain


def test_a_file_cut_short_anywhere_is_refused(toy: Path) -> None:
    data = toy.read_bytes()
    body_start = 8 + struct.unpack("<Q", data[:8])[0]
    for size in [*range(0, 24), body_start - 1, body_start, body_start + 1, len(data) // 2, len(data) - 1]:
        toy.write_bytes(data[:size])
        refused(toy, "toy.safetensors")


def test_bytes_after_the_last_tensor_are_refused(toy: Path) -> None:
    toy.write_bytes(toy.read_bytes() + b"more")
    refused(toy)


@pytest.mark.parametrize("data", [b"\x80\x04K*.", b"GGUF\x03\0\0\0" + b"\0" * 64, b"PK\x03\x04" + b"\0" * 64, b"\xff" * 64])
def test_files_of_other_formats_under_our_name_are_refused(toy: Path, data: bytes) -> None:
    toy.write_bytes(data)
    refused(toy, "not a safetensors file")


def test_a_header_longer_than_the_file_is_refused(toy: Path) -> None:
    for length in (2**63, 2**64 - 1, 10**9, 100):
        toy.write_bytes(forged.joined(b"{}", b"", length))
        refused(toy, "header of")


def test_a_header_over_the_cap_is_refused_before_it_is_parsed(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.write_bytes(forged.joined(b"{}" + b" " * container.MAX_HEADER_BYTES, b""))
    monkeypatch.setattr(container, "_header", lambda _: pytest.fail("the header was parsed"))
    refused(toy, "at most 1,048,576")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff\xfe\xfd\xfc",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}',
    ],
    ids=["empty", "open", "not-utf8", "list", "null", "number", "text", "deep-list", "deep-table", "5000-digit-number"],
)
def test_an_unreadable_header_is_refused(toy: Path, header: bytes) -> None:
    toy.write_bytes(forged.joined(header, b"\0" * 4))
    refused(toy, "not a safetensors file")


@pytest.mark.parametrize(
    "shape", [[-1], [True], [1.0], ["2"], [None], "2", None, {}, 2, [1, 1, 1, 1], [2**24 + 1], [2**63], [[1]]]
)
def test_an_impossible_shape_is_refused(toy: Path, shape: Any) -> None:
    toy.write_bytes(header_with({"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}))
    refused(toy, "impossible shape")


@pytest.mark.parametrize("dtype", ["F8_E5M2", "I32", "BOOL", "C64", "f32", "", None, 32, True, ["F32"], {"F32": 1}])
def test_a_dtype_off_the_list_is_refused(toy: Path, dtype: Any) -> None:
    toy.write_bytes(header_with({"dtype": dtype, "shape": [2], "data_offsets": [0, 8]}))
    refused(toy, "dtype")


@pytest.mark.parametrize("entry", [None, 1, "text", [], {}, {"dtype": "F32"}, {"dtype": "F32", "shape": [2]}])
def test_an_entry_that_is_no_tensor_is_refused(toy: Path, entry: Any) -> None:
    toy.write_bytes(header_with(entry))
    refused(toy)


@pytest.mark.parametrize(
    "offsets", [[0, 4], [4, 8], [8, 0], [0, 2**40], [-8, 0], [0.0, 8.0], ["0", "8"], [0], [0, 4, 8], None, {}]
)
def test_offsets_that_do_not_fit_are_refused(toy: Path, offsets: Any) -> None:
    toy.write_bytes(header_with({"dtype": "F32", "shape": [2], "data_offsets": offsets}))
    refused(toy)


def test_overlapping_tensors_holes_and_duplicate_names_are_refused(toy: Path) -> None:
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    toy.write_bytes(forged.joined({"a": one, "b": one}, b"\0" * 4))
    refused(toy)
    toy.write_bytes(forged.joined({"a": one, "b": {**one, "data_offsets": [8, 12]}}, b"\0" * 12))
    refused(toy)
    twice = b'{"a": %s, "a": %s}' % ((json.dumps(one).encode(),) * 2)
    toy.write_bytes(forged.joined(twice, b"\0" * 4))
    refused(toy)


def test_sizes_whose_product_overflows_are_refused(toy: Path) -> None:
    toy.write_bytes(header_with({"dtype": "F64", "shape": [2**24, 2**24, 2**24], "data_offsets": [0, 8]}))
    refused(toy)


def test_too_many_tensors_are_refused(toy: Path) -> None:
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    toy.write_bytes(forged.joined({f"t{number}": entry for number in range(container.MAX_TENSORS + 1)}, b""))
    refused(toy, "tensors")


def test_an_oversized_file_is_refused_before_it_is_read(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FILE_BYTES", toy.stat().st_size - 1)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was read"))
    refused(toy, "at most")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    path = tmp_path / "odd.safetensors"
    container.write(path, DOCUMENT, {"a": torch.tensor([1.0, value]).to(dtype)})
    refused(path, "NaN or Inf", "'a'")


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {container.METADATA_KEY: "[]"}, {container.METADATA_KEY: "x"}])
def test_a_foreign_safetensors_file_is_refused(toy: Path, metadata: dict[str, str]) -> None:
    from safetensors.torch import save

    toy.write_bytes(save(TENSORS, metadata))
    refused(toy, "toy.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        '{"note": NaN}',
        '{"note": Infinity}',
        '{"note": 1e999}',
        '{"note": ' + "9" * 5000 + "}",
        '{"note": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"note": "\\ud800"}',
        '{"note": "' + "x" * 900_000 + '"}',
        "",
        "null",
    ],
    ids=["nan", "infinity", "overflow", "5000-digit-number", "deep", "surrogate", "huge-text", "empty", "null"],
)
def test_a_metadata_bomb_is_refused(toy: Path, text: str) -> None:
    from safetensors.torch import save

    toy.write_bytes(save(TENSORS, {container.METADATA_KEY: text}))
    refused(toy, "toy.safetensors")


@pytest.mark.parametrize("depth", [100, 300, 500, *range(800, 1000, 10)])
def test_metadata_nested_to_the_edge_of_what_json_reads_is_refused_or_read(toy: Path, depth: int) -> None:
    from safetensors.torch import save

    for key in ("report", "kind", "categories", "layers", "schema"):
        text = f'{{"{key}": {"[" * depth}{"]" * depth}, "content_hash": "x"}}'
        toy.write_bytes(save(TENSORS, {container.METADATA_KEY: text}))
        refused(toy)


def test_a_flipped_bit_in_any_tensor_byte_is_noticed(toy: Path) -> None:
    data = bytearray(toy.read_bytes())
    for place in range(8 + struct.unpack("<Q", data[:8])[0], len(data)):
        data[place] ^= 1
        toy.write_bytes(data)
        refused(toy, "damaged")
        data[place] ^= 1


def test_a_changed_word_in_the_metadata_is_noticed(toy: Path) -> None:
    toy.write_bytes(toy.read_bytes().replace(b"umbrella", b"umbrellb"))
    refused(toy, "damaged", "content hash")


@pytest.mark.parametrize("name", ["toy.pt", "toy.gguf", "toy.bin", "toy.pickle", "toy", "toy.safetensors.pt"])
def test_other_extensions_are_refused_unread_and_unwritten(toy: Path, name: str) -> None:
    other = toy.with_name(name)
    other.write_bytes(toy.read_bytes())
    refused(other, ".safetensors")
    other.unlink()
    with pytest.raises(FileFormatError, match=r"\.safetensors"):
        container.write(other, DOCUMENT, TENSORS)
    assert not other.exists()


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    gone = tmp_path / "gone.safetensors"
    gone.symlink_to(tmp_path / "nothing.safetensors")
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for path in (folder, loop, gone, pipe, tmp_path / ".." / "absent.safetensors", tmp_path / "a\0b.safetensors"):
        refused(path)
    for path in (Path(".."), tmp_path, Path("")):
        refused(path, ".safetensors")
