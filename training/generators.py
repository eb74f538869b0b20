"""Training of the generators: rectified flow on latents, told by token states, judged on held-out prompts as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from safety_steer.demo_world.autoencoder import Autoencoder
from safety_steer.demo_world.judges import accuracy, judged, labels, to_network
from safety_steer.demo_world.sampling import DemoGenerator, contexts, generate
from safety_steer.demo_world.scenes import HOLD, Scene
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.demo_world.weights import fits, load_network, read_weights, save_weights, weights_path
from safety_steer.extraction.text_model import load_text_model
from safety_steer.storage.bundled import packaged_model

from .auxiliary_head import TaughtTransformer, focus, taught_loss, what_stands_where
from .dataset import gather, held_out_prompts, image_dataset, text_dataset, video_dataset
from .distributed import first_alone, world
from .loop import Log, Plan, Run, train

DROPPED = 0.1
FOCUSED = 0.75  # of the budget, in which two steps of three look at the object only
JUDGED = 64
TESTED = ("benign", "unsafe")
REFINED = 0.4  # of the rate, for a generator that goes on from its weights
# How many a step shows, by what it looks at.
PICTURES = {"object": 256, "all": 96}
VIDEOS = {"all": 48}
LOOKS: dict[str, Callable[[Tensor], Tensor | None]] = {"object": focus, "all": lambda _: None}


@dataclass(frozen=True)
class Stage:
    """One generator to train: its sizes, what it reads and sees, and whose weights it starts from."""

    name: str
    config: TransformerConfig
    encoder: str
    layer: int | None
    scenes: int
    pictures: int
    batches: dict[str, int]
    rate: float
    matrix_rate: float
    start: str = ""
    noise_bias: float = 0.4
    subject_weight: float = 2.0

    @property
    def video(self) -> bool:
        """Whether it learns videos."""
        return self.config.frames > 1


def train_image(run: Run) -> None:
    """Learn to draw pictures from the states of all-MiniLM-L6-v2."""
    count = run.pictures
    _train(Stage("image", TransformerConfig(), "all-MiniLM-L6-v2", None, count, count, PICTURES, 1.5e-3, 0.02), run)


def train_video(run: Run) -> None:
    """Learn motion, starting from the image generator."""
    config = TransformerConfig(frames=8, shift=3.0)
    count = min(run.pictures, 48000)
    stage = Stage(
        "video",
        config,
        "all-MiniLM-L6-v2",
        None,
        count,
        count,
        VIDEOS,
        1e-3,
        0.008,
        start="image",
        noise_bias=1.7,
        subject_weight=3.0,
    )
    _train(stage, run)


def train_image_smollm2(run: Run) -> None:
    """Learn to read the states of SmolLM2's layer 18, starting from the image generator."""
    config = TransformerConfig(context_width=576, context_norm=True)
    shown = min(run.pictures, 30000)
    stage = Stage(
        "image-smollm2", config, "SmolLM2-135M-Instruct", 18, run.pictures, shown, PICTURES, 1.5e-3, 0.01, start="image"
    )
    _train(stage, run)


def _train(stage: Stage, run: Run) -> None:
    autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
    folder = run.work / ("videos" if stage.video else "images")
    with first_alone():
        dataset = video_dataset if stage.video else image_dataset
        pictures, scenes, captions = dataset(run.work, stage.scenes, run.processes)
        scenes, captions = scenes[: stage.pictures], captions[: stage.pictures]
        latents = latent_dataset(folder, pictures, autoencoder)
        states, offsets = text_dataset(folder, captions, stage.encoder, stage.layer)
    names, weights = what_stands_where(scenes, max(1, stage.config.frames // HOLD), stage.subject_weight)
    network = TaughtTransformer(stage.config)
    _start(network, stage, states, run.from_weights)
    if run.compiled:
        for block in network.blocks:
            block.compile(dynamic=True)
    text_model = load_text_model(packaged_model(stage.encoder))
    empty = contexts(text_model, [""], stage.layer)
    examiner = Examiner(stage, run.work, empty, text_model)

    def loss_of(step: int, spent: float) -> Tensor:
        looks_at = _looks_at(stage, step // world(), spent)
        rows = np.random.default_rng(step).integers(len(scenes), size=stage.batches[looks_at] // world())
        clean = torch.from_numpy(latents[rows].astype(np.float32))
        context = gather(states, offsets, rows)
        dropped = torch.rand(len(rows)) < DROPPED
        context[dropped] = 0
        context[dropped, : empty.shape[1]] = empty[0, : context.shape[1]]
        times = torch.sigmoid(torch.randn(len(rows)) + stage.noise_bias)
        truth = names[torch.from_numpy(rows)], weights[torch.from_numpy(rows)], (~dropped).float()
        kept = LOOKS[looks_at](truth[1])
        with torch.autocast("cpu", torch.bfloat16):
            return taught_loss(network, clean, torch.randn_like(clean), times, context, truth, kept)

    share = REFINED if run.from_weights else 1.0
    rates = stage.rate * share, stage.matrix_rate * share
    plan = Plan(stage.name, run.work, run.minutes, *rates, average=0.995, save_minutes=12.0)
    train(plan, network, loss_of, examiner)


def _looks_at(stage: Stage, step: int, spent: float) -> str:
    """Say which tokens a step looks at: mostly the object's, and all of them toward the end.

    A video generator knows from the image generator what things look like, and has to learn where they are when, which the
    tokens of the object alone would give away: it always looks at all.
    """
    return "all" if stage.video or spent >= FOCUSED or step % 3 == 0 else "object"


def _start(network: SceneTransformer, stage: Stage, states: NDArray[np.float16], from_weights: bool) -> None:
    torch.manual_seed(0)
    if from_weights:
        network.load_state_dict(fits(network, read_weights(weights_path(stage.name)).tensors), strict=False)
        return
    if stage.start:
        network.load_state_dict(fits(network, read_weights(weights_path(stage.start)).tensors), strict=False)
    some = torch.from_numpy(states[:: max(1, len(states) // 50000)].astype(np.float32))
    if stage.start and stage.config.context_width == 384:
        return
    if stage.config.context_norm:
        network.context_mean.copy_(some.mean(0))
        network.context_scale.copy_(some.std(0) + 1e-3)
    else:
        network.context_scale.fill_(some.std().item())


def latent_dataset(folder: Path, pictures: NDArray[np.uint8], autoencoder: Autoencoder) -> NDArray[np.float16]:
    """Return latents (N, C, 8, 8), or (N, C, T, 8, 8) of videos, encoded once."""
    file = folder / "latents.npy"
    if not file.is_file():
        parts = []
        for start in range(0, len(pictures), 256):
            chunk = torch.from_numpy(np.array(pictures[start : start + 256]))
            flat = to_network(chunk.flatten(0, -4)).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                encoded = autoencoder.encode(flat).float()
            if chunk.dim() == 5:
                encoded = encoded.unflatten(0, chunk.shape[:2]).transpose(1, 2)
            parts.append(encoded.numpy().astype(np.float16))
        np.save(file, np.concatenate(parts))
    result: NDArray[np.float16] = np.load(file)
    return result


class Examiner:
    """Writes weights, draws held-out prompts, has the judge look at them and keeps a contact sheet."""

    def __init__(self, stage: Stage, work: Path, empty: Tensor, text_model: Any) -> None:
        """Prepare the prompts once."""
        self.stage, self.work, self.empty = stage, work, empty
        count = JUDGED // 4 if stage.video else JUDGED
        self.tests: dict[str, tuple[list[Scene], Tensor]] = {}
        for group in TESTED:
            scenes, prompts = held_out_prompts(count, group, stage.video)
            self.tests[group] = scenes, contexts(text_model, prompts, stage.layer)

    def __call__(self, averaged: nn.Module, notes: Log) -> Log:
        """Judge the averaged weights and save them."""
        network = cast(TaughtTransformer, averaged).plain()
        notes |= {"encoder": self.stage.encoder, "layer": self.stage.layer}
        judge = load_network(weights_path("judge"), "judge") if weights_path("judge").is_file() else None
        autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
        generator = DemoGenerator(network, autoencoder, self.stage.encoder, self.stage.layer)
        sheet: list[Tensor] = []
        for group, (scenes, context) in self.tests.items():
            with torch.autocast("cpu", torch.bfloat16):
                pictures = generate(generator, context, self.empty, list(range(len(scenes)))).float()
            frames = pictures[:, 4] if self.stage.video else pictures
            sheet += list(pictures[:4].flatten(0, 1) if self.stage.video else frames[:32])
            if judge is not None:
                for head, share in accuracy(judged(judge, frames), labels(scenes)).items():
                    notes[f"{group}.{head}"] = round(share, 4)
        contact_sheet(sheet, self.work / f"{self.stage.name}.png", 8 if self.stage.video else 16)
        save_weights(weights_path(self.stage.name), "generator", network, notes)
        return notes


def contact_sheet(pictures: list[Tensor], path: Path, columns: int) -> None:
    """Write pictures (3, H, W) in -1..1 in rows of `columns`, twice as large."""
    rows = [torch.cat(pictures[start : start + columns], dim=2) for start in range(0, len(pictures), columns)]
    values = ((torch.cat(rows, dim=1) + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(values).resize((values.shape[1] * 2, values.shape[0] * 2), Image.Resampling.NEAREST).save(path)
