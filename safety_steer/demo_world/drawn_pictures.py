"""Drawn harmless scenes with captions: pictures to align CLIP vision with, drawn when they are needed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .captions import captions
from .render import render
from .scenes import Scene, sample_scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .render import Bytes

# Of sixteen scenes, twelve have an object, one has one that looks dangerous and is not, three have none.
SHARES = {"benign": 12, "borderline": 1, "no_object": 3}


def drawn_scenes(count: int, seed: int = 0, split: str = "train") -> tuple[list[Scene], list[str]]:
    """Return so many harmless scenes and their captions; the same arguments give the same ones."""
    total = sum(SHARES.values())
    found = [
        scene for group, share in SHARES.items() for scene in sample_scenes(split, -(-count * share // total), group, seed)
    ]
    random.Random(f"drawn|{split}|{seed}").shuffle(found)
    return found[:count], captions(found[:count], seed, split)


def draw(scenes: Sequence[Scene]) -> list[Bytes]:
    """Draw scenes: a picture (64, 64, 3) each."""
    return [render(scene) for scene in scenes]
