"""Writes the atlas of sprites from an emoji font and from what `drawn.py` draws."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from safety_steer.demo_world.kinds import Kind, world
from safety_steer.demo_world.render import CELL, COLUMNS
from safety_steer.storage.bundled import ASSETS

from .drawn import draw_sprite

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"


def write_atlas(font_path: str = FONT) -> Path:
    """Draw every subject and kind into one PNG of 32 x 32 cells, in the order of the table."""
    font = ImageFont.truetype(font_path, 109)
    entries = [*world().subjects, *world().kinds]
    rows = -(-len(entries) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * CELL, rows * CELL), (0, 0, 0, 0))
    for index, kind in enumerate(entries):
        cell = _cell(kind, font)
        atlas.paste(cell, (index % COLUMNS * CELL, index // COLUMNS * CELL))
    path = ASSETS / "sprites.png"
    atlas.save(path, optimize=True)
    return path


def _cell(kind: Kind, font: ImageFont.FreeTypeFont) -> Image.Image:
    def glyph(text: str) -> Image.Image:
        image = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
        ImageDraw.Draw(image).text((12, 12), text, font=font, embedded_color=True)
        return _square(image)

    image = _square(draw_sprite(kind.drawn, glyph)) if kind.drawn else glyph(kind.emoji or "")
    return image.resize((CELL, CELL), Image.Resampling.LANCZOS)


def _square(image: Image.Image) -> Image.Image:
    """Crop to what is drawn, and centre it on a square with a margin of one pixel in 32."""
    box = image.getbbox()
    if box is None:
        raise ValueError("An empty sprite: the font lacks this glyph.")
    cropped = image.crop(box)
    side = round(max(cropped.size) * 32 / 30)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
    return square


if __name__ == "__main__":
    sys.stdout.write(f"{write_atlas()}\n")
