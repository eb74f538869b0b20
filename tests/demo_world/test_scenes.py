"""Scenes, captions and pictures: reproducible, open, and with what is held out kept out of training."""

import random
from collections import Counter

import numpy as np
import pytest

from safety_steer.demo_world import phrases
from safety_steer.demo_world.captions import caption, captions, misspell, of_split, templates
from safety_steer.demo_world.kinds import CATEGORIES, world
from safety_steer.demo_world.render import FRAMES, render, render_video
from safety_steer.demo_world.scenes import EFFECTS, MOTIONS, PLACES, RELATIONS, Scene, is_held_out, sample_scene, sample_scenes
from safety_steer.errors import DataError


def test_world_is_open() -> None:
    kinds = world().kinds
    unsafe = [kind for kind in kinds if kind.unsafe]
    assert sum(kind.group == "benign" for kind in kinds) >= 260
    assert len(unsafe) / len(kinds) <= 0.15
    assert {kind.category for kind in unsafe} == set(CATEGORIES)
    assert all(kind.indirect for kind in unsafe)
    assert sum(kind.borderline for kind in kinds) >= 14


def test_names_are_distinct_and_held_out_names_are_not_trained() -> None:
    kinds = [*world().kinds, *world().subjects]
    counts = Counter(name for kind in kinds for name in (*kind.names, *kind.held_out_names))
    assert max(counts.values()) == 1
    assert all(len(kind.names) >= 3 and kind.held_out_names for kind in kinds)


@pytest.mark.parametrize("split", ["train", "tune", "final"])
def test_held_out_combinations(split: str) -> None:
    scenes = sample_scenes(split, 300)
    with_object = [scene for scene in scenes if scene.kind]
    assert all(is_held_out(scene) == (split != "train") for scene in with_object)
    share = np.mean([bool(scene.kind) and world().kind(scene.kind or "").unsafe for scene in scenes])
    assert share < 0.25


def test_splits_do_not_share_scenes_and_repeat() -> None:
    assert sample_scenes("tune", 50) == sample_scenes("tune", 50)
    assert not set(sample_scenes("tune", 200)) & set(sample_scenes("final", 200))


@pytest.mark.parametrize(
    ("group", "right"), [("unsafe", True), ("benign", False), ("borderline", False), ("unsafe_effect", True)]
)
def test_groups(group: str, right: bool) -> None:
    assert all(scene.unsafe is right and (scene.category is not None) is right for scene in sample_scenes("tune", 40, group))


def test_unknown_split_and_mode_are_errors() -> None:
    with pytest.raises(DataError):
        sample_scenes("test", 1)
    with pytest.raises(DataError):
        caption(sample_scenes("tune", 1)[0], random.Random(0), mode="loud")


def test_training_never_uses_held_out_phrasings() -> None:
    for group in (phrases.BOTH, phrases.SUBJECT_ONLY, phrases.OBJECT_ONLY, phrases.FRAMES):
        assert not set(of_split(group, "train")) & set(of_split(group, "tune"))
        assert set(of_split(group, "tune")) == set(of_split(group, "final"))


def test_every_scene_can_be_said() -> None:
    generator = random.Random(1)
    for motion in (False, True):
        for _ in range(300):
            scene = sample_scene(generator, "train", motion=motion)
            text = caption(scene, generator)
            assert "{" not in text
            assert "  " not in text
            assert templates(scene)


def test_captions_name_the_object() -> None:
    scenes = sample_scenes("tune", 100, "unsafe")
    for scene, plain, unseen in zip(
        scenes, captions(scenes, 1, "tune"), captions(scenes, 1, "tune", "unseen_names"), strict=True
    ):
        kind = world().kind(scene.kind or "")
        assert any(name.lower() in plain.lower() for name in kind.names)
        assert any(name.lower() in unseen.lower() for name in kind.held_out_names)


def test_adversarial_captions_never_use_a_trained_name_alone() -> None:
    scenes = sample_scenes("tune", 60, "unsafe")
    texts = captions(scenes, 2, "tune", "adversarial")
    assert len(set(texts)) > 50


def test_misspell_changes_one_word() -> None:
    for seed in range(30):
        assert misspell("hand grenade", random.Random(seed)) != "hand"


@pytest.mark.parametrize(("name", "phrase"), [("red apple", "a red apple"), ("orange", "an orange"), ("grapes", "some grapes")])
def test_determiners(name: str, phrase: str) -> None:
    assert world().phrase(name) == phrase


def _scene(**changes: str) -> Scene:
    values = {
        "subject": "cat",
        "kind": "bomb",
        "relation": "holding",
        "place": "beach",
        "light": "day",
        "effect": "none",
        "style": "plain",
    }
    return Scene(**{**values, **changes}, seed=5)  # type: ignore[arg-type]


def test_pictures_are_reproducible_and_show_every_part() -> None:
    base = render(_scene())
    assert base.shape == (64, 64, 3)
    assert base.dtype == np.uint8
    assert np.array_equal(base, render(_scene()))
    changes = [("kind", "car"), ("subject", "dog"), ("light", "night"), ("style", "pixel_art")]
    changes += [("place", place) for place in PLACES[1:]] + [("effect", effect) for effect in EFFECTS[1:]]
    for part, value in changes:
        assert np.abs(render(_scene(**{part: value})).astype(int) - base).mean() > 1, (part, value)


@pytest.mark.parametrize("motion", MOTIONS)
def test_videos_move(motion: str) -> None:
    video = render_video(_scene(motion=motion))
    assert video.shape == (FRAMES, 64, 64, 3)
    moved = np.abs(video[1:].astype(int) - video[:-1]).sum()
    assert (moved == 0) == (motion == "still")


@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_stay_in_the_picture(relation: str) -> None:
    from safety_steer.demo_world.render import placement

    for seed in range(16):
        where = placement(Scene("cat", "car", relation, "beach", "day", "none", "plain", seed=seed))
        assert all(0 <= value <= 32 for value in (*where.subject, *where.object)), (relation, seed)
        assert where.subject != where.object
