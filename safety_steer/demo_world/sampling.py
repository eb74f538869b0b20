"""From captions or pictures to pictures and videos without ComfyUI: the same bits as its KSampler with `euler` and `simple`.

Every operation is written in the order and precision of ComfyUI's own, so that the picture of a graph can be compared
with the library's, bit for bit. Batches can round otherwise than single pictures: compare one at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from ..errors import FileFormatError
from ..extraction.text_model import TextModel, load_text_model, token_states
from ..storage.bundled import MODELS, packaged_model
from .autoencoder import Autoencoder
from .transformer import SceneTransformer
from .weights import load_network, read_weights, weights_path

STEPS, GUIDANCE = 16, 3.0  # by hand, as the node's tooltip says
MULTIPLIER = 1000  # ComfyUI's own, of its flow models
# What reads pictures as captions draws with the weights of what reads captions.
SHARED = {"image-from-picture": "image", "video-from-picture": "video"}
ENCODERS = {384: ("all-MiniLM-L6-v2", None), 576: ("SmolLM2-135M-Instruct", 18)}


@dataclass(frozen=True)
class DemoGenerator:
    """A generator, its autoencoder, and what it reads: which text model and layer (None is the last), or pictures."""

    network: SceneTransformer
    autoencoder: Autoencoder
    encoder: str
    layer: int | None
    reads_pictures: bool = False

    @property
    def video(self) -> bool:
        """Whether it draws videos."""
        return self.network.config.frames > 1


def load_generator(name: str = "image") -> DemoGenerator:
    """Load a bundled generator, one of `demo_world.GENERATORS`; raises FileFormatError."""
    path = weights_path(SHARED.get(name, name))
    network = cast(SceneTransformer, load_network(path, "generator"))
    autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
    notes = read_weights(path).notes
    encoder, layer = ENCODERS.get(network.config.context_width, ("", None))
    encoder, layer = notes.get("encoder", encoder), notes.get("layer", layer)
    if encoder not in MODELS or network.config.channels != autoencoder.config.channels:
        raise FileFormatError(
            f"The demo weights '{path}' do not fit: they read '{encoder}' and draw {network.config.channels} channels, but "
            f"known are {', '.join(MODELS)} and {autoencoder.config.channels}. Get the files again."
        )
    return DemoGenerator(network, autoencoder, encoder, layer, reads_pictures=name in SHARED)


def load_encoder(generator: DemoGenerator) -> TextModel:
    """Load the text model a generator reads, from its pip package."""
    return load_text_model(packaged_model(generator.encoder))


def contexts(text_model: TextModel, prompts: list[str], layer: int | None = None) -> Tensor:
    """Return token states (B, T, D) of prompts, zero rows as padding: what a generator reads."""
    states = token_states(text_model, prompts, text_model.last_layer if layer is None else layer)
    return pad_states(states)


def pad_states(states: list[Tensor]) -> Tensor:
    """Stack token states of different lengths (T_i, D) into (B, T, D) with zero rows at the end."""
    padded: Tensor = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    return padded


def schedule(steps: int = STEPS, shift: float = 1.0) -> Tensor:
    """Return steps + 1 noise levels from 1 to 0: ComfyUI's `simple` schedule for rectified flow."""
    times = torch.arange(1, MULTIPLIER + 1) / MULTIPLIER * MULTIPLIER / MULTIPLIER
    sigmas = times if shift == 1.0 else shift * times / (1 + (shift - 1) * times)
    stride = MULTIPLIER / steps
    return torch.tensor([*(float(sigmas[-(1 + int(index * stride))]) for index in range(steps)), 0.0])


def latent_noise(network: SceneTransformer, seeds: list[int]) -> Tensor:
    """Return the starting noise of pictures or videos, one seed each."""
    config = network.config
    frames = (config.frames,) if config.frames > 1 else ()
    shape = (config.channels, *frames, config.size, config.size)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.inference_mode()
def sample(
    network: SceneTransformer,
    positive: Tensor,
    negative: Tensor,
    noise: Tensor,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Tensor:
    """Integrate from noise to latents by Euler's method with classifier-free guidance.

    `positive` is (B, T, D); `negative` is (1 or B, T, D), usually the states of the empty prompt.
    """
    x = noise
    negative = negative.expand(len(positive), -1, -1)
    for now, after in pairwise(schedule(steps, network.config.shift).to(noise.device)):
        clean = _clean(network, x, now, positive)
        if not math.isclose(guidance, 1.0):
            unguided = _clean(network, x, now, negative)
            clean = unguided + (clean - unguided) * guidance
        x = x + (x - clean) / now * (after - now)
    return x


def _clean(network: SceneTransformer, x: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
    """Return the picture the network expects to see without noise."""
    velocity = network(x, sigma.expand(len(x)) * MULTIPLIER, context).float()
    clean: Tensor = (x - velocity * sigma).contiguous()
    return clean


@torch.inference_mode()
def decode(autoencoder: Autoencoder, latents: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W), or videos (B, T, 3, H, W), in -1..1."""
    if latents.dim() == 4:
        return autoencoder.decode(latents).clamp(-1, 1)
    frames = latents.transpose(1, 2)
    videos: Tensor = autoencoder.decode(frames.flatten(0, 1)).clamp(-1, 1).unflatten(0, frames.shape[:2])
    return videos


def generate(
    generator: DemoGenerator,
    positive: Tensor,
    negative: Tensor,
    seeds: list[int],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    batch: int = 64,
) -> Tensor:
    """Draw one picture or video per context and seed, in batches.

    A context is a caption's (`contexts`) or that of pictures (`pictures.picture_context`); the usual `negative` is the empty
    prompt's.
    """
    parts = []
    for start in range(0, len(positive), batch):
        rows = slice(start, start + batch)
        noise = latent_noise(generator.network, seeds[rows])
        parts.append(decode(generator.autoencoder, sample(generator.network, positive[rows], negative, noise, steps, guidance)))
    return torch.cat(parts)
