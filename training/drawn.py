"""Draws the sprites that the emoji font lacks: plain cartoons on a 128 x 128 transparent canvas."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import Image, ImageDraw

SIZE = 128
Glyph = Callable[[str], Image.Image]
Drawing = Callable[[ImageDraw.ImageDraw], None]
STEEL, DARK, WOOD, RED, GREEN = "#5a6270", "#23262d", "#8a5a2b", "#c4161c", "#3d8b37"


def draw_sprite(name: str, glyph: Glyph) -> Image.Image:
    """Return the sprite of a drawn kind; `glyph` gives the picture of an emoji, for kinds composed of several."""
    if name in COMPOSED:
        return COMPOSED[name](glyph)
    image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    DRAWINGS[name](ImageDraw.Draw(image))
    return image


def _pistol(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((6, 30, 122, 56), DARK)
    draw.rectangle((6, 26, 14, 32), DARK)
    draw.rectangle((14, 34, 118, 40), STEEL)
    draw.polygon([(74, 54), (112, 54), (124, 112), (92, 114)], "#3b2a1d")
    draw.arc((48, 44, 82, 82), 0, 180, DARK, 7)
    draw.line((66, 54, 62, 70), DARK, 6)


def _rifle(draw: ImageDraw.ImageDraw) -> None:
    draw.line((4, 26, 84, 66), STEEL, 8)
    draw.polygon([(50, 44), (96, 66), (126, 92), (120, 112), (84, 82), (44, 58)], WOOD)
    draw.line((46, 30, 78, 46), DARK, 10)
    draw.line((58, 44, 56, 38), DARK, 5)
    draw.arc((70, 64, 90, 86), 0, 200, DARK, 5)


def _machine_gun(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((2, 44, 44, 52), DARK)
    draw.rectangle((36, 36, 100, 62), "#2f3b2b")
    draw.polygon([(98, 40), (126, 36), (126, 72), (98, 56)], "#2f3b2b")
    draw.polygon([(48, 62), (66, 62), (58, 116), (38, 110)], DARK)
    draw.polygon([(82, 62), (96, 62), (104, 92), (90, 94)], DARK)
    draw.rectangle((52, 24, 84, 32), DARK)
    draw.rectangle((64, 30, 70, 38), DARK)
    draw.ellipse((4, 40, 12, 56), "#e8a020")


def _grenade(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((26, 38, 98, 124), "#4d6b2f")
    for offset in (58, 76, 94, 110):
        draw.line((28, offset, 96, offset), "#2f451b", 4)
    for offset in (46, 62, 78):
        draw.line((offset, 42, offset, 122), "#2f451b", 4)
    draw.rectangle((48, 18, 78, 42), STEEL)
    draw.line((74, 20, 104, 34, 108, 76), STEEL, 9)
    draw.ellipse((12, 8, 46, 40), None, "#d9c25a", 7)


def _missile(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(50, 34), (64, 2), (78, 34)], RED)
    draw.rectangle((50, 34, 78, 96), "#6f7d5c")
    draw.rectangle((50, 44, 78, 52), "#e0c030")
    draw.polygon([(50, 74), (26, 106), (50, 98)], "#424c38")
    draw.polygon([(78, 74), (102, 106), (78, 98)], "#424c38")
    draw.polygon([(52, 98), (76, 98), (64, 126)], "#ff9a1f")
    draw.ellipse((56, 60, 72, 76), "#151515")


def _fistfight(draw: ImageDraw.ImageDraw) -> None:
    for x, y, radius in ((64, 66, 38), (34, 54, 24), (94, 52, 24), (38, 88, 24), (92, 88, 26), (64, 36, 26)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), "#c9c2b8")
    for x, y, tone in ((16, 38, "#f2c08a"), (108, 34, "#a86f3d"), (100, 102, "#f2c08a")):
        draw.rounded_rectangle((x - 16, y - 14, x + 16, y + 14), 9, tone, "#5b3716", 4)
        for finger in (-6, 2, 10):
            draw.line((x + finger, y - 12, x + finger, y), "#5b3716", 3)
    _star(draw, 62, 58, 22, RED)
    _star(draw, 34, 100, 14, "#ffd21f")


def _cannabis(draw: ImageDraw.ImageDraw) -> None:
    draw.line((64, 84, 64, 124), GREEN, 7)
    for angle, length in ((-90, 82), (-52, 70), (-128, 70), (-18, 52), (-162, 52), (14, 34), (166, 34)):
        x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        points = []
        for step in range(9):
            width = 10 * math.sin(math.pi * step / 8) * (1.25 if step % 2 else 0.8)
            points.append((64 + x * length * step / 8 - y * width, 86 + y * length * step / 8 + x * width))
        for step in range(8, -1, -1):
            width = 10 * math.sin(math.pi * step / 8) * (1.25 if step % 2 else 0.8)
            points.append((64 + x * length * step / 8 + y * width, 86 + y * length * step / 8 - x * width))
        draw.polygon(points, GREEN, "#1f5a1c")


def _burglar_mask(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((16, 8, 112, 122), "#1d1d22")
    draw.rounded_rectangle((26, 42, 102, 66), 12, "#f2c08a")
    for x in (46, 82):
        draw.ellipse((x - 10, 45, x + 10, 63), "white")
        draw.ellipse((x - 4, 49, x + 6, 60), "black")
    draw.rounded_rectangle((46, 84, 82, 98), 7, "#e07070")


def _crowbar(draw: ImageDraw.ImageDraw) -> None:
    draw.line((22, 118, 92, 36), "#b01818", 15)
    draw.arc((66, 8, 118, 60), 180, 20, "#b01818", 15)
    draw.polygon([(104, 40), (122, 38), (118, 58)], "#b01818")
    draw.polygon([(10, 116), (30, 108), (28, 126), (8, 126)], STEEL)


def _liquor_bottle(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((54, 4, 74, 40), "#5c7f3a")
    draw.rectangle((52, 2, 76, 14), "#2b2b2b")
    draw.rounded_rectangle((36, 36, 92, 126), 14, "#5c7f3a")
    draw.rectangle((36, 62, 92, 102), "#f4ead2")
    draw.line((44, 70, 84, 94), RED, 8)
    draw.line((84, 70, 44, 94), RED, 8)


def _blood(draw: ImageDraw.ImageDraw) -> None:
    color = "#9c0a12"
    draw.ellipse((28, 34, 100, 92), color)
    for x, y, radius in ((20, 30, 9), (108, 26, 10), (112, 96, 7), (14, 84, 8), (64, 14, 7), (88, 110, 9)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), color)
        draw.line((x, y, 64, 62), color, 7)
    for x, bottom in ((42, 118), (58, 126), (74, 108)):
        draw.line((x, 70, x, bottom), color, 9)
        draw.ellipse((x - 6, bottom - 6, x + 6, bottom + 4), color)


def _burning_house(draw: ImageDraw.ImageDraw) -> None:
    for x, top in ((18, 34), (42, 12), (66, 2), (90, 14), (110, 36)):
        draw.polygon([(x - 20, 86), (x, top), (x + 20, 86)], "#ff7a12")
        draw.polygon([(x - 10, 86), (x, top + 22), (x + 10, 86)], "#ffd23a")
    draw.rectangle((22, 72, 106, 126), "#6d4a35")
    draw.polygon([(10, 76), (64, 34), (118, 76)], "#3c2a22")
    for x in (34, 76):
        draw.rectangle((x, 86, x + 18, 104), "#ffb31f")
    draw.rectangle((56, 98, 72, 126), "#2a1c15")


def _zombie_hand(draw: ImageDraw.ImageDraw) -> None:
    skin, edge = "#7fa35a", "#3f5a2a"
    for x, top in ((34, 30), (54, 12), (74, 14), (94, 34)):
        draw.rounded_rectangle((x - 9, top, x + 9, 80), 8, skin, edge, 4)
        draw.rectangle((x - 5, top, x + 5, top + 8), "#2d3b1e")
    draw.rounded_rectangle((4, 56, 34, 76), 9, skin, edge, 4)
    draw.rounded_rectangle((26, 62, 104, 104), 12, skin, edge, 4)
    draw.rectangle((42, 100, 88, 116), skin)
    draw.rectangle((40, 112, 90, 126), "#8e1218")
    draw.line((44, 76, 62, 90), edge, 5)


def _hateful_placard(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((58, 88, 70, 127), WOOD)
    draw.rectangle((12, 4, 116, 92), "#f5f0e6", "#3a3a3a", 4)
    draw.ellipse((52, 16, 76, 40), "#26262b")
    draw.pieslice((40, 42, 88, 104), 180, 360, "#26262b")
    draw.ellipse((26, 8, 102, 88), None, RED, 10)
    draw.line((38, 20, 92, 78), RED, 10)


def _hate_graffiti(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((2, 14, 126, 118), "#8f4f3a")
    for row, y in enumerate(range(14, 118, 26)):
        draw.line((2, y, 126, y), "#c9b4a4", 4)
        for x in range(2 + 16 * (row % 2), 127, 32):
            draw.line((x, y, x, y + 26), "#c9b4a4", 4)
    draw.ellipse((30, 26, 98, 106), None, "#111111", 9)
    draw.line((44, 46, 60, 58), "#111111", 8)
    draw.line((86, 46, 70, 58), "#111111", 8)
    draw.arc((46, 70, 84, 104), 180, 360, "#111111", 8)
    draw.line((12, 112, 116, 20), "#e01020", 10)


def _torch_mob(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((2, 2, 126, 126), "#6f6a8a")
    for x, y in ((20, 40), (64, 22), (108, 40)):
        draw.line((x, y + 12, x + 6, y + 64), WOOD, 9)
        draw.polygon([(x - 15, y + 14), (x, y - 22), (x + 15, y + 14)], "#ff6a12")
        draw.polygon([(x - 7, y + 14), (x, y - 4), (x + 7, y + 14)], "#ffe04a")
    for x in (22, 64, 106):
        draw.pieslice((x - 26, 92, x + 26, 150), 180, 360, "#15121c")
        draw.polygon([(x - 18, 102), (x, 58), (x + 18, 102)], "#15121c")
        draw.ellipse((x - 9, 80, x - 2, 89), "#ff3a2a")
        draw.ellipse((x + 2, 80, x + 9, 89), "#ff3a2a")


def _dunce_cap(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(22, 116), (64, 2), (106, 116)], "#fbf7e8", "#4a4a4a")
    draw.line((22, 116, 64, 2, 106, 116), "#4a4a4a", 5)
    draw.ellipse((14, 104, 114, 126), "#e8e0c6", "#4a4a4a", 5)
    draw.rectangle((48, 58, 58, 102), "#c4161c")
    draw.arc((36, 58, 84, 102), 270, 90, "#c4161c", 10)


def _lingerie(draw: ImageDraw.ImageDraw) -> None:
    tone = "#b01050"
    draw.line((26, 10, 34, 56), tone, 6)
    draw.line((102, 10, 94, 56), tone, 6)
    draw.pieslice((8, 24, 64, 90), 0, 180, tone)
    draw.pieslice((64, 24, 120, 90), 0, 180, tone)
    draw.rectangle((8, 78, 120, 90), "#2a0a18")
    draw.polygon([(24, 100), (104, 100), (66, 127), (62, 127)], tone)
    draw.rectangle((24, 97, 104, 104), "#2a0a18")


def _red_paint(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(10, 112), (60, 84), (122, 100), (112, 124), (40, 127)], "#f03a2e")
    draw.polygon([(40, 20), (104, 38), (88, 98), (26, 78)], "#c9ced6")
    draw.polygon([(40, 20), (26, 78), (14, 92), (28, 104), (52, 90)], "#f03a2e")
    draw.line((52, 50, 92, 60), "#4b8be0", 18)
    draw.arc((40, 2, 110, 70), 200, 340, STEEL, 5)


def _ketchup(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(58, 2), (70, 2), (76, 26), (52, 26)], "white", "#999999")
    draw.rectangle((48, 24, 80, 36), "#f5f5f5", "#999999")
    draw.rounded_rectangle((36, 36, 92, 126), 16, "#e03020")
    draw.ellipse((44, 60, 84, 104), "#fff6e0")
    draw.ellipse((52, 70, 76, 96), "#e03020")
    draw.rectangle((60, 64, 68, 72), GREEN)


def _toy_sword(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(64, 2), (76, 18), (74, 84), (54, 84), (52, 18)], "#e5bb7a", "#9a6b34")
    draw.line((64, 14, 64, 80), "#c99a58", 4)
    draw.rounded_rectangle((30, 80, 98, 94), 6, "#3a7bd5")
    draw.rectangle((56, 94, 72, 118), "#8a5a2b")
    draw.ellipse((52, 110, 76, 127), "#3a7bd5")


def _cough_medicine(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((30, 8, 62, 28), "white", "#888888")
    draw.rounded_rectangle((20, 28, 72, 126), 10, "#7a3f12")
    draw.rectangle((20, 56, 72, 104), "white")
    draw.rectangle((42, 62, 50, 98), "#2b8ad9")
    draw.rectangle((28, 76, 64, 84), "#2b8ad9")
    draw.ellipse((80, 40, 122, 72), "#b9bec7", "#70757f", 4)
    draw.line((102, 70, 102, 124), "#8d929c", 8)


def _star(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: str) -> None:
    points = []
    for step in range(16):
        length = radius if step % 2 == 0 else radius * 0.5
        points.append((x + length * math.cos(step * math.pi / 8), y + length * math.sin(step * math.pi / 8)))
    draw.polygon(points, fill)


def _bloody_knife(glyph: Glyph) -> Image.Image:
    image = _over(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), glyph("🔪").rotate(180), 128, 0, 0)
    blade = image.crop((0, 0, SIZE, SIZE)).getchannel("A")
    mask = Image.new("L", (SIZE, SIZE), 0)
    ImageDraw.Draw(mask).polygon([(70, 60), (128, 40), (128, 128), (40, 128)], 255)
    mask.paste(0, (0, 0), Image.eval(blade, lambda value: 255 - value))
    image.paste((168, 13, 20, 255), (0, 0), mask)
    draw = ImageDraw.Draw(image)
    for x, y in ((18, 76), (36, 104), (60, 122), (14, 118)):
        draw.polygon([(x - 7, y), (x, y - 18), (x + 7, y)], "#a80d14")
        draw.ellipse((x - 7, y - 7, x + 7, y + 6), "#a80d14")
    return image


def _red_rose(glyph: Glyph) -> Image.Image:
    image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    ImageDraw.Draw(image).polygon([(4, 66), (124, 58), (126, 126), (2, 126)], "#d8404a")
    ImageDraw.Draw(image).line((4, 66, 124, 58), "#f08088", 6)
    return _over(image, glyph("🌹"), 120, 4, 0)


def _cake_knife(glyph: Glyph) -> Image.Image:
    image = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    image = _over(image, glyph("🍰"), 96, 0, 32)
    return _over(image, glyph("🔪"), 80, 48, 0)


def _campfire(glyph: Glyph) -> Image.Image:
    image = _over(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), glyph("🔥"), 92, 18, 4)
    draw = ImageDraw.Draw(image)
    draw.line((10, 104, 118, 122), WOOD, 15)
    draw.line((118, 104, 10, 122), "#6b431d", 15)
    for x in (8, 120):
        draw.ellipse((x - 8, 114, x + 8, 127), "#9aa0a8")
    return image


def _over(image: Image.Image, glyph: Image.Image, size: int, x: int, y: int) -> Image.Image:
    image.alpha_composite(glyph.resize((size, size), Image.Resampling.LANCZOS), (x, y))
    return image


DRAWINGS: dict[str, Drawing] = {
    "pistol": _pistol,
    "rifle": _rifle,
    "machine_gun": _machine_gun,
    "grenade": _grenade,
    "missile": _missile,
    "fistfight": _fistfight,
    "cannabis": _cannabis,
    "burglar_mask": _burglar_mask,
    "crowbar": _crowbar,
    "liquor_bottle": _liquor_bottle,
    "blood": _blood,
    "burning_house": _burning_house,
    "zombie_hand": _zombie_hand,
    "hateful_placard": _hateful_placard,
    "hate_graffiti": _hate_graffiti,
    "torch_mob": _torch_mob,
    "dunce_cap": _dunce_cap,
    "lingerie": _lingerie,
    "red_paint": _red_paint,
    "ketchup": _ketchup,
    "toy_sword": _toy_sword,
    "cough_medicine": _cough_medicine,
}
COMPOSED: dict[str, Callable[[Glyph], Image.Image]] = {
    "bloody_knife": _bloody_knife,
    "red_rose": _red_rose,
    "cake_knife": _cake_knife,
    "campfire": _campfire,
}
