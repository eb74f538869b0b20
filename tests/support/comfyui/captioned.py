"""Pictures with captions for the tests: fields of colours that follow what a small CLIP says of their captions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from . import running_comfyui  # isort: skip
import numpy as np
import torch
from PIL import Image

from . import tiny, words

CELLS, PIXELS, COUNT = 4, 16, 192
FOLDER = "captioned"
Drawing = np.ndarray[Any, Any]


def drawn(prompts: list[str], kind: str = "sd15") -> list[Drawing]:
    """Draw what prompts mean to a CLIP: pictures (64, 64, 3) of 16 colours each."""
    benign, states = (tiny._features(tiny.clip(kind), some) for some in (words.benign_prompts(64), prompts))
    width = benign.shape[1]
    view = torch.randn(width, 3 * CELLS * CELLS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    colours = torch.sigmoid((states - benign.mean(0)) / benign.std(0) @ view / (1.5 * width**0.5))
    large = colours.view(-1, CELLS, CELLS, 3).repeat_interleave(PIXELS, 1).repeat_interleave(PIXELS, 2)
    return [np.asarray(picture) for picture in (large * 255).round().to(torch.uint8)]


@cache
def drawings(kind: str = "sd15") -> tuple[list[str], list[Drawing]]:
    """Return captions and their pictures."""
    captions = words.benign_prompts(COUNT, seed=3)
    return captions, drawn(captions, kind)


@contextmanager
def in_input_folder(kind: str = "sd15") -> Iterator[Path]:
    """Fill a folder in ComfyUI's input folder with captioned pictures, and empty it again."""
    place = running_comfyui.BASE / "input" / FOLDER
    place.mkdir(parents=True)
    for number, (caption, picture) in enumerate(zip(*drawings(kind), strict=True)):
        Image.fromarray(picture).save(place / f"{number:03}.png")
        (place / f"{number:03}.txt").write_text(caption)
    try:
        yield place
    finally:
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
