"""Folders of captioned pictures: what is read, and one clear error for each thing that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safety_steer.errors import DataError
from safety_steer.storage.captioned_pictures import captioned_pictures, read_picture

TOLD = "pictures of Some Node"


def fill(folder: Path, count: int = 4) -> Path:
    for number in range(count):
        Image.new("RGB", (6, 4), (number, 20, 30)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a  red\nkite {number}\n", encoding="utf-8")
    return folder


def test_pictures_come_with_their_captions_in_order(tmp_path: Path) -> None:
    (fill(tmp_path) / "notes.md").write_text("no picture")
    found = captioned_pictures(tmp_path, 10, TOLD)
    assert [(one.path.name, one.caption) for one in found] == [(f"{n}.png", f"a red kite {n}") for n in range(4)]
    picture = read_picture(found[3].path)
    assert picture.shape == (4, 6, 3)
    assert picture[0, 0].tolist() == [3, 20, 30]


def test_fewer_are_spread_over_the_folder(tmp_path: Path) -> None:
    found = captioned_pictures(fill(tmp_path), 2, TOLD)
    assert [one.path.name for one in found] == ["0.png", "2.png"]


def test_a_picture_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png").shape == (4, 2, 3)


def without_caption(folder: Path) -> None:
    (folder / "2.txt").unlink()


def empty_caption(folder: Path) -> None:
    (folder / "2.txt").write_text(" \n")


def strange_caption(folder: Path) -> None:
    (folder / "2.txt").write_bytes(b"\xff\xfe\x00")


def no_pictures(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_caption, "1 of 4 pictures in the folder .* of pictures of Some Node have no caption, such as '2.png'"),
        (empty_caption, "The caption '2.txt' is empty"),
        (strange_caption, "'2.txt' is not UTF-8 text"),
        (no_pictures, "of pictures of Some Node holds no pictures"),
    ],
)
def test_one_clear_error_for_each_bad_folder(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    spoil(fill(tmp_path))
    with pytest.raises(DataError, match=message):
        captioned_pictures(tmp_path, 10, TOLD)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder 'nowhere' for pictures of Some Node"):
        captioned_pictures(tmp_path / "nowhere", 10, TOLD)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_an_unreadable_picture_is_an_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"'a\.png' is not a picture that can be read"):
        read_picture(tmp_path / "a.png")
