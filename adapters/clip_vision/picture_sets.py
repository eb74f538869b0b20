"""Harmless pictures with captions: those that come with Safety Steer, or a folder in ComfyUI's input folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import folder_paths
import torch
from torch import Tensor

from ...safety_steer.errors import DataError
from ...safety_steer.storage.captioned_pictures import captioned_pictures, read_picture
from .. import folders

INPUT = "pictures of Align Direction (Vision)"


@dataclass(frozen=True)
class PictureSet:
    """Captions, how to see the pictures one after the other (1, H, W, 3) in 0..1, and a text that changes when they do."""

    captions: tuple[str, ...]
    first: Callable[[int], Iterator[Tensor]]
    fingerprint: str

    def pictures(self) -> Iterator[Tensor]:
        """See all pictures, in order."""
        return self.first(len(self.captions))


def names() -> list[str]:
    """List the sets: the drawn one, and the folders in ComfyUI's input folder."""
    return [folders.DRAWN, *folders.picture_folders()]


def load(name: str, most: int) -> PictureSet:
    """Return at most so many pictures of a listed set; raises DataError for another name and for unusable pictures."""
    if name == folders.DRAWN:
        return _drawn(most)
    root = Path(folder_paths.get_input_directory())
    if name not in names() or not os.path.realpath(root / name).startswith(os.path.realpath(root) + os.sep):
        raise DataError(
            f"There is no folder '{name[:80]}' in ComfyUI's input folder for {INPUT}. Choose one from the list, or put it "
            "there first."
        )
    found = captioned_pictures(root / name, most, INPUT)
    paths = [one.path for one in found]
    said = "\n".join(f"{one.path.name} {folders.fingerprint(str(one.path))} {one.caption}" for one in found)
    return PictureSet(tuple(one.caption for one in found), partial(_seen, paths), _short(said))


def _drawn(most: int) -> PictureSet:
    # Here and not above: most people who start ComfyUI never ask for drawn scenes.
    from ...safety_steer.demo_world.drawn_pictures import draw, drawn_scenes

    scenes, captions = drawn_scenes(most)

    def first(count: int) -> Iterator[Tensor]:
        return (_as_image(torch.from_numpy(picture)) for scene in scenes[:count] for picture in draw([scene]))

    return PictureSet(tuple(captions), first, _short("\n".join(captions)))


def _seen(paths: list[Path], count: int) -> Iterator[Tensor]:
    return (_as_image(torch.from_numpy(read_picture(path).copy())) for path in paths[:count])


def _as_image(colours: Tensor) -> Tensor:
    return colours[None].float() / 255


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def state_of(name: str, most: int) -> str:
    """Return a text that changes when a set does; nothing for one that cannot be used."""
    try:
        return load(name, most).fingerprint
    except DataError:
        return ""
