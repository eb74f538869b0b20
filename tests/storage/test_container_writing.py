"""Writing safe files: the whole file or none, and the one that was there is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.toy_file import DOCUMENT, TENSORS

from safety_steer.errors import FileFormatError
from safety_steer.storage import container


def test_writing_to_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        container.write(tmp_path / "absent" / "toy.safetensors", DOCUMENT, TENSORS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["replace", "fsync", "chmod"])
def test_a_failing_write_leaves_neither_target_nor_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="no space left"):
        container.write(tmp_path / "toy.safetensors", DOCUMENT, TENSORS)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_the_file_that_was_there(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = toy.read_bytes()
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        container.write(toy, {"kind": "other"}, TENSORS)
    assert toy.read_bytes() == before
    assert list(toy.parent.iterdir()) == [toy]


def test_a_document_that_cannot_be_stored_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        container.write(tmp_path / "toy.safetensors", {"note": float("nan")}, TENSORS)
    assert list(tmp_path.iterdir()) == []
