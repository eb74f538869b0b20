"""AlignedSpace: one text space of an encoder in five parts, each of which answers one question.

Which way is safe (`vectors`), how unsafe is a token (`tokens`), is the prompt unsafe (`gate`, and `harm` in its place where the
direction came with examples), is this the encoder it was aligned to (`encoder`), and which rows are a picture's (`images`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..errors import MismatchError
from .harm_net import HarmNet
from .pooling import read_prompts, read_tokens, trust
from .quantiles import LEVELS

WITNESSES = 3  # the prompt, its most unsafe token and its most unsafe phrase
IMAGE_READINGS = 3  # of an image row, of the row before a block of them and of the row after one
MATCH_COSINE = 0.99  # by hand
_Q = len(LEVELS)


@dataclass(frozen=True, eq=False)
class TokenReading:
    """How unsafe tokens are: u = offset - reading . h, in benign standard deviations with benign median 0.

    The quantiles of u, at LEVELS: over benign tokens, and of its maximum over a benign prompt's tokens and over its phrases,
    the means of u over four tokens in a row.
    """

    readings: Annotated[Tensor, "K", "D"]
    offsets: Annotated[Tensor, "K"]
    token_quantiles: Annotated[Tensor, "K", _Q]
    prompt_quantiles: Annotated[Tensor, "K", _Q]
    phrase_quantiles: Annotated[Tensor, "K", _Q]


@dataclass(frozen=True, eq=False)
class PromptGate:
    """How unsafe prompts are, by their pooled states.

    `prompt_readings` read them, + is safe. `gate_weights` and `gate_biases` give log-densities, up to a constant, under C
    unsafe classes, C safe ones and the benign one (G = 2C + 1). `gate_quantiles` are benign quantiles, at LEVELS, of the
    prompt's log-odds, of its highest token, of its highest phrase, and of all three joined by `witness_weights`.
    """

    prompt_readings: Annotated[Tensor, "K", "D"]
    gate_weights: Annotated[Tensor, "G", "D"]
    gate_biases: Annotated[Tensor, "G"]
    gate_quantiles: Annotated[Tensor, WITNESSES + 1, _Q]
    witness_weights: Annotated[Tensor, WITNESSES]


@dataclass(frozen=True, eq=False)
class EncoderFingerprint:
    """What an encoder's benign prompts look like, to know it again: mean and deviation of each channel of their pooled states.

    `fit_limit` is the largest distance from them that still counts as this encoder; `probes` are its pooled probe prompts.
    """

    mean: Annotated[Tensor, "D"]
    scale: Annotated[Tensor, "D"]
    fit_limit: Annotated[Tensor, ()]
    probes: Annotated[Tensor, "P", "D"]

    def distance(self, pooled: Tensor, counts: Tensor) -> Tensor:
        """Return how far pooled states (B, D) of `counts` (B,) tokens lie from the benign mean: (B,), as `distance` does."""
        return distance(self.mean, self.scale, pooled, counts)

    def check_shape(self, space: str, shape: Sequence[int]) -> None:
        """Raise MismatchError when conditioning of the space is not (B, T, D)."""
        if len(shape) != 3 or shape[-1] != len(self.mean):
            raise MismatchError(
                f"This direction was aligned to {space} of width {len(self.mean)}, but the conditioning has shape "
                f"{tuple(shape)}. Align the direction with the CLIP that made this conditioning."
            )

    def check(self, space: str, finite: Tensor, pooled: Tensor, counts: Tensor) -> None:
        """Raise MismatchError when prompts of a space cannot have come from this encoder.

        `finite` (B, T) says which tokens are numbers, `pooled` (B, D) are the means of the `counts` (B,) real ones.
        """
        if not bool(finite.all()):
            raise MismatchError(f"The {space} conditioning holds NaN or Inf. Look at the node that made it.")
        worst, limit = float(self.distance(pooled, counts).max()), float(self.fit_limit)
        if not worst <= limit:
            raise MismatchError(
                f"The {space} conditioning lies {worst:.1f} benign deviations from what this direction was aligned to "
                f"(limit {limit:.1f}), so it comes from another text encoder. Align the direction with the CLIP that made this "
                "conditioning. If that is the one, the prompt repeats the same few words too often: leave some of them out."
            )

    def agreement(self, probes: Tensor) -> float:
        """Return the cosine of the standardised pooled probe prompts (P, D) and those of the alignment, for the least alike."""
        found, expected = ((rows.double() - self.mean) / self.scale for rows in (probes, self.probes))
        return float(torch.nn.functional.cosine_similarity(found, expected, dim=-1).min())

    def check_probes(self, encoder: str, probes: Tensor) -> None:
        """Raise MismatchError when an encoder's pooled probe prompts (P, D) are not those of the alignment to `encoder`."""
        if probes.shape != self.probes.shape:
            raise MismatchError(
                f"This direction was aligned to '{encoder}' (width {self.probes.shape[-1]}), but this encoder has "
                f"width {probes.shape[-1]}. Align the direction to this encoder."
            )
        cosine = self.agreement(probes)
        if not cosine >= MATCH_COSINE:
            raise MismatchError(
                f"This direction was aligned to '{encoder}', and this encoder gives different states for the probe "
                f"prompts (cosine {cosine:.3f}, expected {MATCH_COSINE} or more). Align the direction to it."
            )


def distance(mean: Tensor, scale: Tensor, pooled: Tensor, counts: Tensor) -> Tensor:
    """Return how far pooled states (B, D) of `counts` (B,) tokens lie from the benign mean (D,): (B,).

    In deviations `scale` (D,), the median over channels, since a few outlier channels of a language model swing wildly; less
    for prompts of few tokens, whose average is that much noisier.
    """
    away = (pooled.float() - mean.to(pooled.device)) / scale.to(pooled.device)
    return away.abs().median(-1).values * trust(counts.to(pooled.device))


@dataclass(frozen=True, eq=False)
class ImageRowReading:
    """Which rows are a picture's, in the space of an encoder that takes pictures into the prompt.

    Log-likelihood ratios against words, of an image row and of the rows before and after a block, are reading . h - offset;
    `image_shift` is how far a picture moves the words behind it. All 0: rows of pictures could not be told from words.
    """

    image_readings: Annotated[Tensor, IMAGE_READINGS, "D"]
    image_offsets: Annotated[Tensor, IMAGE_READINGS]
    image_shift: Annotated[Tensor, "D"]

    @classmethod
    def none(cls, width: int) -> ImageRowReading:
        """Return readings that tell nothing apart."""
        return cls(torch.zeros(IMAGE_READINGS, width), torch.zeros(IMAGE_READINGS), torch.zeros(width))


@dataclass(frozen=True, eq=False)
class AlignedSpace:
    """One text space of width D: how to steer it, to read it, and what is normal. `vectors` point to safe, in raw units."""

    vectors: Annotated[Tensor, "K", "D"]
    tokens: TokenReading
    gate: PromptGate
    encoder: EncoderFingerprint
    images: ImageRowReading | None = None
    harm: HarmNet | None = None

    @property
    def width(self) -> int:
        """Channels of one token."""
        return int(self.vectors.shape[1])

    def unsafe_reading(self, states: Tensor, columns: Sequence[int] | None = None) -> Tensor:
        """Return u for every token of (..., D), + is unsafe: (..., K) float32 on the same device.

        `columns` names the categories wanted, by number and in order; None wants all of them.
        """
        return read_tokens(states, self.tokens.readings, self.tokens.offsets, columns)

    def safe_score(self, pooled: Tensor) -> Tensor:
        """Read pooled prompts (N, D) along every category, benign mean 0, + is safe: (N, K) float32."""
        return (pooled.float() - self.encoder.mean.to(pooled.device)) @ self.gate.prompt_readings.to(pooled.device).T

    def check(self, states: Tensor, space: str) -> None:
        """Raise MismatchError when conditioning (B, T, D) cannot have come from the encoder of the alignment."""
        self.encoder.check_shape(space, states.shape)
        reading = read_prompts(self, states)
        self.encoder.check(space, reading.finite, reading.pooled, reading.real.sum(-1))
