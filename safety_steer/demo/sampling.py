"""From captions to pictures and videos without ComfyUI: the same schedule and arithmetic as its Euler sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ..bundled import packaged_model
from ..encode import TextModel, load_text_model, token_states
from .autoencoder import Autoencoder
from .transformer import SceneTransformer
from .weights import load_network, read_weights, weights_path

STEPS, GUIDANCE, SHIFT = 16, 3.0, 1.0
ENCODERS = {384: ("all-MiniLM-L6-v2", None), 576: ("SmolLM2-135M-Instruct", 18)}


@dataclass(frozen=True)
class DemoGenerator:
    """A generator, its autoencoder, and what it reads: which text model and layer (None is the last)."""

    network: SceneTransformer
    autoencoder: Autoencoder
    encoder: str
    layer: int | None

    @property
    def video(self) -> bool:
        """Whether it draws videos."""
        return self.network.config.frames > 1


def load_generator(name: str = "image") -> DemoGenerator:
    """Load a bundled generator: "image", "video" or "image-smollm2"; raises FileFormatError."""
    path = weights_path(name)
    network = cast(SceneTransformer, load_network(path, "generator"))
    autoencoder = cast(Autoencoder, load_network(weights_path("autoencoder"), "autoencoder"))
    notes = read_weights(path).notes
    encoder, layer = ENCODERS[network.config.context_width]
    return DemoGenerator(network, autoencoder, notes.get("encoder", encoder), notes.get("layer", layer))


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


def schedule(steps: int = STEPS, shift: float = SHIFT) -> Tensor:
    """Return steps + 1 noise levels from 1 to 0: ComfyUI's `simple` schedule for rectified flow."""
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    sigmas = shift * times / (1 + (shift - 1) * times)
    chosen = [sigmas[-(1 + int(index * 1000 / steps))].item() for index in range(steps)]
    return torch.tensor([*chosen, 0.0])


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
    shift: float = SHIFT,
) -> Tensor:
    """Integrate from noise to latents by Euler's method with classifier-free guidance.

    `positive` is (B, T, D); `negative` is (1 or B, T, D), usually the states of the empty prompt.
    """
    x = noise
    sigmas = schedule(steps, shift)
    negative = negative.expand(len(positive), -1, -1)
    for now, after in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        times = torch.full((len(x),), now * 1000)
        velocity = network(x, times, positive)
        if guidance != 1.0:
            unguided = network(x, times, negative)
            velocity = unguided + guidance * (velocity - unguided)
        x = x + (after - now) * velocity
    return x


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
    """Draw one picture or video per context and seed, in batches; the empty prompt's context is the usual `negative`."""
    parts = []
    for start in range(0, len(positive), batch):
        rows = slice(start, start + batch)
        noise = latent_noise(generator.network, seeds[rows])
        parts.append(decode(generator.autoencoder, sample(generator.network, positive[rows], negative, noise, steps, guidance)))
    return torch.cat(parts)
