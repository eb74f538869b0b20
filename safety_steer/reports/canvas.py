"""What report pictures are drawn on: two themes, one colour scale for readings, and text that always fits."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

SCALE = 2  # drawn larger and made smaller, which smooths every edge
QUIET, LOUD, HARMLESS = 0.7, 2.0, -2.0  # readings where orange begins, where it is full, and where blue is


@dataclass(frozen=True)
class Theme:
    """The colours of a picture. All kinds of colour vision tell orange and vermillion, which is unsafe, from blue."""

    background: Colour
    panel: Colour
    ink: Colour
    muted: Colour
    neutral: Colour
    unsafe: tuple[Colour, Colour]
    harmless: Colour

    def of_reading(self, reading: float) -> Colour:
        """Return the colour of a token's reading."""
        if reading <= QUIET:
            return blend(self.neutral, self.harmless, min(max(reading / HARMLESS, 0), 1))
        share = min((reading - QUIET) / (LOUD - QUIET), 1)
        orange, vermillion = self.unsafe
        return blend(self.neutral, orange, 2 * share) if share < 0.5 else blend(orange, vermillion, 2 * share - 1)


THEMES = {
    "dark": Theme(
        background=(30, 31, 36),
        panel=(42, 44, 51),
        ink=(238, 239, 242),
        muted=(165, 169, 180),
        neutral=(62, 65, 75),
        unsafe=((214, 140, 20), (213, 94, 0)),
        harmless=(33, 118, 184),
    ),
    "light": Theme(
        background=(255, 255, 255),
        panel=(243, 244, 246),
        ink=(24, 26, 31),
        muted=(92, 97, 108),
        neutral=(226, 228, 233),
        unsafe=((240, 175, 60), (222, 98, 10)),
        harmless=(96, 170, 224),
    ),
}


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours."""
    mixed = [round(a + (b - a) * share) for a, b in zip(one, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on a colour (WCAG contrast)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else (255, 255, 255)


class Canvas:
    """An image that is drawn on in its own pixels; what lies below its height is cut off."""

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        """Make an empty image of a theme."""
        from PIL import Image, ImageDraw

        self.size, self.theme = (width, height), theme
        self.image = Image.new("RGB", (width * SCALE, height * SCALE), theme.background)
        self.draw = ImageDraw.Draw(self.image)

    def finished(self) -> Any:
        """Return the PIL image in its own size."""
        from PIL import Image

        return self.image.resize(self.size, Image.Resampling.LANCZOS)

    def text(self, x: float, y: float, text: str, size: int, colour: Colour, anchor: str = "la") -> None:
        """Write one line; `anchor` is Pillow's."""
        self.draw.text((x * SCALE, y * SCALE), readable(text), colour, _font(size * SCALE), anchor)

    def box(self, box: Box, colour: Colour, radius: float = 0) -> None:
        """Fill a box with round corners."""
        self.draw.rounded_rectangle(_scaled(box), radius * SCALE, colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float = 1) -> None:
        """Draw a line through points."""
        self.draw.line([(x * SCALE, y * SCALE) for x, y in points], colour, round(width * SCALE), "curve")

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon."""
        self.draw.polygon([(x * SCALE, y * SCALE) for x, y in points], colour)


def width_of(text: str, size: int) -> float:
    """Return how wide a line is."""
    return float(_font(size * SCALE).getlength(readable(text))) / SCALE


def fitted(text: str, size: int, width: float) -> str:
    """Shorten a line to a width, with dots where something is left out."""
    if width_of(text, size) <= width:
        return text
    keep = len(text)
    while keep and width_of(text[:keep] + "...", size) > width:
        keep -= 1
    return text[:keep] + "..."


def wrapped(text: str, size: int, width: float) -> list[str]:
    """Break a text into lines of at most a width; a word that is longer is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fitted(word, size, width))
    return lines


def readable(text: str) -> str:
    """Return a text in letters the font has: accents are dropped, and other letters it lacks become question marks."""
    return "".join(letter if has_glyph(letter) else _plain_letter(letter) for letter in text)


def can_show(text: str) -> bool:
    """Say whether a text stays itself, but for accents."""
    return all(has_glyph(letter) or _plain_letter(letter) != "?" for letter in text)


@cache
def has_glyph(letter: str) -> bool:
    """Say whether the font has a letter."""
    font = _font(24)
    return letter.isprintable() and bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def _plain_letter(letter: str) -> str:
    kept = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return kept if kept and all(map(has_glyph, kept)) else "?"


@cache
def _font(size: int) -> Any:
    """Return the font that comes with Pillow."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _scaled(box: Box) -> Box:
    x, y, right, bottom = box
    return x * SCALE, y * SCALE, right * SCALE, bottom * SCALE
