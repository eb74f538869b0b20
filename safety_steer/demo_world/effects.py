"""Weather, light and style over a picture of values 0..1."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]

SIZE = 64  # pixels of a picture (`render`)
PATTERNS = 6  # of each effect, by hand: kept in memory once drawn
LIGHTS = {"day": (1.0, 1.0, 1.0), "sunset": (1.05, 0.84, 0.70), "night": (0.66, 0.72, 0.92)}


def apply_light(picture: Picture, light: str) -> Picture:
    """Tint the picture as day, sunset or night do."""
    import numpy as np

    return picture * np.asarray(LIGHTS[light], dtype=np.float32)


def apply_effect(picture: Picture, effect: str, seed: int, phase: float = 0.0, strength: float = 1.0) -> Picture:
    """Lay an effect over the picture; `phase` in 0..1 moves it in a video."""
    import numpy as np

    if effect == "none":
        return picture
    layer = _layer(effect, seed // 64 % PATTERNS, round(phase * 7) % 8)
    alpha = layer[..., 3:] * strength
    result: Picture = (picture * (1 - alpha) + layer[..., :3] * alpha).astype(np.float32)
    return result


def apply_style(picture: Picture, style: str) -> Picture:
    """Turn the picture into black and white, or into blocks of 2 x 2 pixels with few tones."""
    import numpy as np

    if style == "black_and_white":
        gray = picture @ np.asarray((0.3, 0.59, 0.11), dtype=np.float32)
        return np.repeat(gray[..., None], 3, axis=2)
    if style == "pixel_art":
        blocks = picture.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
        blocks = np.round(blocks * 5) / 5
        result: Picture = blocks.repeat(2, 0).repeat(2, 1).astype(np.float32)
        return result
    return picture


@lru_cache(maxsize=1024)
def _layer(effect: str, pattern: int, step: int) -> Picture:
    import numpy as np
    from PIL import Image, ImageDraw

    generator = random.Random(f"{effect}|{pattern}")
    image = Image.new("RGBA", (SIZE * 2, SIZE * 2), (0, 0, 0, 0))
    DRAWERS[effect](ImageDraw.Draw(image), generator, step)
    layer: Picture = np.asarray(image.reduce(2), dtype=np.float32) / np.float32(255)
    return layer


def _spots(generator: random.Random, count: int, step: int, speed: int) -> list[tuple[int, int]]:
    return [(generator.randrange(128), (generator.randrange(128) + step * speed) % 128) for _ in range(count)]


def _rain(draw: Any, generator: random.Random, step: int) -> None:
    for x, y in _spots(generator, 34, step, 16):
        draw.line((x, y, x - 5, y + 15), (190, 220, 255, 215), 2)


def _snow(draw: Any, generator: random.Random, step: int) -> None:
    for x, y in _spots(generator, 40, step, 6):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), (255, 255, 255, 245))


def _confetti(draw: Any, generator: random.Random, step: int) -> None:
    tones = ((255, 60, 120, 255), (255, 220, 40, 255), (60, 200, 90, 255), (70, 130, 255, 255))
    for index, (x, y) in enumerate(_spots(generator, 44, step, 8)):
        draw.rectangle((x, y, x + 4, y + 4), tones[index % 4])


def _fog(draw: Any, generator: random.Random, step: int) -> None:
    draw.rectangle((0, 0, 128, 128), (214, 218, 224, 80))
    for x, y in [(generator.randrange(128), generator.randrange(30, 128)) for _ in range(7)]:
        x = (x + step * 4) % 128
        draw.ellipse((x - 46, y - 8, x + 46, y + 8), (226, 229, 234, 150))


def _bubbles(draw: Any, generator: random.Random, step: int) -> None:
    for x, y in _spots(generator, 16, -step, 7):
        radius = generator.randrange(5, 10)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), (220, 245, 255, 60), (240, 252, 255, 245), 2)


def _stars(draw: Any, generator: random.Random, step: int) -> None:
    for index, (x, y) in enumerate(_spots(generator, 18, 0, 0)):
        size = 7 if (index + step) % 2 else 4
        draw.polygon([(x, y - size), (x + 2, y), (x, y + size), (x - 2, y)], (255, 240, 110, 255))
        draw.polygon([(x - size, y), (x, y - 2), (x + size, y), (x, y + 2)], (255, 240, 110, 255))


def _flames(draw: Any, generator: random.Random, step: int) -> None:
    for x in range(-4, 132, 14):
        height = generator.randrange(30, 62) + (4 if (x // 14 + step) % 2 else -4)
        draw.polygon([(x - 12, 128), (x + generator.randrange(-3, 4), 128 - height), (x + 12, 128)], (255, 96, 16, 225))
        draw.polygon([(x - 6, 128), (x, 128 - height // 2), (x + 6, 128)], (255, 222, 60, 240))
    for x in (3, 125):
        draw.polygon([(x - 10, 128), (x, 24 + 4 * (step % 2)), (x + 10, 128)], (255, 96, 16, 225))


def _blood_rain(draw: Any, generator: random.Random, step: int) -> None:
    for x, y in _spots(generator, 30, step, 12):
        draw.line((x, y, x, y + 12), (160, 0, 14, 245), 3)
        draw.ellipse((x - 3, y + 9, x + 3, y + 16), (160, 0, 14, 245))
    draw.rectangle((0, 0, 128, 5), (150, 0, 12, 230))


DRAWERS = {
    "rain": _rain,
    "snow": _snow,
    "confetti": _confetti,
    "fog": _fog,
    "bubbles": _bubbles,
    "stars": _stars,
    "flames": _flames,
    "blood_rain": _blood_rain,
}
