"""How a scene looks: sprites from the atlas over drawn backgrounds, with weather, light and style, 64 x 64 pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import FileFormatError
from ..storage.bundled import ASSETS
from .kinds import world
from .scenes import HOLD, Scene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]
    Bytes = NDArray[np.uint8]

# By hand: pixels of a picture and of a sprite, frames of a video, sprites in a row of the atlas. The generators learned these.
SIZE, CELL, FRAMES, COLUMNS = 64, 32, 8, 20
PATCH = 8  # pixels of the autoencoder's patch: what moves by whole ones is drawn alike
STILL = (0.0, 0.0, 1.0, 0.0)  # across, down, scale, degrees: no motion
FOREGROUND = 0.35  # how strongly rain, fog or fire cover what stands in them


@dataclass(frozen=True)
class Placement:
    """Where the sprites stand: corner of each cell in pixels (x, y), and whether the subject covers the object."""

    subject: tuple[int, int]
    object: tuple[int, int]
    subject_last: bool = False


@dataclass(frozen=True)
class Layer:
    """A sprite of a scene: its name, the judges' head it answers to, its cell's corner (x, y), and how far it has moved.

    `move` is (x, y, scale, degrees).
    """

    name: str
    head: str
    corner: tuple[int, int]
    move: tuple[float, float, float, float]


def render(scene: Scene) -> Bytes:
    """Draw one picture: (64, 64, 3) uint8."""
    return _frame(scene, 0.5, moving=False)


def render_video(scene: Scene, frames: int = FRAMES) -> Bytes:
    """Draw a video of the scene's motion, on twos: (frames, 64, 64, 3) uint8."""
    import numpy as np

    poses = [_frame(scene, moment(index, frames), moving=True) for index in range(0, frames, HOLD)]
    return np.repeat(np.stack(poses), HOLD, axis=0)


def moment(frame: int, frames: int = FRAMES) -> float:
    """Return the time of the pose that a frame holds, 0 to 1."""
    return frame // HOLD / max(frames // HOLD - 1, 1)


def render_frame(scene: Scene, time: float) -> Bytes:
    """Draw the moment `time` (0 to 1) of a scene's motion: (64, 64, 3) uint8."""
    return _frame(scene, time, moving=True)


def placement(scene: Scene) -> Placement:
    """Return where the sprites stand; the seed chooses among the few places that fit the relation."""
    flip, shift = scene.seed % 2, 8 * (scene.seed // 2 % 2)
    near, far = (32, 0) if flip else (0, 32)
    if scene.subject is None or scene.kind is None:
        spot = (8 + 8 * (scene.seed // 4 % 3), 16 + shift)
        return Placement(spot, spot)
    if scene.relation == "holding":
        return Placement((near, 24 + shift), (32 - near + (8 if flip else -8), 16 + shift))
    if scene.relation == "in_front_of":
        return Placement((near, 32), (32 - near, 8 + shift), subject_last=True)
    if scene.relation == "looking_at":
        return Placement((near, 32), (far, shift))
    if scene.relation == "on_top_of":
        return Placement((16 + shift, 0), (16 + shift, 32))
    if scene.relation == "under":
        return Placement((16 + shift, 32), (16 + shift, 0))
    return Placement((near, 24 + shift), (far, 24 + shift))


def layers(scene: Scene, time: float = 0.5, moving: bool = False) -> list[Layer]:
    """Return a scene's sprites at a time from 0 to 1, back to front."""
    where = placement(scene)
    move = _motion(scene.motion, time) if moving else STILL
    found: list[Layer] = []
    if scene.kind is not None:
        found.append(Layer(scene.kind, "object", where.object, _share(scene, move, scene.subject is None)))
    if scene.subject is not None:
        found.append(Layer("subject:" + scene.subject, "subject", where.subject, move))
    return found if where.subject_last else found[::-1]


def _frame(scene: Scene, time: float, moving: bool) -> Bytes:
    import numpy as np

    from .backgrounds import background
    from .effects import apply_effect, apply_light, apply_style

    picture = background(scene.place, scene.light, scene.seed // 16 % 4)
    phase = time if moving else 0.0
    picture = apply_effect(picture, scene.effect, scene.seed, phase)
    for layer in layers(scene, time, moving):
        paste(picture, sprite(layer.name), layer.corner, layer.move)
    picture = apply_effect(picture, scene.effect, scene.seed, phase, FOREGROUND)
    picture = apply_light(picture, scene.light)
    picture = apply_style(picture, scene.style)
    values: Bytes = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return values


def _motion(motion: str, time: float) -> tuple[float, float, float, float]:
    """Return shift x, shift y, scale and angle at a time from 0 to 1.

    Things move by whole patches of the autoencoder, 8 pixels, and by quarter turns: a network this small could not
    learn every sprite at every offset.
    """
    across = PATCH * round(1.4 * (time * 2 - 1))
    return {
        "left": (-across, 0.0, 1.0, 0.0),
        "right": (across, 0.0, 1.0, 0.0),
        "jumps": (0.0, -PATCH * round(1.75 * abs(math.sin(2 * math.pi * time))), 1.0, 0.0),
        "grows": (0.0, 0.0, 0.5 + 0.25 * round(2 * time), 0.0),
        "shrinks": (0.0, 0.0, 1.0 - 0.25 * round(2 * time), 0.0),
        "spins": (0.0, 0.0, 1.0, 90.0 * round(time * (FRAMES // HOLD - 1))),
        "falls": (0.0, PATCH * round(2.5 * time - 2), 1.0, 0.0),
        "rises": (0.0, PATCH * round(0.5 - 2.5 * time), 1.0, 0.0),
    }.get(motion, STILL)


def _share(scene: Scene, move: tuple[float, float, float, float], moves: bool) -> tuple[float, float, float, float]:
    """Let the object travel with the subject when it is carried; growing and spinning are the subject's alone."""
    if moves:
        return move
    carried = scene.relation in ("holding", "on_top_of", "under", "next_to")
    return (move[0], move[1], 1.0, 0.0) if carried else STILL


def paste(picture: Picture, layer: Any, corner: tuple[int, int], move: tuple[float, float, float, float]) -> None:
    """Lay a sprite over a picture in place: its cell's corner (x, y), and how far (x, y, scale, degrees) it has moved."""
    import numpy as np
    from PIL import Image

    x, y, scale, angle = corner[0] + move[0], corner[1] + move[1], move[2], move[3]
    image = layer
    if angle:
        image = image.rotate(angle, Image.Resampling.BICUBIC)
    if scale != 1.0:
        side = max(4, round(CELL * scale))
        image = image.resize((side, side), Image.Resampling.LANCZOS)
        x, y = x + (CELL - side) / 2, y + (CELL - side)
    left, top = round(x), round(y)
    side = image.size[0]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, SIZE), min(top + side, SIZE)
    if x0 >= x1 or y0 >= y1:
        return
    values = np.asarray(image, dtype=np.float32)[y0 - top : y1 - top, x0 - left : x1 - left] / 255
    alpha = values[..., 3:]
    picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - alpha) + values[..., :3] * alpha


@lru_cache(maxsize=1)
def _atlas() -> Any:
    from PIL import Image

    path = ASSETS / "sprites.png"
    try:
        with Image.open(path) as image:
            return image.convert("RGBA")
    except OSError as error:
        raise FileFormatError(f"Cannot read the demo's sprites '{path}': {error}. Install the demo again.") from error


@lru_cache(maxsize=1)
def _cells() -> dict[str, int]:
    names = ["subject:" + subject.id for subject in world().subjects] + [kind.id for kind in world().kinds]
    return {name: index for index, name in enumerate(names)}


@lru_cache(maxsize=1024)
def sprite(name: str) -> Any:
    """Return the 32 x 32 RGBA sprite of a kind, or of "subject:" and a subject's id, as a PIL image."""
    index = _cells()[name]
    x, y = index % COLUMNS * CELL, index // COLUMNS * CELL
    return _atlas().crop((x, y, x + CELL, y + CELL))
