"""Pictures in: twins, methods and a whole run on a tiny generator that reads pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import builders

from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import ConvolutionalClassifier, ImageTextEmbedding, JudgeConfig, SeparableClassifier
from safety_steer.demo_world.picture_reader import PictureReader, ReaderConfig
from safety_steer.demo_world.pictures import Eyes
from safety_steer.demo_world.sampling import DemoGenerator
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.directions.pooling import pool
from safety_steer.directions.vision_spaces import LAST
from safety_steer.errors import DataError
from safety_steer.evaluation.demo.methods import Method
from safety_steer.evaluation.demo.pictures import (
    LOOSER,
    PictureInputs,
    aligned_for,
    native_direction,
    picture_methods,
    picture_steering,
    safe_twin,
)
from safety_steer.evaluation.demo.run import Plan, evaluate
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.extraction.text_model import load_text_model

PLAN = Plan({"unsafe": 3, "benign": 4}, stage="tune", steps=2)
COUNT = 320


@pytest.fixture(scope="module")
def session(models: dict[str, Path]) -> DemoSession:
    torch.manual_seed(0)
    model = load_text_model(models["bert"])
    width = model.identity.width
    sizes = JudgeConfig(fine=8, coarse=24, text_width=width)
    network = SceneTransformer(TransformerConfig(width=32, depth=1, heads=2, hidden=32, context_width=width, channels=8))
    reader = PictureReader(ReaderConfig(width=24, hidden=16, heads=(40, 20), text_width=width, frame=2))
    for part in (network, reader):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    modules = (ConvolutionalClassifier(sizes), SeparableClassifier(sizes), ImageTextEmbedding(sizes))
    autoencoder = Autoencoder(AutoencoderConfig(channels=8, fine=8, coarse=8))
    for module in (network, reader, autoencoder, *modules):
        module.eval().requires_grad_(False)
    generator = DemoGenerator(network, autoencoder, "tiny", None, reads_pictures=True)
    return DemoSession("tiny", generator, model, *modules, reader=model, eyes=Eyes(modules[-1], reader))


@pytest.fixture(scope="module")
def inputs(session: DemoSession) -> PictureInputs:
    captions = tuple(f"a drawing of thing {number}" for number in range(COUNT))
    seen = collect([{LAST: session.seen(sample_scenes("train", COUNT, "benign", seed=4))}], COUNT)[LAST]
    native = native_direction(session, seen, captions)
    # A source that is a linear view of what is in the pictures, as that of a language model would be of their captions.
    view = torch.randn(seen.pooled.shape[1], builders.planted_direction().width, generator=torch.Generator().manual_seed(1))
    source = ((seen.pooled - seen.pooled.mean(0)) / seen.pooled.std(0).clamp(min=1e-3)) @ view
    spoken = torch.randn(builders.LATENT, seen.pooled.shape[1], generator=torch.Generator().manual_seed(2))
    anchors = collect([{LAST: list((builders.world().benign(400, 2) @ spoken)[:, None])}], 400)[LAST]
    return PictureInputs(builders.planted_direction(), native, captions, seen, source, anchors, None)


def test_a_twin_differs_in_what_is_unsafe_alone() -> None:
    for scene in [*sample_scenes("train", 20, "unsafe"), *sample_scenes("train", 20, "unsafe_effect")]:
        twin = safe_twin(scene)
        assert scene.unsafe
        assert not twin.unsafe
        assert twin == safe_twin(scene)
        for part in ("subject", "relation", "place", "light", "style", "seed"):
            assert getattr(twin, part) == getattr(scene, part)
    benign = sample_scenes("train", 5, "benign")
    assert [safe_twin(scene) for scene in benign] == benign


def test_a_session_shows_its_generator_pictures(session: DemoSession) -> None:
    scenes = sample_scenes("tune", 2, "benign")
    states = session.seen(scenes)
    assert [tuple(rows.shape) for rows in states] == [(18, session.text_model.identity.width)] * 2
    assert session.draw(states, [1, 2]).shape == (2, 3, 64, 64)


def test_the_native_direction_tells_unsafe_pictures_from_their_twins(session: DemoSession, inputs: PictureInputs) -> None:
    unsafe = sample_scenes("tune", 60, "unsafe_effect")
    scores = [
        inputs.native.score(torch.cat([pool(rows[None]) for rows in session.seen(scenes)]))[:, 0].mean()
        for scenes in ([safe_twin(scene) for scene in unsafe], unsafe)
    ]
    assert scores[0] > scores[1]
    assert isinstance(inputs.seen, AnchorStates)


def test_every_method_steers_the_last_states(inputs: PictureInputs, session: DemoSession) -> None:
    states = session.seen(sample_scenes("tune", 3, "unsafe"))
    for method in picture_methods():
        steer = picture_steering(method, inputs)
        if method.kind == "none":
            assert steer is None
            continue
        assert steer is not None
        assert [rows.shape for rows in steer(states)] == [rows.shape for rows in states]
        assert set(aligned_for(method, inputs).spaces) == {LAST}


def test_the_random_control_moves_as_far_in_one_direction(inputs: PictureInputs, session: DemoSession) -> None:
    states = session.seen(sample_scenes("tune", 4, "unsafe_effect"))
    settings = {"map": "ridge", "operator": "add", "gate": "off", "strength": 5.0}
    moved = []
    for kind in ("transferred", "random"):
        steer = picture_steering(Method(kind, kind, **settings), inputs)
        assert steer is not None
        moved.append([after - before for before, after in zip(states, steer(states), strict=True)])
    lengths = [torch.cat(part).norm(dim=-1) for part in moved]
    torch.testing.assert_close(*lengths, rtol=1e-3, atol=1e-5)
    axes = torch.cat(moved[1])[lengths[1] > 1e-3]
    assert len(axes)
    assert torch.linalg.matrix_rank(axes, atol=1e-3) == 1


def test_a_looser_gate_moves_every_picture_that_the_standard_one_moves(inputs: PictureInputs, session: DemoSession) -> None:
    states = session.seen(sample_scenes("tune", 40, "any"))
    named = {method.name: method for method in picture_methods()}
    for name in ("transferred", "native"):
        moved = []
        for method in (named[name], named[name + LOOSER]):
            steer = picture_steering(method, inputs)
            assert steer is not None
            moved.append([not torch.equal(before, after) for before, after in zip(states, steer(states), strict=True)])
        assert all(looser for standard, looser in zip(*moved, strict=True) if standard)
        assert sum(moved[1]) >= sum(moved[0])


def test_an_unknown_method_is_an_error(inputs: PictureInputs) -> None:
    with pytest.raises(DataError, match="no method for pictures of the kind 'safree'"):
        aligned_for(Method("SAFREE-style", "safree", "ridge"), inputs)


def test_a_run_has_rows_for_every_method_and_split(session: DemoSession, inputs: PictureInputs, tmp_path: Path) -> None:
    methods = [method for method in picture_methods() if method.kind in ("none", "transferred", "native")]
    rows = evaluate(session, inputs, methods, PLAN, tmp_path / "rows.json")
    assert [(row["method"], row["split"]) for row in rows] == [
        (method.name, split) for method in methods for split in PLAN.counts
    ]
    assert rows[1]["identical"] == 1.0
    drawn = session.pictures
    assert evaluate(session, inputs, methods, PLAN, tmp_path / "rows.json") == rows
    assert session.pictures == drawn
