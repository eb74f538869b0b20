"""Pictures as a context: what the tower sees, how a reader turns it into words, and the training's words for scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import ImageTextEmbedding, JudgeConfig, labels
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.picture_reader import LONGEST, PictureReader
from safety_steer.demo_world.pictures import look, no_picture, picture_context
from safety_steer.demo_world.sampling import DemoGenerator, generate
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.demo_world.weights import load_network, save_weights
from training.from_pictures import WIDTH, picture_dataset
from training.picture_words import ORDER, heads, true_words

CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # sums in another order
READER = {"picture_width": 16, "picture_hidden": 8, "picture_heads": (5, 3), "picture_frame": 2}
SMALL = TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12, **READER)


@pytest.fixture
def network() -> SceneTransformer:
    torch.manual_seed(0)
    made = SceneTransformer(SMALL)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        made.reader.words[0, 3:] = 0
    return made.eval().requires_grad_(False)


def draw(network: SceneTransformer, context: torch.Tensor, seed: int = 1) -> torch.Tensor:
    autoencoder = Autoencoder(AutoencoderConfig(fine=8, coarse=8)).eval()
    torch.manual_seed(0)
    for parameter in autoencoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    generator = DemoGenerator(network, autoencoder, "all-MiniLM-L6-v2", None)
    assert generator.reads_pictures
    return generate(generator, context, no_picture(16), [seed], steps=3)


def test_the_tower_says_the_picture_part_by_part() -> None:
    torch.manual_seed(0)
    embedding = ImageTextEmbedding(JudgeConfig(fine=8, coarse=24)).eval()
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    seen, features = look(embedding, pictures), embedding.tower(pictures)
    assert seen.last_hidden_state.shape == seen.penultimate_hidden_states.shape == (2, 64, 24)
    assert torch.equal(seen.last_hidden_state[:, 3 * 8 + 5], features[:, :, 3, 5])
    assert torch.equal(seen.image_embeds, embedding.pictures(pictures))
    assert not torch.equal(seen.last_hidden_state, seen.penultimate_hidden_states)


def test_a_picture_changes_what_is_drawn_and_padding_does_not(network: SceneTransformer) -> None:
    context = torch.randn(1, 6, 16)
    drawn = draw(network, context)
    padded = torch.cat([context, torch.zeros(1, 3, 16)], 1)
    torch.testing.assert_close(draw(network, padded), drawn, **CLOSE)
    assert not torch.allclose(draw(network, torch.randn(1, 6, 16)), drawn)


def test_the_order_of_places_says_nothing(network: SceneTransformer) -> None:
    context = torch.randn(1, 6, 16)
    torch.testing.assert_close(draw(network, context[:, torch.randperm(6)]), draw(network, context), **CLOSE)


def test_no_picture_is_the_empty_caption(network: SceneTransformer) -> None:
    reader = network.reader
    assert isinstance(reader, PictureReader)
    states, shares = reader(no_picture(16))
    assert torch.equal(states[0, :2], reader.silence)
    assert shares.tolist() == [[1.0, 1.0] + [0.0] * (2 + 2 * LONGEST)]
    told_by_words = SceneTransformer(replace(SMALL, picture_width=0)).eval()
    weights = network.state_dict().items()
    told_by_words.load_state_dict({name: value for name, value in weights if not name.startswith("reader.")})
    x, times = torch.randn(1, 32, 8, 8), torch.tensor([500.0])
    torch.testing.assert_close(network(x, times, no_picture(16)), told_by_words(x, times, reader.silence[None]), **CLOSE)


def test_a_sure_reader_says_the_states_of_one_word(network: SceneTransformer) -> None:
    reader = network.reader
    assert isinstance(reader, PictureReader)
    with torch.no_grad():
        reader.scores.weight.zero_()
        reader.scores.bias.zero_()
        reader.scores.bias[[0, 7]] = 20.0
    states, shares = reader(torch.randn(1, 4, 16))
    first, second = states[0, 4 : 4 + LONGEST], states[0, 4 + LONGEST :]
    torch.testing.assert_close(first[:3], reader.words[0, :3])
    assert shares[0, 4 : 4 + LONGEST].tolist() == [1.0] * 3 + [0.0] * (LONGEST - 3)
    torch.testing.assert_close(second, reader.words[7])
    assert shares[0, :4].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_an_unsure_reader_says_no_word(network: SceneTransformer) -> None:
    reader = network.reader
    assert isinstance(reader, PictureReader)
    with torch.no_grad():
        reader.scores.weight.zero_()
        reader.scores.bias.zero_()
        reader.scores.bias[-1] = 20.0
    _, shares = reader(torch.randn(1, 4, 16))
    assert float(shares[0, 4:].max()) < 1e-3


def test_strength_1_leaves_states_alone_and_0_is_no_picture(network: SceneTransformer) -> None:
    states = torch.randn(2, 4, 16)
    assert torch.equal(picture_context([states], [1.0]), states.flatten(0, 1)[None])
    assert torch.equal(picture_context([states[:1], states[1:]], [1.0, 1.0]), picture_context([states], [1.0]))
    torch.testing.assert_close(draw(network, picture_context([states], [0.0])), draw(network, no_picture(16)), **CLOSE)
    half = picture_context([states], [0.5])
    assert not torch.allclose(draw(network, half), draw(network, picture_context([states], [1.0])))


def test_a_file_keeps_a_generator_that_reads_pictures(network: SceneTransformer, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", "generator", network, {})
    loaded = load_network(tmp_path / "w.safetensors", "generator")
    assert isinstance(loaded, SceneTransformer)
    assert loaded.config.reads == 16
    torch.testing.assert_close(draw(loaded, torch.ones(1, 3, 16)), draw(network, torch.ones(1, 3, 16)), rtol=0.1, atol=0.1)


def test_every_scene_has_its_true_words() -> None:
    scenes = sample_scenes("train", 60, seed=3)
    assert {head.name for head in heads()} == set(ORDER)
    truth = labels(scenes)
    for head, answers in zip(heads(), true_words(scenes), strict=True):
        assert len(set(head.words)) == len(head.words)
        assert 0 <= int(answers.min()) <= int(answers.max()) <= len(head.words)
        assert len(torch.unique(torch.stack([answers, truth[head.name]]), dim=1)[0]) == len(truth[head.name].unique())
    objects = next(answers for head, answers in zip(heads(), true_words(scenes), strict=True) if head.name == "object")
    words = next(head.words for head in heads() if head.name == "object")
    for scene, answer in zip(scenes, objects.tolist(), strict=True):
        said = None if scene.kind is None else world().phrase(world().kind(scene.kind).names[0])
        assert (words[answer] if answer < len(words) else None) == said


def test_the_towers_states_are_computed_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    embedding = ImageTextEmbedding(JudgeConfig(fine=8, coarse=WIDTH)).eval()
    autoencoder = Autoencoder(AutoencoderConfig(fine=8, coarse=8)).eval()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    first = np.array(picture_dataset(tmp_path / "t.npy", pictures, embedding, autoencoder))
    assert first.shape == (6, 64, WIDTH)
    again = picture_dataset(tmp_path / "t.npy", pictures[::-1], embedding, autoencoder)
    assert np.array_equal(first, again)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.npy"]
