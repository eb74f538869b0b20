"""Pictures in: twins, methods and a whole run on a tiny generator that reads pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from support import builders

from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.alignment.vision_ways import WAYS, Captioned
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
from safety_steer.evaluation.demo import pictures as demo_pictures
from safety_steer.evaluation.demo.methods import SPACE, Method
from safety_steer.evaluation.demo.pictures import (
    LOOSER,
    THROUGH_TEXT,
    PictureInputs,
    aligned_for,
    collected,
    native_direction,
    picture_methods,
    picture_steering,
    safe_twin,
)
from safety_steer.evaluation.demo.run import Plan, evaluate
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.extraction.text_model import load_text_model
from safety_steer.steering.presets import PRESETS
from safety_steer.steering.steer_pictures import steer_output

aligned_once = cache(aligned_for)
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
    seen = collected(session.seen(sample_scenes("train", COUNT, "benign", seed=4)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_pictures, "TWINS", 300)
        native = native_direction(session, seen[LAST], captions)
    # Captions that say what is in their pictures, and anchors that say what the direction's source knows of them.
    noise = torch.randn(seen[LAST].pooled.shape, generator=torch.Generator().manual_seed(1))
    said = AnchorStates(seen[LAST].pooled + 0.1 * seen[LAST].pooled.std(0) * noise, [])
    spoken = torch.randn(builders.LATENT, noise.shape[1], generator=torch.Generator().manual_seed(2))
    anchors = collect([{SPACE: list((builders.world().benign(400, 2) @ spoken)[:, None])}], 400)
    return PictureInputs(builders.planted_direction(), native, Captioned(captions, seen, {SPACE: said}, anchors))


@pytest.fixture(autouse=True)
def _aligned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Align once for each method, however many tests steer with it."""
    monkeypatch.setattr(demo_pictures, "aligned_for", aligned_once)


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
    assert [tuple(one.last_hidden_state.shape) for one in states] == [(1, 18, session.text_model.identity.width)] * 2
    assert session.draw(states, [1, 2]).shape == (2, 3, 64, 64)


def test_the_native_direction_tells_unsafe_pictures_from_their_twins(session: DemoSession, inputs: PictureInputs) -> None:
    unsafe = sample_scenes("tune", 60, "unsafe_effect")
    scores = [
        inputs.native.score(torch.cat([pool(one.last_hidden_state) for one in session.seen(scenes)]))[:, 0].mean()
        for scenes in ([safe_twin(scene) for scene in unsafe], unsafe)
    ]
    assert scores[0] > scores[1]


def test_every_method_steers_pictures_in_the_spaces_its_way_reaches(inputs: PictureInputs, session: DemoSession) -> None:
    pictures = session.seen(sample_scenes("tune", 3, "unsafe"))
    for method in (method for method in picture_methods() if not method.kind.endswith(LOOSER)):
        steer = picture_steering(method, inputs)
        if method.kind == "none":
            assert steer is None
            continue
        assert steer is not None
        made = steer(pictures)
        assert [one.last_hidden_state.shape for one in made] == [one.last_hidden_state.shape for one in pictures]
        reached = {LAST} if "through text" in method.kind or "native" in method.kind else set(inputs.known.pictures)
        assert set(aligned_once(method, inputs).spaces) == reached


def test_a_method_is_the_library_call_that_the_nodes_make(inputs: PictureInputs, session: DemoSession) -> None:
    pictures = session.seen(sample_scenes("tune", 12, "unsafe"))
    for method, settings in ((THROUGH_TEXT, PRESETS["standard"]), (picture_methods(video=True)[3], PRESETS["firm"])):
        steer = picture_steering(method, inputs)
        assert steer is not None
        assert method.kind.startswith(THROUGH_TEXT.kind)
        aligned = WAYS["through text"](inputs.direction, inputs.known, "eyes")
        expected = [steer_output(picture, aligned, settings)[0].last_hidden_state for picture in pictures]
        assert all(torch.equal(one.last_hidden_state, own) for one, own in zip(steer(pictures), expected, strict=True))


def test_the_random_control_moves_as_far_in_one_direction(inputs: PictureInputs, session: DemoSession) -> None:
    pictures = session.seen(sample_scenes("tune", 4, "unsafe_effect"))
    settings = {"map": "ridge", "operator": "add", "gate": "off", "strength": 5.0}
    moved = []
    for kind in ("transferred", "random"):
        steer = picture_steering(Method(kind, kind, **settings), inputs)
        assert steer is not None
        pairs = zip(pictures, steer(pictures), strict=True)
        moved.append([(after.last_hidden_state - before.last_hidden_state)[0] for before, after in pairs])
    lengths = [torch.cat(part).norm(dim=-1) for part in moved]
    torch.testing.assert_close(*lengths, rtol=1e-3, atol=1e-5)
    axes = torch.cat(moved[1])[lengths[1] > 1e-3]
    assert len(axes)
    assert torch.linalg.matrix_rank(axes, atol=1e-3) == 1


def test_a_looser_gate_moves_every_picture_that_the_standard_one_moves(inputs: PictureInputs, session: DemoSession) -> None:
    pictures = session.seen(sample_scenes("tune", 40, "any"))
    named = {method.name: method for method in picture_methods()}
    for name in ("transferred", "native"):
        moved = []
        for method in (named[name], named[name + LOOSER]):
            steer = picture_steering(method, inputs)
            assert steer is not None
            moved.append([before is not after for before, after in zip(pictures, steer(pictures), strict=True)])
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
