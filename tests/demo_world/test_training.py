"""What the demo's networks learn from: batches that say the truth, and a generator that is taught by name."""

from dataclasses import replace

import pytest
import torch

from safety_steer.demo_world.judges import class_counts, labels, to_network
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.render import FRAMES, render, render_video
from safety_steer.demo_world.scenes import HOLD, MOTIONS, sample_scenes
from safety_steer.demo_world.transformer import TransformerConfig, from_grid, to_grid
from training.auxiliary_head import FOCUS, TaughtTransformer, chosen, focus, taught_loss, what_stands_where
from training.composites import UNSURE, lesson

SMALL = TransformerConfig(channels=4, width=32, depth=4, heads=2, hidden=32, context_width=12)


def test_lessons_repeat_and_differ() -> None:
    first, again, other = lesson(1, 6), lesson(1, 6), lesson(2, 6)
    assert torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.pictures, other.pictures)


def test_scenes_and_composites_take_turns_and_composites_have_no_one_answer() -> None:
    one = lesson(3, 8)
    assert (one.truth["object"][1::2] == UNSURE).all()
    assert (one.truth["object"][::2] != UNSURE).all()
    assert all((one.truth[head] != UNSURE).all() for head in ("effect", "place", "light", "style"))


def test_every_place_is_a_class_or_unsure() -> None:
    one = lesson(4, 16)
    for head, values in one.places.items():
        asked = values[values != UNSURE]
        assert 0 <= asked.min()
        assert asked.max() < class_counts()[head]
    composites = one.places["object"][1::2]
    assert ((composites != UNSURE) & (composites != class_counts()["object"] - 1)).any(1).float().mean() > 0.8


def test_what_stands_where_is_where_the_pixels_change() -> None:
    scenes = [scene for scene in sample_scenes("train", 200, "benign", seed=5) if scene.subject and scene.relation == "next_to"]
    names, _ = what_stands_where(scenes)
    for scene, named, answer in zip(scenes, names, labels(scenes)["object"], strict=True):
        there = (named == 1 + answer).view(8, 8)
        assert there.sum() == FOCUS
        other = next(kind.id for kind in world().kinds if kind.id != scene.kind)
        changed = (render(scene) != render(replace(scene, kind=other))).any(-1)
        blocks = torch.from_numpy(changed).view(8, 8, 8, 8).any(3).any(1)
        assert blocks.any()
        assert not (blocks & ~there).any()


def test_focus_keeps_the_tokens_of_the_object() -> None:
    scenes = [scene for scene in sample_scenes("train", 40, "unsafe", seed=6) if scene.subject]
    names, weights = what_stands_where(scenes)
    kept = focus(weights)
    assert kept.shape == (len(scenes), FOCUS)
    objects = names.gather(1, kept)
    visible = ((names > 0) & (names < 1 + class_counts()["object"])).sum(1)
    assert torch.equal(((objects > 0) & (objects < 1 + class_counts()["object"])).sum(1), visible)


@pytest.mark.parametrize("frames", [1, FRAMES])
def test_plain_generator_is_the_taught_one(frames: int) -> None:
    torch.manual_seed(0)
    taught = TaughtTransformer(replace(SMALL, frames=frames)).eval()
    torch.nn.init.normal_(taught.leave.weight, std=0.1)
    latents = torch.randn(2, 4, frames, 8, 8) if frames > 1 else torch.randn(2, 4, 8, 8)
    times, context = torch.tensor([100.0, 900.0]), torch.randn(2, 5, 12)
    velocity, said = taught.learn(latents, times, context, None)
    assert torch.equal(from_grid(velocity, latents), taught.plain()(latents, times, context))
    assert said.shape == (2, 64 * max(1, frames // HOLD), 1 + class_counts()["object"] + class_counts()["subject"])


def test_a_token_of_a_video_is_a_patch_of_the_frames_that_hold_a_pose() -> None:
    latents = torch.randn(2, 4, FRAMES, 8, 8)
    grid = to_grid(latents)
    assert grid.shape == (2, FRAMES // HOLD * 64, HOLD * 4)
    assert torch.equal(from_grid(grid, latents), latents)
    pose, row, column = 2, 3, 5
    token = chosen(grid, torch.tensor([[pose * 64 + row * 8 + column]] * 2))[1, 0]
    assert torch.equal(token.view(HOLD, 4), latents[1, :, pose * HOLD : (pose + 1) * HOLD, row, column].T)


@pytest.mark.parametrize("motion", MOTIONS)
def test_what_stands_where_goes_along_with_what_moves(motion: str) -> None:
    scenes = [replace(scene, motion=motion) for scene in sample_scenes("train", 12, "benign", seed=5, motion=True)]
    names, _ = what_stands_where(scenes, FRAMES // HOLD)
    framewise = names.view(-1, FRAMES // HOLD, 8, 8).repeat_interleave(HOLD, 1)
    for scene, named, answer in zip(scenes, framewise, labels(scenes)["object"], strict=True):
        there = named == 1 + answer
        other = next(kind.id for kind in world().kinds if kind.id != scene.kind)
        changed = (render_video(scene) != render_video(replace(scene, kind=other))).any(-1)
        blocks = torch.from_numpy(changed).view(FRAMES, 8, 8, 8, 8).any(4).any(2)
        assert blocks.any()
        assert not (blocks & ~there).any()


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("focused", [False, True])
def test_taught_loss_falls(focused: bool, frames: int) -> None:
    torch.manual_seed(0)
    scenes = sample_scenes("train", 8, "benign", motion=frames > 1)
    drawn = [render_video(scene, frames) if frames > 1 else render(scene) for scene in scenes]
    pictures = to_network(torch.stack([torch.from_numpy(value) for value in drawn]).flatten(0, -4))
    clean = torch.nn.functional.avg_pool2d(pictures, 8)
    clean = torch.cat([clean, clean[:, :1]], 1)
    if frames > 1:
        clean = clean.unflatten(0, (8, frames)).transpose(1, 2)
    network = TaughtTransformer(replace(SMALL, frames=frames))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    names, weights = what_stands_where(scenes, max(1, frames // HOLD))
    kept = focus(weights) if focused else None
    context, noise, times = torch.randn(8, 5, 12), torch.randn_like(clean), torch.full((8,), 0.9)
    losses = []
    for _ in range(30):
        loss = taught_loss(network, clean, noise, times, context, (names, weights, torch.ones(8)), kept)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
