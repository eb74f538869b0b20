"""Draw the icon and the banner for registries: a vector that is turned away from red, into blue.

python -m tools.docs.draw_icon [--output docs/images]

Writes icon.png (400 x 400) and banner.png (1680 x 720, that is 21:9). The dots of the banner are random, with seed 0: the same
versions give the same pictures.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from safety_steer.reports.canvas import THEMES, Colour, blend

SMOOTH = 4  # drawn larger and made smaller, which smooths every edge
THEME = THEMES["dark"]
RED, BLUE, WHITE = (232, 84, 44), (64, 156, 255), THEME.ink
GROUND = ((24, 26, 36), (44, 48, 66))
Point = tuple[float, float]


def ground(width: int, height: int) -> Image.Image:
    """Return a dark picture that is lighter toward its lower right."""
    ramp = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.composite(
        Image.new("RGB", (width, height), GROUND[1]),
        Image.new("RGB", (width, height), GROUND[0]),
        Image.blend(ramp, down, 0.5),
    )


def at(centre: Point, radius: float, angle: float) -> Point:
    """Return the point at an angle and a distance from a centre."""
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def colour_at(share: float) -> Colour:
    """Return the colour of a place on the arc: red at 0, blue at 1, pale between."""
    pale = (206, 196, 206)
    return blend(RED, pale, 2 * share) if share < 0.5 else blend(pale, BLUE, 2 * share - 1)


def draw_arc(pen: Any, centre: Point, radius: float, width: float) -> None:
    """Draw the half circle from red to blue, with round ends."""
    steps = 400
    for step in range(steps + 1):
        share = step / steps
        x, y = at(centre, radius, math.pi * (1 + share))
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour_at(share))


def draw_arrow(pen: Any, start: Point, end: Point, width: float, colour: Colour) -> None:
    """Draw an arrow with a round tail and a full head."""
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    head = 2.5 * width
    neck = at(end, -0.8 * head, angle)
    pen.line([start, neck], fill=colour, width=round(width))
    pen.ellipse((start[0] - width / 2, start[1] - width / 2, start[0] + width / 2, start[1] + width / 2), fill=colour)
    back = at(end, -head, angle)
    sides = [at(back, 0.62 * head, angle + math.pi / 2), at(back, 0.62 * head, angle - math.pi / 2)]
    pen.polygon([end, sides[0], neck, sides[1]], fill=colour)


def draw_mark(pen: Any, centre: Point, size: float) -> None:
    """Draw the mark: the arc, where the vector pointed, and where it points now."""
    hub = (centre[0], centre[1] + 0.19 * size)
    draw_arc(pen, hub, 0.385 * size, 0.105 * size)
    draw_arrow(pen, hub, at(hub, 0.27 * size, math.radians(-128)), 0.04 * size, blend(GROUND[1], RED, 0.7))
    draw_arrow(pen, hub, at(hub, 0.305 * size, math.radians(-40)), 0.068 * size, WHITE)
    ring = 0.056 * size
    pen.ellipse((hub[0] - ring, hub[1] - ring, hub[0] + ring, hub[1] + ring), fill=WHITE)


def icon(size: int = 400) -> Image.Image:
    """Draw the icon: the mark on a rounded square, transparent outside of it."""
    full = size * SMOOTH
    picture = ground(full, full)
    draw_mark(ImageDraw.Draw(picture), (full / 2, full / 2), full)
    mask = Image.new("L", (full, full), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, full - 1, full - 1), radius=full // 5, fill=255)
    picture.putalpha(mask)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def draw_words(pen: Any, box: tuple[float, float, float, float], unit: float, chance: random.Random) -> None:
    """Draw a cloud of words, red to the left and blue to the right."""
    left, top, right, bottom = box
    for _ in range(240):
        share = chance.betavariate(0.7, 0.7)
        x, y = left + share * (right - left) + chance.gauss(0, unit), top + chance.random() * (bottom - top)
        size = unit * (0.12 + 0.16 * chance.random())
        pen.ellipse(
            (x - size, y - size, x + size, y + size), fill=blend(GROUND[1], colour_at(share), 0.25 + 0.5 * chance.random())
        )


def banner(width: int = 1680, height: int = 720) -> Image.Image:
    """Draw the banner: the mark, the name, and what it is for."""
    full = (width * SMOOTH, height * SMOOTH)
    unit = height * SMOOTH / 24
    picture = ground(*full)
    pen = ImageDraw.Draw(picture)
    chance = random.Random(0)
    draw_words(pen, (0, 0, full[0], 4.2 * unit), unit, chance)
    draw_words(pen, (0, 19.8 * unit, full[0], full[1]), unit, chance)
    draw_mark(pen, (12.5 * unit, 12 * unit), 14.5 * unit)
    pen.text((22 * unit, 12.2 * unit), "Safety Steer", fill=WHITE, font=ImageFont.load_default(5.4 * unit), anchor="ls")
    for line, text in enumerate(("Safer pictures and videos from the model you have.", "Without retraining.")):
        font = ImageFont.load_default(1.3 * unit)
        pen.text((22.3 * unit, (15 + 1.9 * line) * unit), text, fill=THEME.muted, font=font, anchor="ls")
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    for name, picture in (("icon", icon()), ("banner", banner())):
        path = options.output / f"{name}.png"
        picture.save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
