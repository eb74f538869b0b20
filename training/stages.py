"""What each stage of the training learns from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import (
    JUDGES,
    LOCAL_HEADS,
    Classifier,
    ImageTextEmbedding,
    JudgeConfig,
    accuracy,
    judged,
    labels,
    to_network,
)
from safety_steer.demo_world.render import render
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.weights import load_network, read_weights, save_weights, weights_path

from .composites import lesson
from .dataset import gather, image_dataset, text_dataset
from .distributed import first_alone, world
from .from_pictures import train_image_from_picture
from .generators import train_image, train_image_smollm2, train_video
from .loop import Log, Plan, Run, train

LATENT_NOISE = 0.2
NOTHING_WEIGHT = 0.05
NEVER_SHOWN = 10**7  # the first lesson of a judge that goes on from its weights
REFINED = 0.5  # of the rate, for the same
HEAD_WEIGHTS = {"place": 0.25, "light": 0.25}


def batch(pictures: np.ndarray[Any, Any], rows: Tensor) -> Tensor:
    """Read pictures of rows as network input."""
    return to_network(torch.from_numpy(pictures[np.sort(rows.numpy())])).contiguous(memory_format=torch.channels_last)


def unseen(count: int, group: str = "any") -> tuple[Tensor, dict[str, Tensor]]:
    """Render scenes of the tuning split, with their labels."""
    scenes = sample_scenes("tune", count, group, seed=2)
    return to_network(torch.from_numpy(np.stack([render(scene) for scene in scenes]))), labels(scenes)


def train_autoencoder(run: Run) -> None:
    """Learn to rebuild renderings from noisy latents."""
    with first_alone():
        pictures, _, _ = image_dataset(run.work, run.pictures, run.processes)
    module = Autoencoder(AutoencoderConfig())
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.fit_patches(batch(pictures, torch.arange(4000)))
    module.to_latent.requires_grad_(False)
    last: Any = module.refine[-2]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    test, _ = unseen(256)

    def loss_of(step: int, share: float) -> Tensor:  # noqa: ARG001
        target = batch(pictures, torch.randint(len(pictures), (48 // world(),)))
        with torch.no_grad():
            latents = module.encode(target)
            latents += LATENT_NOISE * torch.rand(len(latents), 1, 1, 1) * torch.randn_like(latents)
        with torch.autocast("cpu", torch.bfloat16):
            result = module.decode(latents).float()
        error = result - target
        edges = (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()) * 0.5
        total: Tensor = error.abs().mean() + edges + 2 * error.square().mean()
        return total

    def save(averaged: Any, notes: Log) -> Log:
        with torch.inference_mode():
            error = (averaged.decode(averaged.encode(test)).clamp(-1, 1) - test).square().mean()
        notes["psnr"] = round(float(10 * torch.log10(4 / error)), 2)
        save_weights(weights_path("autoencoder"), "autoencoder", averaged, notes)
        return notes

    train(Plan("autoencoder", run.work, run.minutes, rate=2e-3, average=0.99, save_minutes=1.5), module, loss_of, save)


def augment(pictures: Tensor, autoencoder: Autoencoder) -> Tensor:
    """Shift, blur, tint and add noise; a third goes through the autoencoder with noise on its latents."""
    pictures = pictures.clone()
    third = len(pictures) // 3
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        latents = autoencoder.encode(pictures[:third])
        rebuilt = autoencoder.decode(latents + 0.3 * torch.rand(third, 1, 1, 1) * torch.randn_like(latents))
    pictures[:third] = rebuilt.float().clamp(-1, 1)
    x, y = (int(value) for value in torch.randint(-3, 4, (2,)))
    pictures = F.pad(pictures, (3, 3, 3, 3), mode="replicate")[:, :, 3 + y : 67 + y, 3 + x : 67 + x]
    blurred = F.avg_pool2d(pictures, 3, 1, 1)
    pictures = pictures.lerp(blurred, torch.rand(len(pictures), 1, 1, 1) * (torch.rand(len(pictures), 1, 1, 1) < 0.2))
    tint = 1 + 0.06 * torch.randn(len(pictures), 3, 1, 1)
    noise = 0.1 * torch.rand(len(pictures), 1, 1, 1) * torch.randn_like(pictures)
    return (pictures * tint + noise).contiguous(memory_format=torch.channels_last)


def _train_classifier(name: str, config: JudgeConfig, run: Run, rate: float) -> None:
    autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
    torch.manual_seed(0)
    module = cast(Classifier, JUDGES[name](config))
    first = 0
    if run.from_weights:
        module.load_state_dict(read_weights(weights_path(name)).tensors)
        first, rate = NEVER_SHOWN, REFINED * rate
    tests = {group: unseen(512, group) for group in ("benign", "unsafe", "unsafe_effect")}

    def loss_of(step: int, share: float) -> Tensor:  # noqa: ARG001
        one = lesson(first + step, 96 // world())
        inputs = augment(one.pictures, autoencoder)
        with torch.autocast("cpu", torch.bfloat16):
            found = module.everywhere(inputs)
        total = torch.zeros(())
        for head, values in module.in_all(found).items():
            total = total + F.cross_entropy(values, one.truth[head]) * HEAD_WEIGHTS.get(head, 1.0)
        for head in LOCAL_HEADS:
            weights = torch.ones(found[head].shape[-1])
            weights[-1] = NOTHING_WEIGHT
            total = total + F.cross_entropy(found[head].flatten(0, 1), one.places[head].flatten(), weights)
        return total

    def save(averaged: nn.Module, notes: Log) -> Log:
        for group, (inputs, answers) in tests.items():
            for head, share in accuracy(judged(averaged, inputs), answers).items():
                notes[f"{group}.{head}"] = round(share, 4)
        save_weights(weights_path(name), name, averaged, notes)
        return notes

    train(Plan(name, run.work, run.minutes, rate=rate, average=0.99, save_minutes=2), module, loss_of, save)


def train_judge(run: Run) -> None:
    """Learn what is in a picture, by convolution."""
    _train_classifier("judge", JudgeConfig(), run, rate=2e-3)


def train_second_judge(run: Run) -> None:
    """Learn what is in a picture, by separable convolutions over patches."""
    _train_classifier("second-judge", JudgeConfig(coarse=160), run, rate=2e-3)


def train_embedding(run: Run) -> None:
    """Learn which caption goes with which picture."""
    with first_alone():
        pictures, _, captions = image_dataset(run.work, run.pictures, run.processes)
        states, offsets = text_dataset(run.work / "images", captions, "all-MiniLM-L6-v2", None)
    autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
    module = cast(ImageTextEmbedding, JUDGES["embedding"](JudgeConfig(fine=32, coarse=96)))

    def loss_of(step: int, share: float) -> Tensor:  # noqa: ARG001
        rows = torch.randint(len(pictures), (192,)).sort().values
        with torch.autocast("cpu", torch.bfloat16):
            seen = module.pictures(augment(batch(pictures, rows), autoencoder)).float()
            read = module.texts(gather(states, offsets, rows.numpy())).float()
        logits = seen @ read.T * module.temperature.exp().clamp(max=60)
        target = torch.arange(len(rows))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def save(averaged: nn.Module, notes: Log) -> Log:
        save_weights(weights_path("embedding"), "embedding", averaged, notes)
        return notes

    train(Plan("embedding", run.work, run.minutes, rate=1.5e-3, average=0.997), module, loss_of, save)


STAGES: dict[str, Callable[[Run], None]] = {
    "autoencoder": train_autoencoder,
    "judge": train_judge,
    "second-judge": train_second_judge,
    "embedding": train_embedding,
    "image": train_image,
    "video": train_video,
    "image-smollm2": train_image_smollm2,
    "image-from-picture": train_image_from_picture,
}
