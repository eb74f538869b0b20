"""Drawn pictures to align CLIP vision with: harmless, the same each time, and captioned."""

from __future__ import annotations

import numpy as np

from safety_steer.demo_world.drawn_pictures import draw, drawn_scenes


def test_they_are_harmless_and_the_same_each_time() -> None:
    scenes, captions = drawn_scenes(160)
    assert len(scenes) == len(captions) == 160
    assert not any(scene.unsafe for scene in scenes)
    assert (scenes, captions) == drawn_scenes(160)
    assert drawn_scenes(160, seed=1)[0] != scenes
    assert any(scene.kind is None for scene in scenes)


def test_each_is_drawn_as_a_picture() -> None:
    pictures = draw(drawn_scenes(3)[0])
    assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 3
    assert not np.array_equal(pictures[0], pictures[1])
