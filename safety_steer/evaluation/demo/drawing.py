"""Drawing in parts: all that goes into one batch of pictures, and the task that draws it in this process or in another one.

Batches can round otherwise than single pictures, and threads decide the last bits of sums. So a part is a batch that one
process would draw, with as many threads.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from ...demo_world.sampling import STEPS, DemoGenerator, decode, generate, latent_noise, load_generator
from ...errors import MismatchError
from ...runners.by_value import ByValue
from ...storage.kept_parts import key_of
from ...version import __version__
from .baselines import SafeLatentDiffusion, sample_safe
from .methods import Given

GUIDANCE = 3.0  # as generators are used (`demo_world.sampling`)
TENSORS = ("pictures", "seconds")  # what a part gives


@dataclass(frozen=True)
class Sampling:
    """How to sample: `steps`, classifier-free guidance, and safe latent diffusion instead of plain guidance if given."""

    steps: int = STEPS
    guidance: float = GUIDANCE
    safe: SafeLatentDiffusion | None = None


@dataclass(frozen=True, eq=False)
class Ask:
    """Pictures to draw, one per states (T_i, D), or picture, and seed. What is not `wanted` says which batches there are, and
    its pictures are drawn only where a later ask wants one of the batch.
    """

    given: Sequence[Given]
    seeds: Sequence[int]
    negative: str = ""
    sampling: Sampling = Sampling()
    wanted: bool = True


@dataclass(frozen=True, eq=False)
class Answer:
    """Pictures (N, 3, H, W), or videos (N, T, 3, H, W); how many were drawn for this ask first, and the seconds they took."""

    pictures: Tensor
    drawn: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Part:
    """One batch: "positive" contexts (B, T, D), the "negative" they are guided away from (1, T, D), SLD's "concept" (1, T, D)
    where there is one, and B seeds.

    `weights` identifies the generator's, for a worker that loads it by name.
    """

    generator: str
    weights: str
    threads: int
    contexts: ByValue
    seeds: tuple[int, ...]
    sampling: Sampling


def draw_part(part: Part, generator: DemoGenerator | None = None) -> ByValue:
    """Draw a part with a generator, or with the bundled one of its name: "pictures", and the "seconds" () they took.

    Raises MismatchError where the bundled one has other weights.
    """
    torch.set_num_threads(part.threads)
    found = _loaded(part.generator, part.weights) if generator is None else generator
    how, seeds, before = part.sampling, list(part.seeds), time.perf_counter()
    contexts = part.contexts
    if how.safe is None:
        steps = (how.steps, how.guidance)
        pictures = generate(found, contexts["positive"], contexts["negative"], seeds, *steps, batch=len(seeds))
    else:
        noise = latent_noise(found.network, seeds)
        three = (contexts["positive"], contexts["negative"], contexts["concept"])
        pictures = decode(found.autoencoder, sample_safe(found.network, *three, noise, how.steps, how.guidance, how.safe))
    return ByValue(pictures=pictures, seconds=torch.tensor(time.perf_counter() - before, dtype=torch.float64))


def part_key(part: Part) -> str:
    """Return what a part is kept as: by the weights, the versions and all that goes in."""
    contexts = {name: _digest([one]) for name, one in part.contexts.items()}
    return key_of(part.weights, part.threads, contexts, part.seeds, asdict(part.sampling), torch.__version__, __version__)


def picture_key(states: Tensor, seed: int, ask: Ask) -> str:
    """Return what identifies a picture of an ask: 64 hexadecimal digits."""
    return _digest([states.float()], f"|{seed}|{ask.negative}|{ask.sampling}")


def weights_digest(modules: Iterable[nn.Module]) -> str:
    """Identify the weights of modules: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _loaded(name: str, weights: str) -> DemoGenerator:
    """Return the bundled generator of a name; a process keeps the last one."""
    generator = load_generator(name)
    if weights_digest([generator.network, generator.autoencoder]) != weights:
        raise MismatchError(
            f"A worker has other weights of '{name}'. Install the same version of Safety Steer on all computers."
        )
    return generator


def _digest(tensors: Iterable[Tensor], text: str = "") -> str:
    digest = hashlib.sha256()
    for one in tensors:
        digest.update(one.contiguous().numpy().tobytes())
    digest.update(text.encode())
    return digest.hexdigest()
