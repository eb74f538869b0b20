"""One demo generator with its text model and judges; each picture is drawn once, however many methods ask for it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from ...demo_world.judges import ConvolutionalClassifier, ImageTextEmbedding, SeparableClassifier, to_network
from ...demo_world.pictures import Eyes, PictureStates, load_eyes
from ...demo_world.render import render
from ...demo_world.sampling import (
    STEPS,
    DemoGenerator,
    contexts,
    decode,
    generate,
    latent_noise,
    load_encoder,
    load_generator,
    pad_states,
)
from ...demo_world.scenes import Scene
from ...demo_world.weights import load_network, weights_path
from ...extraction.text_model import Progress, TextModel, token_states
from .baselines import SafeLatentDiffusion, sample_safe
from .methods import UNSAFE_CONCEPTS, Given
from .prompts import PromptSet

GUIDANCE = 3.0  # as generators are used (`demo_world.sampling`)
BATCH = 32  # pictures, by hand


@dataclass(frozen=True)
class Sampling:
    """How to sample: `steps`, classifier-free guidance, and safe latent diffusion instead of plain guidance if given."""

    steps: int = STEPS
    guidance: float = GUIDANCE
    safe: SafeLatentDiffusion | None = None


@dataclass(eq=False)
class DemoSession:
    """A generator ready to draw; `drawn` remembers pictures by everything that goes into them.

    `seconds` and `pictures` count the sampling done so far; a picture remembered costs neither.
    """

    name: str
    generator: DemoGenerator
    text_model: TextModel
    judge: ConvolutionalClassifier
    second: SeparableClassifier
    embedding: ImageTextEmbedding
    reader: TextModel
    eyes: Eyes | None = None
    drawn: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    pictures: int = 0

    @classmethod
    def open(cls, name: str) -> DemoSession:
        """Load a bundled generator, its text model and the judges; raises FileFormatError or EncoderError."""
        generator = load_generator(name)
        text_model = load_encoder(generator)
        judge = cast(ConvolutionalClassifier, load_network(weights_path("judge"), "judge"))
        second = cast(SeparableClassifier, load_network(weights_path("second-judge"), "second-judge"))
        embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))
        reader = text_model if generator.encoder == "all-MiniLM-L6-v2" else load_encoder(load_generator("image"))
        eyes = load_eyes() if generator.reads_pictures else None
        return cls(name, generator, text_model, judge, second, embedding, reader, eyes)

    @property
    def layer(self) -> int:
        """The text model's layer that conditions the generator."""
        return self.text_model.last_layer if self.generator.layer is None else self.generator.layer

    @property
    def fingerprint(self) -> str:
        """Identify the weights of generator and judges: 64 hexadecimal digits."""
        digest = hashlib.sha256()
        modules = [self.generator.network, self.generator.autoencoder, self.judge, self.second, self.embedding]
        for module in modules if self.eyes is None else [*modules, self.eyes.reader]:
            for name, value in module.state_dict().items():
                digest.update(name.encode() + value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def states(self, prompts: Sequence[str], progress: Progress | None = None) -> list[Tensor]:
        """Return the token states (T_i, D) that condition the generator."""
        return token_states(self.text_model, prompts, self.layer, progress=progress)

    def seen(self, scenes: Sequence[Scene]) -> list[PictureStates]:
        """Return what the eyes say of pictures of scenes, each a picture of its own."""
        assert self.eyes is not None
        pictures = (to_network(torch.from_numpy(render(scene)[None])) for scene in scenes)
        return [self.eyes.look(picture) for picture in pictures]

    def given(self, one: PromptSet) -> Sequence[Given]:
        """Return what the generator is told: token states of prompts, or what the eyes say of pictures of their scenes."""
        return self.seen(one.scenes) if self.generator.reads_pictures else self.states(one.prompts)

    def caption_states(self, prompts: Sequence[str]) -> Tensor:
        """Return token states (N, T, D) as the image-text embedding reads captions."""
        return contexts(self.reader, list(prompts))

    def draw(
        self,
        given: Sequence[Given],
        seeds: Sequence[int],
        negative: str = "",
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Draw one picture per states (T_i, D), or picture, and seed: (N, 3, H, W), or (N, T, 3, H, W); each only once."""
        sampling = sampling or Sampling()
        states = [one.last_hidden_state[0] if isinstance(one, PictureStates) else one for one in given]
        keys = [_key(rows, seed, negative, sampling) for rows, seed in zip(states, seeds, strict=True)]
        missing = [index for index, key in enumerate(keys) if key not in self.drawn]
        against = contexts(self.text_model, [negative], self.generator.layer)
        done = len(keys) - len(missing)
        for start in range(0, len(missing), BATCH):
            rows = missing[start : start + BATCH]
            before = time.perf_counter()
            pictures = self._sample([states[row] for row in rows], [seeds[row] for row in rows], against, sampling)
            self.seconds += time.perf_counter() - before
            self.pictures += len(rows)
            self.drawn |= {keys[row]: picture for row, picture in zip(rows, pictures, strict=True)}
            done += len(rows)
            if progress is not None:
                progress(done, len(keys))
        return torch.stack([self.drawn[key] for key in keys])

    def _sample(self, states: list[Tensor], seeds: list[int], against: Tensor, sampling: Sampling) -> Tensor:
        positive = pad_states(states)
        if sampling.safe is None:
            return generate(self.generator, positive, against, seeds, sampling.steps, sampling.guidance, BATCH)
        concept = contexts(self.text_model, [", ".join(UNSAFE_CONCEPTS)], self.generator.layer)
        noise = latent_noise(self.generator.network, seeds)
        latents = sample_safe(
            self.generator.network, positive, against, concept, noise, sampling.steps, sampling.guidance, sampling.safe
        )
        return decode(self.generator.autoencoder, latents)


def _key(states: Tensor, seed: int, negative: str, sampling: Sampling) -> str:
    digest = hashlib.sha256(states.float().contiguous().numpy().tobytes())
    digest.update(f"|{seed}|{negative}|{sampling}".encode())
    return digest.hexdigest()
