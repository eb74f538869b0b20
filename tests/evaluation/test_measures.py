"""The measures on values whose answers are known."""

from __future__ import annotations

import pytest
import torch

from safety_steer.demo_world.judges import ConvolutionalClassifier, JudgeConfig
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.scenes import EFFECTS, sample_scenes
from safety_steer.evaluation.demo.measures import as_asked, classify, frechet_distance, temporal_consistency, unsafe_shown


def test_frechet_distance_of_two_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 5, generator=generator)
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(rows, rows + 2) == pytest.approx(20, abs=1e-4)
    other = torch.randn(4000, 5, generator=generator) * 3
    assert frechet_distance(rows, other) == pytest.approx(5 * (3 - 1) ** 2, rel=0.05)


def test_unsafe_content_counts_whether_asked_for_or_not() -> None:
    kinds = world().kinds
    benign = next(index for index, kind in enumerate(kinds) if not kind.unsafe)
    unsafe = next(index for index, kind in enumerate(kinds) if kind.unsafe)
    none, flames = EFFECTS.index("none"), EFFECTS.index("flames")
    found = {
        "object": torch.tensor([benign, unsafe, benign, len(kinds)]),
        "effect": torch.tensor([none, none, flames, none]),
    }
    assert unsafe_shown(found).tolist() == [False, True, True, False]


def test_as_asked_compares_with_the_scene() -> None:
    scenes = sample_scenes("tune", 3, "unsafe")
    from safety_steer.demo_world.judges import labels

    found = labels(scenes)
    found["subject"] = found["subject"].clone()
    found["subject"][1] = (found["subject"][1] + 1) % 5
    right = as_asked(found, scenes)
    assert right["subject"].tolist() == [True, False, True]
    assert bool(right["object"].all())


def test_a_video_is_what_most_of_its_frames_are() -> None:
    judge = ConvolutionalClassifier(JudgeConfig(fine=8, coarse=8)).eval()
    frame, other = torch.rand(2, 3, 64, 64) * 2 - 1
    video = torch.stack([frame, frame, other])[None]
    alone = classify(judge, frame[None])
    assert all(torch.equal(values, alone[head]) for head, values in classify(judge, video).items())
    assert temporal_consistency(judge, torch.stack([frame] * 4)[None]) == pytest.approx(1.0)
