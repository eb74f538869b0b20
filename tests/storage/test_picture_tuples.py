"""Folders of captioned pictures: what is read, and one clear error for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from safety_steer.errors import DataError
from safety_steer.storage.picture_tuples import LIST, read_picture, read_tuples

ROW = {"safe": "a kite", "unsafe": "a sword", "safe_picture": "a.png", "unsafe_picture": "b.png", "category": "blades"}


def folder(path: Path, rows: list[Any]) -> Path:
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (3, 2), (255 * number, 0, 51)).save(path / name)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (path / LIST).write_text("\n".join(lines), encoding="utf-8")
    return path


def test_tuples_are_read(tmp_path: Path) -> None:
    found, second = read_tuples(folder(tmp_path, [ROW, "", {**ROW, "category": 3}]))
    assert (found.safe, found.unsafe, found.category) == ("a kite", "a sword", "blades")
    assert second.category == ""
    assert torch.equal(read_picture(found.unsafe_picture), torch.tensor([1.0, 0.0, 0.2]).expand(2, 3, 3))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**ROW, "safe": " "}, "line 1 has no 'safe'"),
        ({key: value for key, value in ROW.items() if key != "unsafe"}, "line 1 has no 'unsafe'"),
        ({key: value for key, value in ROW.items() if key != "unsafe_picture"}, "line 1 has no 'unsafe_picture'"),
        ({**ROW, "unsafe": "a kite"}, "the same caption or picture on both sides"),
        ({**ROW, "unsafe_picture": "a.png"}, "the same caption or picture on both sides"),
        ({**ROW, "safe_picture": "c.png"}, "no picture 'c.png'"),
        ({**ROW, "safe_picture": "../secret.png"}, "no picture '../secret.png'"),
        ("{", "line 1 is not JSON"),
        ("[]", "line 1 has no 'safe'"),
    ],
)
def test_what_is_missing_is_named(row: Any, says: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    with pytest.raises(DataError, match=says):
        read_tuples(folder(inside, [row]))


def test_a_folder_without_tuples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has no {LIST}"):
        read_tuples(tmp_path)
    with pytest.raises(DataError, match="holds 0 tuples"):
        read_tuples(folder(tmp_path, []))


def test_what_is_no_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no readable picture"):
        read_picture(tmp_path / "a.png")
    folder(tmp_path, [ROW])
    monkeypatch.setattr("safety_steer.storage.picture_tuples.MAX_PIXELS", 5)
    with pytest.raises(DataError, match="3 x 2 pixels"):
        read_picture(tmp_path / "a.png")
