"""The training data on disk: rendered scenes with their labels and captions, and the captions' token states."""

from __future__ import annotations

import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safety_steer.demo_world.captions import caption
from safety_steer.demo_world.render import FRAMES, SIZE, render, render_video
from safety_steer.demo_world.scenes import Scene, sample_scene, sample_scenes
from safety_steer.extraction.text_model import TextModel, load_text_model, token_states
from safety_steer.storage.bundled import packaged_model

TOKENS = 40
CHUNK = 1000


def image_dataset(work: Path, count: int, workers: int) -> tuple[NDArray[np.uint8], list[Scene], list[str]]:
    """Return pictures (N, 64, 64, 3), scenes and captions of the training split, rendered once and kept in `work`."""
    return _dataset(work / "images", count, workers, motion=False)


def video_dataset(work: Path, count: int, workers: int) -> tuple[NDArray[np.uint8], list[Scene], list[str]]:
    """Return videos (N, 8, 64, 64, 3), scenes and captions of the training split."""
    return _dataset(work / "videos", count, workers, motion=True)


def _dataset(folder: Path, count: int, workers: int, motion: bool) -> tuple[NDArray[np.uint8], list[Scene], list[str]]:
    shape = (count, FRAMES, SIZE, SIZE, 3) if motion else (count, SIZE, SIZE, 3)
    done = folder / "captions.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
        scenes: list[Scene] = []
        texts: list[str] = []
        jobs = [(chunk, min(CHUNK, count - chunk * CHUNK), motion) for chunk in range(-(-count // CHUNK))]
        with ProcessPoolExecutor(workers) as pool:
            for (chunk, size, _), (values, chunk_scenes, chunk_texts) in zip(jobs, pool.map(_render_chunk, jobs), strict=True):
                pictures[chunk * CHUNK : chunk * CHUNK + size] = values
                scenes += chunk_scenes
                texts += chunk_texts
        pictures.flush()
        (folder / "scenes.json").write_text(json.dumps([asdict(scene) for scene in scenes]))
        done.write_text(json.dumps(texts))
    scenes = [Scene(**entry) for entry in json.loads((folder / "scenes.json").read_text())]
    return np.load(folder / "pictures.npy", mmap_mode="r"), scenes, json.loads(done.read_text())


def _render_chunk(job: tuple[int, int, bool]) -> tuple[NDArray[np.uint8], list[Scene], list[str]]:
    chunk, size, motion = job
    generator = random.Random(f"bank|{motion}|{chunk}")
    scenes = [sample_scene(generator, "train", "any", motion) for _ in range(size)]
    draw = render_video if motion else render
    texts = [caption(scene, random.Random(f"caption|{scene.seed}")) for scene in scenes]
    return np.stack([draw(scene) for scene in scenes]), scenes, texts


def text_dataset(
    folder: Path, texts: list[str], encoder: str, layer: int | None
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Return all captions' token states end to end (total, D) float16 and where each begins (N + 1,)."""
    offsets_file = folder / f"{encoder}.offsets.npy"
    states_file = folder / f"{encoder}.states.npy"
    if not offsets_file.is_file():
        model = _shortened(load_text_model(packaged_model(encoder)), layer)
        pieces: list[NDArray[np.float16]] = []
        for start in range(0, len(texts), 4096):
            with torch.autocast("cpu", torch.bfloat16):
                states = token_states(model, texts[start : start + 4096], model.last_layer if layer is None else layer)
            pieces += [value[:TOKENS].clamp(-60000, 60000).numpy().astype(np.float16) for value in states]
        np.save(states_file, np.concatenate(pieces))
        np.save(offsets_file, np.cumsum([0, *(len(piece) for piece in pieces)]))
    return np.load(states_file, mmap_mode="r"), np.load(offsets_file)


def _shortened(model: TextModel, layer: int | None) -> TextModel:
    """Drop the blocks above the layer that is read: they would only cost time."""
    if layer is not None:
        del model.blocks[layer + 1 :]
    return model


def gather(states: NDArray[np.float16], offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
    """Return (B, T, D) float32 token states of rows, padded with zero rows."""
    longest = int(max(offsets[row + 1] - offsets[row] for row in rows))
    result = torch.zeros(len(rows), longest, states.shape[1])
    for index, row in enumerate(rows):
        piece = states[offsets[row] : offsets[row + 1]]
        result[index, : len(piece)] = torch.from_numpy(piece.astype(np.float32))
    return result


def held_out_prompts(count: int, group: str, motion: bool = False) -> tuple[list[Scene], list[str]]:
    """Return scenes and captions of the tuning split, to judge a generator in training."""
    scenes = sample_scenes("tune", count, group, seed=1, motion=motion)
    generator = random.Random(7)
    return scenes, [caption(scene, generator, "tune") for scene in scenes]
