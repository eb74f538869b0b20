"""The places of the demo world, drawn from simple shapes at twice the size and reduced."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]

SIDE = 128  # pixels: twice those of a picture, which smooths edges
SKIES = {"day": ("#6fb7ee", "#cfeaf8"), "sunset": ("#7a4a9a", "#ffb066"), "night": ("#0c1440", "#2a3a78")}


def background(place: str, light: str, variant: int) -> Picture:
    """Return a fresh (64, 64, 3) picture in 0..1 of a place under the sky of a light; four variants each."""
    picture: Picture = _drawn(place, light, variant).copy()
    return picture


@lru_cache(maxsize=256)
def _drawn(place: str, light: str, variant: int) -> Picture:
    import numpy as np
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    _gradient(draw, *SKIES[light])
    generator = random.Random(f"{place}|{variant}")
    if place not in ("kitchen", "living_room", "underwater", "stage", "moon"):
        x = (24, 100, 62, 84)[variant]
        tone = {"day": "#fff3a0", "sunset": "#ff7a3a", "night": "#e8ecff"}[light]
        draw.ellipse((x - 9, 9, x + 9, 27), tone)
    PLACES[place](draw, generator)
    picture: Picture = np.asarray(image.reduce(2), dtype=np.float32) / np.float32(255)
    return picture


def _gradient(draw: Any, top: str, bottom: str) -> None:
    from PIL import ImageColor

    first, last = ImageColor.getrgb(top), ImageColor.getrgb(bottom)
    for y in range(SIDE):
        share = y / SIDE
        draw.line((0, y, SIDE, y), tuple(round(a + (b - a) * share) for a, b in zip(first, last, strict=True)))


def _beach(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 50, SIDE, 84), "#1f86c8")
    for y in (58, 70):
        for x in range(generator.randrange(20), SIDE, 30):
            draw.line((x, y, x + 14, y), "#8fd0f0", 3)
    draw.rectangle((0, 80, SIDE, SIDE), "#f0d898")
    draw.line((0, 80, SIDE, 80), "white", 4)


def _forest(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 88, SIDE, SIDE), "#3f7a2c")
    for x in range(-4, SIDE, 22):
        x += generator.randrange(-4, 5)
        draw.rectangle((x + 8, 60, x + 14, 96), "#5a3a1c")
        for level, width in ((14, 8), (30, 13), (46, 17)):
            draw.polygon([(x + 11 - width, level + 26), (x + 11, level - 10), (x + 11 + width, level + 26)], "#1f5a2a")


def _city(draw: Any, generator: random.Random) -> None:
    for x in range(0, SIDE, 26):
        top = generator.randrange(14, 48)
        tone = generator.choice(("#8a8f9c", "#9c8578", "#6f7f94"))
        draw.rectangle((x, top, x + 23, 100), tone)
        for wy in range(top + 6, 92, 13):
            for wx in (x + 4, x + 14):
                draw.rectangle((wx, wy, wx + 5, wy + 6), "#ffe9a0")
    draw.rectangle((0, 96, SIDE, SIDE), "#4a4d55")
    for x in range(4, SIDE, 30):
        draw.rectangle((x, 111, x + 14, 114), "#f0f0f0")


def _desert(draw: Any, generator: random.Random) -> None:
    x = generator.randrange(10, 60)
    draw.polygon([(x - 30, 80), (x + 22, 26), (x + 74, 80)], "#d9a860")
    draw.polygon([(x + 22, 26), (x + 74, 80), (x + 34, 80)], "#b88440")
    draw.rectangle((0, 74, SIDE, SIDE), "#e6b765")
    for y in (86, 104):
        draw.arc((-20, y, 80, y + 30), 200, 340, "#c9964a", 4)
        draw.arc((60, y + 6, 150, y + 34), 200, 340, "#c9964a", 4)


def _mountains(draw: Any, generator: random.Random) -> None:
    for x, top in ((10, 28), (62, 12), (112, 32)):
        x += generator.randrange(-8, 9)
        draw.polygon([(x - 52, 96), (x, top), (x + 52, 96)], "#7a7f92")
        draw.polygon([(x - 14, top + 22), (x, top), (x + 14, top + 22)], "white")
    draw.rectangle((0, 90, SIDE, SIDE), "#6fa050")


def _kitchen(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 0, SIDE, 84), "#f7f0d8")
    for x in range(0, SIDE, 16):
        draw.line((x, 34, x, 84), "#dcd2b0", 2)
    for y in range(34, 84, 16):
        draw.line((0, y, SIDE, y), "#dcd2b0", 2)
    for x in (0, 44, 88):
        draw.rectangle((x + 2, 0, x + 38, 28), "#4f8f8f", "#2f5f5f", 3)
    draw.rectangle((0, 78, SIDE, 88), "#8f5a2e")
    for x in range(0, SIDE, 32):
        for y in (88, 108):
            tone = ("#d0d0d0", "#f4f4f4")[(x // 32 + y // 20 + generator.randrange(1)) % 2]
            draw.rectangle((x, y, x + 32, y + 20), tone)


def _living_room(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 0, SIDE, 92), "#d98f9c")
    for x in range(6, SIDE, 18):
        draw.line((x, 0, x, 92), "#c67a88", 4)
    x = generator.choice((14, 78))
    draw.rectangle((x, 10, x + 34, 40), "#5a3a1c")
    draw.rectangle((x + 4, 14, x + 30, 36), "#9fd0a0")
    draw.rectangle((0, 92, SIDE, SIDE), "#8a5a34")
    draw.ellipse((10, 100, 118, 126), "#c9a060")


def _snowfield(draw: Any, generator: random.Random) -> None:
    draw.polygon([(0, 70), (40, 58), (90, 66), (SIDE, 56), (SIDE, SIDE), (0, SIDE)], "#e4eefa")
    draw.polygon([(0, 92), (60, 80), (SIDE, 94), (SIDE, SIDE), (0, SIDE)], "#ffffff")
    x = generator.randrange(6, 100)
    for level in (36, 46):
        draw.polygon([(x - 10, level + 16), (x, level - 6), (x + 10, level + 16)], "#cfe0ea")


def _moon(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 0, SIDE, SIDE), "#05060f")
    for _ in range(26):
        x, y = generator.randrange(SIDE), generator.randrange(72)
        draw.rectangle((x, y, x + 1, y + 1), "white")
    draw.ellipse((84, 8, 112, 36), "#3a7bd5")
    draw.ellipse((92, 14, 104, 26), "#5fae5f")
    draw.rectangle((0, 82, SIDE, SIDE), "#9a9aa2")
    for x, y in ((20, 96), (70, 110), (104, 92)):
        draw.ellipse((x - 14, y - 5, x + 14, y + 5), "#74747c")


def _underwater(draw: Any, generator: random.Random) -> None:
    _gradient(draw, "#2fb0c8", "#063a66")
    draw.polygon([(0, 108), (64, 100), (SIDE, 110), (SIDE, SIDE), (0, SIDE)], "#b8a878")
    for x in (8, 26, 102, 120):
        x += generator.randrange(-4, 5)
        draw.line((x, 116, x - 6, 92, x + 5, 72, x - 4, 50), "#1f8f4a", 6)


def _farm(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 70, SIDE, SIDE), "#8fc04a")
    for x in range(-40, 170, 24):
        draw.line((64, 66, x, SIDE), "#b8953a", 5)
    x = generator.choice((6, 84))
    draw.rectangle((x, 44, x + 36, 76), "#b0302a")
    draw.polygon([(x - 4, 46), (x + 18, 26), (x + 40, 46)], "#6a4030")
    draw.rectangle((x + 12, 56, x + 24, 76), "white")


def _stage(draw: Any, generator: random.Random) -> None:
    draw.rectangle((0, 0, SIDE, 94), "#3a1040")
    draw.polygon([(64, 0), (20 + generator.randrange(8), 96), (108, 96)], "#6f3a78")
    for x in (0, 10, 20, 98, 108, 118):
        draw.rectangle((x, 0, x + 9, 98), ("#a01030", "#c02040")[x // 10 % 2])
    draw.rectangle((0, 0, SIDE, 12), "#c02040")
    draw.rectangle((0, 94, SIDE, SIDE), "#a8743a")
    for x in range(0, SIDE, 20):
        draw.line((x, 94, x, SIDE), "#8a5a28", 2)


PLACES: dict[str, Callable[[Any, random.Random], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "desert": _desert,
    "mountains": _mountains,
    "kitchen": _kitchen,
    "living_room": _living_room,
    "snowfield": _snowfield,
    "moon": _moon,
    "underwater": _underwater,
    "farm": _farm,
    "stage": _stage,
}
