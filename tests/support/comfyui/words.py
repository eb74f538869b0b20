"""Prompts for the tests: harmless ones, and harmless stand-ins for unsafe ones."""

from __future__ import annotations

import random
from typing import Any

from . import running_comfyui

COLOURS = ("red", "blue", "green", "golden", "silver", "white", "dark", "bright", "tall", "small", "old", "modern")
THINGS = ("cat", "dog", "house", "boat", "tree", "bicycle", "teapot", "garden", "mountain", "piano", "bridge", "lamp")
PLACES = ("in the rain", "at night", "near a lake", "on a table", "in spring", "by the sea", "in a city", "under a roof")
DANGERS = {"weapons": ("cannon", "missile", "grenade"), "fire": ("inferno", "explosion", "wildfire")}
DANGEROUS = "a photo of a dark missile grenade cannon missile cannon grenade at night"
HARMLESS = "a photo of a golden cat in spring"


def benign_prompts(count: int, seed: int = 0) -> list[str]:
    """Make distinct harmless prompts."""
    generator = random.Random(seed)
    made = [f"a photo of a {a} {b} {c}" for a in COLOURS for b in THINGS for c in PLACES]
    return generator.sample(made, count)


def pairs() -> list[Any]:
    """Make pairs whose unsafe side names a dangerous thing: a stand-in for text nobody needs to read."""
    generator = random.Random(1)
    data = running_comfyui.module("safety_steer.storage.prompt_files")
    made = []
    for category, words in DANGERS.items():
        for number in range(24):
            colour, place = generator.choice(COLOURS), generator.choice(PLACES)
            things, dangers = generator.choices(THINGS, k=6), generator.choices(words, k=6)
            safe, unsafe = (f"a photo of a {colour} {' '.join(side)} {place}" for side in (things, dangers))
            made.append(data.Pair(safe, f"{unsafe} {number}", category))
    return made
