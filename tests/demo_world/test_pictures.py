"""Pictures as a context: what the eyes say of them, how a reader turns places into words, and the words of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import ImageTextEmbedding, JudgeConfig, labels
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.picture_reader import DOUBT, LONGEST, PictureReader, ReaderConfig
from safety_steer.demo_world.pictures import Eyes, load_eyes, picture_context
from safety_steer.demo_world.sampling import load_generator
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.weights import load_network, save_weights, weights_path
from safety_steer.errors import FileFormatError
from training.from_pictures import WIDTH, picture_dataset
from training.picture_words import ORDER, heads, true_words

CONFIG = ReaderConfig(width=24, hidden=8, heads=(5, 3), text_width=12, frame=2)


@pytest.fixture
def reader() -> PictureReader:
    torch.manual_seed(0)
    made = PictureReader(CONFIG)
    with torch.no_grad():
        made.words.normal_()
        made.words[0, 3:] = 0
        made.frame.normal_()
    return made.eval().requires_grad_(False)


def sure_of(reader: PictureReader, *words: int) -> PictureReader:
    """Have a reader find some words at every place, and no other."""
    with torch.no_grad():
        reader.scores.weight.zero_()
        reader.scores.bias.fill_(-20.0)
        reader.scores.bias[[*words]] = 20.0
    return reader


def test_eyes_say_the_picture_place_by_place_and_in_words(reader: PictureReader) -> None:
    embedding = ImageTextEmbedding(JudgeConfig(fine=8, coarse=24)).eval()
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    seen, features = Eyes(embedding, reader).look(pictures), embedding.tower(pictures)
    assert seen.penultimate_hidden_states.shape == (2, 64, 24)
    assert torch.equal(seen.penultimate_hidden_states[:, 3 * 8 + 5], features[:, :, 3, 5])
    assert torch.equal(seen.last_hidden_state, reader(seen.penultimate_hidden_states))
    assert seen.last_hidden_state.shape == (2, 2 + 2 * LONGEST, 12)
    assert torch.equal(seen.image_embeds, embedding.pictures(pictures))


def test_an_answer_is_the_states_of_its_likeliest_word(reader: PictureReader) -> None:
    states = sure_of(reader, 0, 7)(torch.randn(3, 4, 24))
    assert torch.equal(states[:, :2], reader.frame.expand(3, -1, -1))
    assert torch.equal(states[1, 2 : 2 + LONGEST], reader.words[0])
    assert torch.equal(states[2, 2 + LONGEST :], reader.words[7])


def test_without_evidence_there_is_no_word(reader: PictureReader) -> None:
    states = sure_of(reader)(torch.randn(1, 4, 24))
    with torch.no_grad():
        reader.scores.bias.zero_()
        reader.scores.bias[-1] = 20.0
    assert not reader(torch.randn(1, 4, 24))[:, 2:].any()
    assert states[:, :2].any()


def test_evidence_adds_up_over_places_in_any_order(reader: PictureReader) -> None:
    places = torch.randn(1, 6, 24)
    torch.testing.assert_close(reader.evidence(places[:, torch.randperm(6)]), reader.evidence(places))
    scores = reader.scores(torch.nn.functional.gelu(reader.enter(places)))[0].double()
    odds = (scores[:, :-1] - scores[:, -1:]).exp().sum(0).log()
    torch.testing.assert_close(reader.evidence(places)[0].double(), odds, rtol=1e-4, atol=1e-4)
    assert DOUBT > 0


def test_strength_1_leaves_states_alone_and_0_leaves_the_picture_out() -> None:
    states = torch.randn(2, 4, 16)
    both = picture_context([states], [1.0])
    assert both is not None
    assert torch.equal(both, states.flatten(0, 1)[None])
    apart = picture_context([states[:1], states[1:]], [1.0, 1.0])
    assert apart is not None
    assert torch.equal(apart, both)
    assert picture_context([states, states], [0.0, 0.0]) is None
    one = picture_context([states[:1], states[1:]], [0.0, 0.5])
    assert one is not None
    assert torch.equal(one, states[1:] * 0.5)


def test_a_file_keeps_a_reader(reader: PictureReader, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", "picture-reader", reader, {})
    loaded = load_network(tmp_path / "w.safetensors", "picture-reader")
    assert isinstance(loaded, PictureReader)
    assert loaded.config == CONFIG
    torch.testing.assert_close(loaded(torch.ones(1, 3, 24)), reader(torch.ones(1, 3, 24)), rtol=1e-2, atol=1e-2)
    with pytest.raises(FileFormatError, match="Expected a demo picture-reader"):
        load_network(weights_path("embedding"), "picture-reader")


def test_the_bundled_eyes_speak_the_language_of_the_generator() -> None:
    eyes, generator = load_eyes(), load_generator("image-from-picture")
    assert generator.reads_pictures
    assert not load_generator("image").reads_pictures
    assert eyes.reader.config.text_width == generator.network.config.context_width
    assert eyes.reader.config.heads == tuple(len(head.words) for head in heads())


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
