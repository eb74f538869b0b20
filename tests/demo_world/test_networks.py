"""The networks and their files: shapes, padding, determinism, and one clear error for every broken file."""

import math
from pathlib import Path

import pytest
import torch

from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import (
    JUDGES,
    ImageTextEmbedding,
    JudgeConfig,
    accuracy,
    class_counts,
    judged,
    labels,
    to_network,
)
from safety_steer.demo_world.sampling import latent_noise, pad_states, sample, schedule
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.demo_world.weights import fits, load_network, read_weights, save_weights
from safety_steer.errors import FileFormatError

SMALL = TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12)


def _lively(config: TransformerConfig = SMALL) -> SceneTransformer:
    torch.manual_seed(0)
    network = SceneTransformer(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network.eval()


@pytest.mark.parametrize(("frames", "shape"), [(1, (3, 32, 8, 8)), (8, (3, 32, 8, 8, 8))])
def test_velocity_has_the_shape_of_the_latents(frames: int, shape: tuple[int, ...]) -> None:
    network = _lively(TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12, frames=frames))
    assert network(torch.randn(shape), torch.full((3,), 500.0), torch.randn(3, 5, 12)).shape == shape


@pytest.mark.parametrize("norm", [False, True])
def test_padding_changes_nothing(norm: bool) -> None:
    network = _lively(TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12, context_norm=norm))
    x, time, context = torch.randn(2, 32, 8, 8), torch.full((2,), 300.0), torch.randn(2, 5, 12)
    padded = torch.cat([context, torch.zeros(2, 9, 12)], dim=1)
    assert torch.allclose(network(x, time, context), network(x, time, padded), atol=1e-5)
    assert torch.isfinite(network(x, time, torch.zeros(2, 4, 12))).all()


def test_text_acts_through_attention_and_through_the_modulation() -> None:
    network = _lively()
    x, time, context = torch.randn(1, 32, 8, 8), torch.full((1,), 300.0), torch.randn(1, 5, 12)
    whole = network(x, time, context)
    for layer in [block.text_out for block in network.blocks]:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    pooled_only = network(x, time, context)
    assert not torch.allclose(whole, pooled_only)
    assert not torch.allclose(pooled_only, network(x, time, context * 2))


def test_a_new_video_network_sees_one_pose_as_the_image_network_sees_a_picture() -> None:
    image = _lively()
    video = SceneTransformer(TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12, frames=2)).eval()
    video.load_state_dict(fits(video, image.state_dict()), strict=False)
    x0, noise, context = torch.randn(2, 32, 8, 8), torch.randn(2, 32, 2, 8, 8), torch.randn(2, 5, 12)
    share = 0.7
    x = (1 - share) * x0[:, :, None] + share * noise
    seen = x - share * video(x, torch.full((2,), 1000 * share), context)
    # The mean of two frames is a picture whose noise has half the variance, and so a time of its own.
    ratio = share / math.sqrt(2) / (1 - share)
    time = ratio / (1 + ratio)
    mean = x.mean(2) * (1 - time) / (1 - share)
    expected = mean - time * image(mean, torch.full((2,), 1000 * time), context)
    for frame in seen.unbind(2):
        torch.testing.assert_close(frame, expected, rtol=1e-4, atol=1e-4)


def test_frames_that_hold_a_pose_are_seen_alike() -> None:
    video = _lively(TransformerConfig(width=32, depth=2, heads=2, hidden=64, context_width=12, frames=8))
    x, share = torch.randn(2, 32, 8, 8, 8), 0.5
    seen = x - share * video(x, torch.full((2,), 1000 * share), torch.randn(2, 5, 12))
    torch.testing.assert_close(seen[:, :, ::2], seen[:, :, 1::2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(seen[:, :, 0], seen[:, :, 2], atol=1e-2)


def test_schedule_is_that_of_comfyui() -> None:
    sigmas = schedule(16)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    assert torch.allclose(sigmas[:-1], 1 - torch.tensor([int(i * 62.5) for i in range(16)]) / 1000)


def test_sampling_is_reproducible() -> None:
    network, context = _lively(), torch.randn(2, 5, 12)
    noise = latent_noise(network, [3, 4])
    first = sample(network, context, torch.zeros(1, 2, 12), noise, steps=3)
    assert torch.equal(first, sample(network, context, torch.zeros(1, 2, 12), noise, steps=3))
    assert torch.equal(noise[1], latent_noise(network, [4])[0])


def test_pad_states_puts_zero_rows_last() -> None:
    padded = pad_states([torch.ones(2, 4), torch.ones(3, 4)])
    assert padded.shape == (2, 3, 4)
    assert padded[0, 2].abs().sum() == 0


def test_autoencoder_keeps_sizes() -> None:
    module = Autoencoder(AutoencoderConfig(channels=4, fine=16, coarse=16)).eval()
    pictures = torch.rand(2, 3, 64, 32) * 2 - 1
    latents = module.encode(pictures)
    assert latents.shape == (2, 4, 8, 4)
    assert module.decode(latents).shape == pictures.shape


@pytest.mark.parametrize("name", ["judge", "second-judge"])
def test_judges_answer_every_head(name: str) -> None:
    classifier = JUDGES[name](JudgeConfig(fine=8, coarse=16)).eval()
    pictures = to_network(torch.randint(0, 255, (3, 64, 64, 3), dtype=torch.uint8))
    logits = classifier(pictures)
    assert {head: value.shape[1] for head, value in logits.items()} == class_counts()
    found = judged(classifier, pictures, batch=2)
    assert accuracy(found, found) == dict.fromkeys(class_counts(), 1.0)


def test_labels_are_in_range() -> None:
    truth = labels(sample_scenes("train", 200))
    assert all(0 <= value.min() and value.max() < class_counts()[head] for head, value in truth.items())


def test_embedding_is_of_unit_length() -> None:
    module = ImageTextEmbedding(JudgeConfig(fine=8, coarse=16, shared=8, text_width=12)).eval()
    assert torch.allclose(module.pictures(torch.randn(2, 3, 64, 64)).norm(dim=1), torch.ones(2), atol=1e-5)
    padded = torch.cat([torch.ones(2, 3, 12), torch.zeros(2, 2, 12)], 1)
    assert torch.allclose(module.texts(padded), module.texts(padded[:, :3]), atol=1e-6)


def test_weights_survive_the_file(tmp_path: Path) -> None:
    network = _lively()
    path = tmp_path / "image.safetensors"
    save_weights(path, "generator", network, {"step": 3})
    loaded = load_network(path, "generator")
    assert read_weights(path).notes == {"step": 3}
    for name, value in network.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], value, atol=2e-3), name


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign", "wrong kind", "misfit"])
def test_broken_weights_are_one_clear_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "image.safetensors"
    save_weights(path, "generator", _lively(), {})
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    elif damage == "misfit":
        small = _lively()
        small.config = TransformerConfig()
        save_weights(path, "generator", small, {})
    with pytest.raises(FileFormatError, match=r"image\.safetensors"):
        load_network(path, "autoencoder" if damage == "wrong kind" else "generator")
