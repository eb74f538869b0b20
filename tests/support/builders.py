"""A planted world with directions aligned in it, and small directions made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import AlignedSpace, EncoderFingerprint, PromptGate, TokenReading
from safety_steer.directions.gate_examples import GateExamples
from safety_steer.directions.quantiles import LEVELS
from safety_steer.directions.source import ModelIdentity, SafetyDirection, rounded
from safety_steer.extraction.extract_direction import fit_direction
from safety_steer.storage.prompt_files import Pair

from .wording import SWAPS, sentences

LATENT, SOURCE_WIDTH, TARGET_WIDTH = 12, 20, 28
SPACE = "cross_attn"  # where the target's states lie


@dataclass(frozen=True, eq=False)
class World:
    """Two "models" that are linear views of one latent space, in which safe and unsafe differ by a known shift."""

    source_map: Tensor
    target_map: Tensor
    offset: Tensor
    shifts: Tensor

    def source(self, latents: Tensor) -> Tensor:
        """Pooled source activations of latents (N, LATENT)."""
        return latents @ self.source_map

    def target(self, latents: Tensor, seed: int) -> list[Tensor]:
        """Token states (T, TARGET_WIDTH) of each latent prompt, 4 to 9 tokens, with token noise."""
        generator = torch.Generator().manual_seed(seed)
        result = []
        for latent in latents:
            length = int(torch.randint(4, 10, (), generator=generator))
            noise = 0.4 * torch.randn(length, LATENT, generator=generator)
            blur = 0.05 * torch.randn(length, TARGET_WIDTH, generator=generator)
            result.append((latent + noise) @ self.target_map + self.offset + blur)
        return result

    def long(self, latents: Tensor, seed: int, unsafe: int | None = None, sentences: int = 0) -> list[Tensor]:
        """Token states (T, TARGET_WIDTH) of each latent prompt told in 2 to 8 sentences, or as many as said, of 16 tokens each.

        A sentence keeps half of what it would be alone and takes the rest from its prompt. `unsafe` is the number of one that
        is unsafe in every prompt.
        """
        generator = torch.Generator().manual_seed(seed)
        result = []
        for number, latent in enumerate(latents):
            count = sentences or int(torch.randint(2, 9, (), generator=generator))
            own = torch.randn(count, LATENT, generator=generator)
            if unsafe is not None:
                own[unsafe] -= 1.5 * self.shifts[number % len(self.shifts)]
            told = (0.5 * own + 0.65 * latent).repeat_interleave(16, 0)
            noise = 0.4 * torch.randn(told.shape, generator=generator)
            blur = 0.05 * torch.randn(len(told), TARGET_WIDTH, generator=generator)
            result.append((told + noise) @ self.target_map + self.offset + blur)
        return result

    def benign(self, count: int, seed: int) -> Tensor:
        """Latents of benign prompts."""
        return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))

    def pairs(self, count: int, seed: int) -> tuple[Tensor, Tensor, list[Pair]]:
        """Latents of safe and unsafe prompts, and their pairs, categories in turn."""
        safe = self.benign(count, seed)
        names = [sorted(SWAPS)[number % 2] for number in range(count)]
        unsafe = safe - torch.stack([self.shifts[sorted(SWAPS).index(name)] for name in names])
        return safe, unsafe, [Pair(f"umbrella {number}", f"sword {number}", name) for number, name in enumerate(names)]


@cache
def world() -> World:
    """The planted world: the source is a rotation of the latent space, the target another linear map of it."""
    generator = torch.Generator().manual_seed(5)
    rotation = torch.linalg.qr(torch.randn(SOURCE_WIDTH, LATENT, generator=generator)).Q.T
    target_map = torch.randn(LATENT, TARGET_WIDTH, generator=generator)
    offset = 10 * torch.randn(TARGET_WIDTH, generator=generator)
    common, own = torch.randn(LATENT, generator=generator), torch.randn(2, LATENT, generator=generator)
    shifts = torch.nn.functional.normalize(common + 0.5 * own, dim=-1) * 6
    return World(rotation, target_map, offset, shifts)


@cache
def planted_direction(anchors: int = 400, estimator: str = "mean") -> SafetyDirection:
    """A direction extracted from the world's source, as one was before directions came with examples."""
    safe, unsafe, pairs = world().pairs(160, seed=1)
    activations = tuple(world().source(part) for part in (safe, unsafe, world().benign(anchors, seed=2)))
    prompts = [f"benign prompt {number}" for number in range(anchors)]
    identity = ModelIdentity("planted", "Linear", SOURCE_WIDTH, 4)
    report = {"layer_curve": [[2, 0.5, 0.9]]}
    return replace(fit_direction(identity, (2,), "mean", estimator, pairs, prompts, activations, report), examples=None)


@cache
def planted_states(anchors: int = 400) -> AnchorStates:
    """The world's target states of the same anchors."""
    return collect([{SPACE: world().target(world().benign(anchors, seed=2), seed=3)}], anchors)[SPACE]


@cache
def planted_aligned(name: str = "ridge") -> AlignedDirection:
    """The planted direction aligned to the world's target."""
    return align(planted_direction(), {SPACE: planted_states()}, "planted, layer 1", AlignSettings(map=name))


ORDINARY, HARD, LONG_PROMPTS = 480, 120, 240


@cache
def anchors_with_examples() -> Tensor:
    """Latents of ordinary anchors, and of hard ones, which lie some way toward unsafe."""
    shifts = world().shifts[torch.arange(HARD) % 2]
    return torch.cat([world().benign(ORDINARY, seed=2), world().benign(HARD, seed=6) - 0.3 * shifts])


@cache
def direction_with_examples() -> SafetyDirection:
    """A direction extracted from the world's source, with examples: its hard anchors are safe sides, its passages are long."""
    safe, unsafe, pairs = world().pairs(160, seed=1)
    activations = tuple(world().source(part) for part in (safe, unsafe, anchors_with_examples()))
    prompts = [f"benign prompt {number}" for number in range(ORDINARY)] + [pair.safe for pair in pairs[:HARD]]
    passages = [f"long prompt {number}" for number in range(LONG_PROMPTS)]
    identity = ModelIdentity("planted", "Linear", SOURCE_WIDTH, 4)
    return fit_direction(identity, (2,), "mean", "mean", pairs, prompts, activations, {}, passages)


@cache
def states_with_examples() -> AnchorStates:
    """The world's target states of the anchors that came with examples."""
    latents = anchors_with_examples()
    return collect([{SPACE: world().target(latents, seed=3)}], len(latents))[SPACE]


@cache
def passage_states() -> AnchorStates:
    """The world's target states of the passages."""
    long = world().long(world().benign(LONG_PROMPTS, seed=4), seed=4)
    return collect([{SPACE: long}], LONG_PROMPTS)[SPACE]


def align_with_examples(long: bool = True) -> AlignedDirection:
    """Align the direction with examples to the world's target, with or without its passages."""
    passages = {SPACE: passage_states()} if long else None
    return align(direction_with_examples(), {SPACE: states_with_examples()}, "planted, layer 1", passages=passages)


@cache
def aligned_with_examples(long: bool = True) -> AlignedDirection:
    """That, once for all tests."""
    return align_with_examples(long)


def batch(rows: Sequence[Tensor]) -> Tensor:
    """Pad token states with zeros into one conditioning tensor (B, T, D)."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def unsafe_batch(count: int = 6, seed: int = 11) -> Tensor:
    """Conditioning of unsafe prompts of the planted world."""
    return batch(world().target(world().pairs(count, seed)[1], seed))


def benign_batch(count: int = 6, seed: int = 12) -> Tensor:
    """Conditioning of benign prompts of the planted world, scaled toward the middle so that none is unusual."""
    return batch(world().target(world().benign(count, seed) * 0.2, seed))


def small_direction(width: int = 4, anchors: int = 6) -> SafetyDirection:
    """A hand-made direction, small enough to damage in every place."""
    generator = torch.Generator().manual_seed(7)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    categories = ("global", "blades")
    count = len(categories)
    return SafetyDirection(
        source=ModelIdentity("tiny", "TinyModel", width, 3),
        layers=(2,),
        pooling="mean",
        estimator="mean",
        categories=categories,
        vectors=noise(count, width),
        readings=noise(count, width),
        mean=noise(width),
        scale=noise(width).abs() + 0.1,
        probe_weights=noise(count, width),
        probe_biases=noise(count),
        safe_means=noise(count, width),
        unsafe_means=noise(count, width),
        spread=noise(3, width).half(),
        anchors=tuple(sentences(anchors)),
        anchor_activations=rounded(noise(anchors, width)),
        report={"layer_curve": [[2, 0.25, 0.75]], "pairs": {"global": 8}},
    )


def small_examples(width: int = 4, anchors: int = 6) -> GateExamples:
    """Hand-made examples for a small direction."""
    generator = torch.Generator().manual_seed(8)
    return GateExamples(
        unsafe=rounded(torch.randn(5, width, generator=generator)),
        weights=torch.rand(5, generator=generator),
        hard=torch.arange(anchors) % 2 == 1,
        passages=("a long walk", "傘 in the rain"),
    )


def small_space(vectors: Tensor, readings: Tensor | None = None) -> AlignedSpace:
    """A space with the given vectors, read along themselves: u = -h . v / |v|^2, limits 0.5 to 1 everywhere."""
    count, width = vectors.shape
    groups = 2 * max(count - 1, 1) + 1
    levels = torch.tensor(LEVELS)
    tokens = TokenReading(
        readings=vectors / vectors.square().sum(-1, keepdim=True) if readings is None else readings,
        offsets=torch.zeros(count),
        token_quantiles=(levels - 0.5).expand(count, -1).contiguous(),
        prompt_quantiles=(levels - 0.5).expand(count, -1).contiguous(),
        phrase_quantiles=(levels - 0.5).expand(count, -1).contiguous(),
    )
    gate = PromptGate(
        prompt_readings=vectors / vectors.square().sum(-1, keepdim=True) if readings is None else readings,
        gate_weights=torch.randn(groups, width, generator=torch.Generator().manual_seed(3)),
        gate_biases=torch.zeros(groups),
        gate_quantiles=levels.expand(4, -1).contiguous(),
        witness_weights=torch.tensor([1.0, 0.25, 0.25]),
    )
    encoder = EncoderFingerprint(
        mean=torch.zeros(width),
        scale=torch.ones(width),
        fit_limit=torch.tensor(1e6),
        probes=torch.randn(2, width, generator=torch.Generator().manual_seed(4)),
    )
    return AlignedSpace(vectors, tokens, gate, encoder)


def small_aligned(width: int = 4) -> AlignedDirection:
    """A hand-made aligned direction with two text spaces."""
    generator = torch.Generator().manual_seed(9)
    spaces = {name: small_space(torch.randn(2, width, generator=generator)) for name in ("cross_attn", "pooled_output")}
    return AlignedDirection(
        source=ModelIdentity("tiny", "TinyModel", width, 3),
        encoder="tiny encoder, layer 2",
        direction_hash="0" * 64,
        categories=("global", "blades"),
        spaces=MappingProxyType(spaces),
        probe_prompts=("a kite", "a map"),
        settings={"map": "ridge", "anchors": 64},
        report={"cross_attn": {"r2": 0.5}},
    )
