"""What the judges learn from, rendered as they go: scenes of every combination, and composites of four sprites.

A composite teaches four kinds at once, anywhere, smaller, larger or turned as in videos. No generator sees one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safety_steer.demo_world.backgrounds import background
from safety_steer.demo_world.effects import apply_effect, apply_light, apply_style
from safety_steer.demo_world.judges import LOCAL_HEADS, class_counts, labels, to_network
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.render import CELL, FOREGROUND, SIZE, paste, placement, render, render_frame, sprite
from safety_steer.demo_world.scenes import EFFECTS, STYLES, Scene, sample_scene

CELLS = 8
UNSURE = -100  # the class that cross-entropy leaves out


@dataclass(frozen=True)
class Lesson:
    """Pictures (B, 3, 64, 64) with the truth per head (B,), and what stands at every place, (B, 64) per local head.

    Both use -100 where nothing is asked.
    """

    pictures: Tensor
    truth: dict[str, Tensor]
    places: dict[str, Tensor]


def lesson(number: int, count: int) -> Lesson:
    """Render one batch: half scenes, half composites; the same number gives the same batch."""
    generator = random.Random(f"judges|{number}")
    scenes = [any_scene(generator) for _ in range(count)]
    truth = labels(scenes)
    places = {head: np.full((count, CELLS, CELLS), class_counts()[head] - 1) for head in LOCAL_HEADS}
    pictures = []
    for index, scene in enumerate(scenes):
        here = {head: values[index] for head, values in places.items()}
        if index % 2:
            pictures.append(_composite(scene, generator, here))
            for head in LOCAL_HEADS:
                truth[head][index] = UNSURE
        else:
            pictures.append(render_frame(scene, generator.random()) if scene.motion != "still" else render(scene))
            _mark_scene(scene, {head: int(truth[head][index]) for head in LOCAL_HEADS}, here)
    flat = {head: torch.from_numpy(values).flatten(1) for head, values in places.items()}
    return Lesson(to_network(torch.from_numpy(np.stack(pictures))), truth, flat)


def any_scene(generator: random.Random) -> Scene:
    """Draw a scene in which every kind is as frequent as any other, and effects and unusual styles are frequent."""
    kind = generator.choice([None] * 20 + [kind.id for kind in world().kinds])
    scene = sample_scene(generator, "train", "any", generator.random() < 0.3)
    effect = generator.choice(EFFECTS) if generator.random() < 0.6 else scene.effect
    style = generator.choices(STYLES, (6, 3, 3))[0]
    subject = scene.subject if kind else scene.subject or generator.choice(world().subjects).id
    return replace(scene, kind=kind, effect=effect, subject=subject, style=style)


def _composite(scene: Scene, generator: random.Random, places: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
    names = [("object", index, kind.id) for index, kind in enumerate(world().kinds)]
    names += [("subject", index, "subject:" + kind.id) for index, kind in enumerate(world().subjects)] * 3
    picture = apply_effect(background(scene.place, scene.light, scene.seed // 16 % 4), scene.effect, scene.seed)
    for corner in ((0, 0), (CELL, 0), (0, CELL), (CELL, CELL)):
        head, index, name = generator.choice(names)
        scale = generator.uniform(0.55, 1.1) if generator.random() < 0.3 else 1.0
        angle = generator.uniform(0, 360) if generator.random() < 0.12 else 0.0
        x, y = (min(max(value + generator.randint(-6, 6), 0), SIZE - CELL) for value in corner)
        paste(picture, sprite(name), (x, y), (0.0, 0.0, scale, angle))
        centre = CELL - round(CELL * scale) / 2 if scale != 1.0 else CELL / 2
        _mark(places, head, index, x + CELL // 2, y + centre)
    picture = apply_effect(picture, scene.effect, scene.seed, 0.0, FOREGROUND)
    picture = apply_style(apply_light(picture, scene.light), scene.style)
    pixels: NDArray[np.uint8] = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return pixels


def _mark_scene(scene: Scene, truth: dict[str, int], places: dict[str, NDArray[Any]]) -> None:
    if scene.motion != "still":
        for values in places.values():
            values[:] = UNSURE
        return
    where = placement(scene)
    for head, there, (x, y) in (("subject", scene.subject, where.subject), ("object", scene.kind, where.object)):
        if there is not None:
            _mark(places, head, truth[head], x + CELL // 2, y + CELL // 2)


def _mark(places: dict[str, NDArray[Any]], head: str, index: int, x: float, y: float) -> None:
    """Write a sprite's class on the 2 x 2 places about its middle; the ring about them is left unsure where nothing stands."""
    values, size = places[head], SIZE // CELLS
    column, row = round(x / size), round(y / size)
    ring = values[max(row - 2, 0) : row + 2, max(column - 2, 0) : column + 2]
    ring[ring == class_counts()[head] - 1] = UNSURE
    values[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1] = index
