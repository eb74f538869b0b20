"""Training of the generator that reads a picture: the image generator, and a reader that tells it what a picture shows.

The reader learns from pictures alone what is in them (multiple instances: some place of a picture must say it). What the
image generator knows of drawing stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from safety_steer.demo_world.autoencoder import Autoencoder
from safety_steer.demo_world.judges import ImageTextEmbedding, accuracy, judged, labels, to_network
from safety_steer.demo_world.picture_reader import DOUBT, PictureReader, ReaderConfig
from safety_steer.demo_world.pictures import Eyes
from safety_steer.demo_world.render import render
from safety_steer.demo_world.sampling import contexts, generate, load_generator
from safety_steer.demo_world.scenes import Scene, sample_scenes
from safety_steer.demo_world.weights import load_network, read_weights, save_weights, weights_path
from safety_steer.extraction.text_model import load_text_model
from safety_steer.storage.bundled import packaged_model

from .dataset import image_dataset
from .distributed import first_alone, world
from .generators import REFINED, TESTED, contact_sheet
from .loop import Log, Plan, Run, train
from .picture_words import FRAME, heads, true_words, word_states

NAME = "image-from-picture"
WEIGHTS = "picture-reader"
ENCODER = "all-MiniLM-L6-v2"
WIDTH = 96  # of the tower's last states
HIDDEN = 256
BATCH = 128
DECODED = 3  # every third picture that is looked at comes from the autoencoder, as drawn ones do
NOISE = 0.2  # on its latents
CHUNK = 240
JUDGED = 24  # held-out scenes of a group, while it trains
SILENT = 4.0  # the evidence at each place for nothing, at first


def train_image_from_picture(run: Run) -> None:
    """Learn to read pictures for the image generator."""
    with first_alone():
        pictures, scenes, _ = image_dataset(run.work, run.pictures, run.processes)
        embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))
        autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
        places = picture_dataset(run.work / "images" / "tower.npy", pictures, embedding, autoencoder)
    truth = true_words(scenes)
    reader = untrained(places)
    if run.from_weights:
        reader.load_state_dict(read_weights(weights_path(WEIGHTS)).tensors)
    reader.words.requires_grad_(False)
    reader.frame.requires_grad_(False)
    examiner = Examiner(run.work / f"{NAME}.png", embedding)

    def loss_of(step: int, share: float) -> Tensor:  # noqa: ARG001
        rows = torch.from_numpy(np.sort(np.random.default_rng(step).integers(len(scenes), size=BATCH // world())))
        with torch.autocast("cpu", torch.bfloat16):
            evidence = reader.evidence(torch.from_numpy(places[rows.numpy()]).float())
        total = torch.zeros(())
        for found, answers in zip(evidence.split(reader.config.heads, 1), truth, strict=True):
            total = total + F.cross_entropy(F.pad(found, (0, 1), value=DOUBT), answers[rows])
        return total

    rate = 3e-3 * (REFINED if run.from_weights else 1.0)
    train(Plan(NAME, run.work, run.minutes, rate=rate, average=0.995, save_minutes=12.0), reader, loss_of, examiner)


def untrained(places: NDArray[np.float16]) -> PictureReader:
    """Return a reader that knows the words' states and how far the tower's states spread, and nothing else."""
    torch.manual_seed(0)
    text_model = load_text_model(packaged_model(ENCODER))
    words, frame = word_states(text_model)
    known = tuple(len(head.words) for head in heads())
    reader = PictureReader(ReaderConfig(WIDTH, HIDDEN, known, text_model.identity.width, FRAME))
    with torch.no_grad():
        reader.words.copy_(words)
        reader.frame.copy_(frame)
        reader.place_scale.copy_(torch.from_numpy(places[:: max(1, len(places) // 1000)].astype(np.float32)).std((0, 1)))
        reader.scores.bias[-1] = SILENT
    return reader


class Examiner:
    """Writes weights, draws new pictures of held-out renderings, has the judge look at them and keeps a contact sheet."""

    def __init__(self, sheet: Path, embedding: ImageTextEmbedding) -> None:
        """Render the held-out scenes once."""
        self.sheet, self.embedding = sheet, embedding
        self.tests: dict[str, tuple[list[Scene], Tensor]] = {}
        for group in TESTED:
            scenes = sample_scenes("tune", JUDGED, group, seed=1)
            self.tests[group] = scenes, to_network(torch.from_numpy(np.stack([render(scene) for scene in scenes])))

    def __call__(self, averaged: nn.Module, notes: Log) -> Log:
        """Judge the averaged weights and save them."""
        reader = cast(PictureReader, averaged)
        eyes, generator = Eyes(self.embedding, reader), load_generator(NAME)
        empty = contexts(load_text_model(packaged_model(ENCODER)), [""])
        judge = load_network(weights_path("judge"), "judge")
        sheet: list[Tensor] = []
        for group, (scenes, pictures) in self.tests.items():
            states = eyes.look(pictures).last_hidden_state
            drawn = generate(generator, states, empty, list(range(len(scenes))))
            sheet += [*pictures[:16], *drawn[:16]]
            for head, share in accuracy(judged(judge, drawn), labels(scenes)).items():
                notes[f"{group}.{head}"] = round(share, 4)
        contact_sheet(sheet, self.sheet, 16)
        save_weights(weights_path(WEIGHTS), WEIGHTS, reader, notes)
        return notes


def picture_dataset(
    file: Path, pictures: NDArray[np.uint8], embedding: ImageTextEmbedding, autoencoder: Autoencoder
) -> NDArray[np.float16]:
    """Return the tower's last states (N, 64, C) of pictures, computed once and kept in `file`."""
    if not file.is_file():
        torch.manual_seed(0)
        shape = (len(pictures), 64, WIDTH)
        result = np.lib.format.open_memmap(file.with_suffix(".part"), "w+", np.float16, shape)
        for start in range(0, len(pictures), CHUNK):
            seen = to_network(torch.from_numpy(np.array(pictures[start : start + CHUNK])))
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                latents = autoencoder.encode(seen[::DECODED])
                noise = NOISE * torch.rand(len(latents), 1, 1, 1) * torch.randn(latents.shape)
                seen[::DECODED] = autoencoder.decode(latents + noise).float().clamp(-1, 1)
            with torch.inference_mode():
                features = embedding.tower(seen.contiguous(memory_format=torch.channels_last))
            result[start : start + CHUNK] = features.flatten(2).transpose(1, 2).numpy()
        result.flush()
        file.with_suffix(".part").replace(file)
    loaded: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return loaded
