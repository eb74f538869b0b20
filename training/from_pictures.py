"""Training of the generator that reads a picture: the image generator, and a reader that tells it what a picture shows.

The reader learns from pictures alone what is in them (multiple instances: some place of a picture must say it). What the
image generator knows of drawing stays as it is.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from safety_steer.demo_world.autoencoder import Autoencoder
from safety_steer.demo_world.judges import ImageTextEmbedding, to_network
from safety_steer.demo_world.picture_reader import DOUBT
from safety_steer.demo_world.pictures import load_embedding, look, no_picture
from safety_steer.demo_world.render import render
from safety_steer.demo_world.sampling import contexts
from safety_steer.demo_world.scenes import sample_scenes
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.demo_world.weights import fits, load_network, read_weights, weights_path
from safety_steer.extraction.text_model import load_text_model
from safety_steer.storage.bundled import packaged_model

from .dataset import image_dataset
from .distributed import first_alone, world
from .generators import TESTED, Examiner, Stage, Tests
from .loop import Log, Plan, Run, train
from .picture_words import FRAME, heads, true_words, word_states

NAME = "image-from-picture"
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
    """Learn to read pictures for the image generator, whose weights are taken over."""
    with first_alone():
        pictures, scenes, _ = image_dataset(run.work, run.pictures, run.processes)
        embedding = load_embedding()
        autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
        states = picture_dataset(run.work / "images" / "tower.npy", pictures, embedding, autoencoder)
    truth = true_words(scenes)
    network = untrained(states, run.from_weights)
    config = network.config
    stage = Stage(NAME, config, ENCODER, None, run.pictures, run.pictures, {}, 3e-3, 0.0)
    examiner = Examiner(stage, run.work, no_picture(WIDTH), _tests(embedding))
    reader = network.reader
    for learned in (reader.words, reader.frame, reader.silence):
        learned.requires_grad_(False)

    def loss_of(step: int, share: float) -> Tensor:  # noqa: ARG001
        rows = torch.from_numpy(np.sort(np.random.default_rng(step).integers(len(scenes), size=BATCH // world())))
        with torch.autocast("cpu", torch.bfloat16):
            seen = torch.from_numpy(states[rows.numpy()]).float()
            evidence = reader.evidence(seen, torch.ones(seen.shape[:2], dtype=torch.bool))
        total = torch.zeros(())
        for found, answers in zip(evidence.split(reader.heads, 1), truth, strict=True):
            total = total + F.cross_entropy(F.pad(found, (0, 1), value=DOUBT), answers[rows])
        return total

    def save(averaged: nn.Module, notes: Log) -> Log:
        shown = copy.deepcopy(network)
        shown.reader.load_state_dict(averaged.state_dict())
        return examiner.examine(shown.eval().requires_grad_(False), notes)

    share = 0.4 if run.from_weights else 1.0
    train(Plan(NAME, run.work, run.minutes, rate=stage.rate * share, average=0.995, save_minutes=12.0), reader, loss_of, save)


def untrained(states: NDArray[np.float16], from_weights: bool) -> SceneTransformer:
    """Return the image generator with a reader that knows the words' states, and what it has learned before if asked."""
    torch.manual_seed(0)
    known = tuple(len(head.words) for head in heads())
    config = TransformerConfig(picture_width=WIDTH, picture_hidden=HIDDEN, picture_heads=known, picture_frame=FRAME)
    network = SceneTransformer(config)
    start = read_weights(weights_path(NAME if from_weights else "image")).tensors
    network.load_state_dict(fits(network, start), strict=False)
    if not from_weights:
        text_model = load_text_model(packaged_model(ENCODER))
        words, frame = word_states(text_model)
        reader = network.reader
        with torch.no_grad():
            reader.words.copy_(words)
            reader.frame.copy_(frame)
            reader.silence.copy_(contexts(text_model, [""])[0])
            reader.state_scale.copy_(torch.from_numpy(states[:: max(1, len(states) // 1000)].astype(np.float32)).std((0, 1)))
            reader.scores.bias[-1] = SILENT
    return network.eval()


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
            states = look(embedding, seen.contiguous(memory_format=torch.channels_last)).last_hidden_state
            result[start : start + CHUNK] = states.numpy()
        result.flush()
        file.with_suffix(".part").replace(file)
    loaded: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return loaded


def _tests(embedding: ImageTextEmbedding) -> Tests:
    tests: Tests = {}
    for group in TESTED:
        scenes = sample_scenes("tune", JUDGED, group, seed=1)
        pictures = to_network(torch.from_numpy(np.stack([render(scene) for scene in scenes])))
        tests[group] = scenes, look(embedding, pictures).last_hidden_state
    return tests
