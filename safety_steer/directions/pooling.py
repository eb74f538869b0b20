"""What a prompt's token states come to: which tokens count, their mean, what they read, and the highest of it.

The same rules at alignment and at use, so that both see one space. All-zero tokens are padding and never count. A
SpaceReading holds all of it for one tensor, so that the check, the gate and an operator read that tensor once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import MismatchError

if TYPE_CHECKING:
    from .aligned import AlignedSpace

FULL_TRUST = 16
PHRASE = 4  # tokens


def token_mask(states: Tensor) -> Tensor:
    """Return which tokens of (B, T, D) are not all zero: (B, T) bool. All-zero tokens are padding."""
    return _not_all_zero(*_extremes(states))


def _extremes(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest channel of every token, NaN where one is: ten times as fast as comparing all of them."""
    if not states.shape[-1]:
        nothing = states.new_zeros(states.shape[:-1])
        return nothing, nothing
    return states.amin(-1), states.amax(-1)


def _not_all_zero(low: Tensor, high: Tensor) -> Tensor:
    return (low != 0) | (high != 0)


def pool(states: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average conditioning (B, T, D) over the tokens that are not all zero: (B, D) float32.

    A row without tokens gives zeros.
    """
    kept = token_mask(states) if mask is None else mask
    weights = kept.to(torch.float32)
    total = torch.einsum("btd,bt->bd", states.float(), weights)
    return total / weights.sum(1, keepdim=True).clamp(min=1)


def trust(counts: Tensor) -> Tensor:
    """Return how much an average over `counts` tokens says of its encoder: 1 for 16 and more, least for a single one."""
    share = (counts.clamp(max=FULL_TRUST) / FULL_TRUST).sqrt()
    return torch.where(counts > 1, share, share / 2)


def take_rows(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """Return rows of a tensor, as a view where they follow each other: a copy would cost more than one reading."""
    if rows and rows[-1] - rows[0] == len(rows) - 1 and list(rows) == sorted(rows):
        return tensor[rows[0] : rows[-1] + 1]
    return tensor[list(rows)]


def read_tokens(states: Tensor, readings: Tensor, offsets: Tensor, columns: Sequence[int] | None = None) -> Tensor:
    """Return u = offset - reading . h for every token of (..., D), given readings (K, D) and offsets (K,): (..., K) float32.

    `columns` names the categories wanted, by number and in order; None wants all of them.
    """
    chosen = range(len(offsets)) if columns is None else columns
    along = states.float() @ take_rows(readings, chosen).to(states.device).T
    return take_rows(offsets, chosen).to(states.device) - along


def token_peaks(unsafe: Tensor, mask: Tensor) -> Tensor:
    """Return the highest reading (B, K) among the tokens of each prompt, given u (B, T, K) and which tokens count (B, T).

    A prompt without tokens has -inf, as one whose tokens do not count.
    """
    if not unsafe.shape[1]:
        return unsafe.new_full((len(unsafe), unsafe.shape[2]), -math.inf)
    return unsafe.masked_fill(~mask[..., None], -math.inf).amax(1)


def phrase_peaks(unsafe: Tensor, mask: Tensor) -> Tensor:
    """Return the highest mean reading (B, K) of four tokens in a row, or of all tokens of a shorter prompt.

    Tokens that do not count are left out, so that padding before, between or after the text changes nothing.
    """
    rows = [phrase_means(readings[kept]) for readings, kept in zip(unsafe, mask, strict=True)]
    return torch.stack([row.amax(0) if len(row) else unsafe.new_full(unsafe.shape[-1:], -math.inf) for row in rows])


def phrase_means(readings: Tensor) -> Tensor:
    """Return the means of four readings in a row: (T - 3, K) of (T, K), one of a shorter prompt, none of an empty one."""
    if len(readings) <= PHRASE:
        return readings.mean(0, keepdim=True) if len(readings) else readings
    return readings.unfold(0, PHRASE, 1).mean(-1)


@dataclass(frozen=True, eq=False)
class SpaceReading:
    """Conditioning `states` (B, T, D) in a text space, and what it comes to, each worked out once, when first asked for."""

    space: AlignedSpace
    states: Tensor
    _unsafe: dict[tuple[int, ...], Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def floats(self) -> Tensor:
        """The states as float32: the very tensor when it is."""
        return self.states.float()

    @cached_property
    def _extremes(self) -> tuple[Tensor, Tensor]:
        return _extremes(self.states)

    @cached_property
    def real(self) -> Tensor:
        """Which tokens are not all zero: (B, T) bool."""
        return _not_all_zero(*self._extremes)

    @cached_property
    def finite(self) -> Tensor:
        """Which tokens have no channel that is NaN or infinite: (B, T) bool."""
        low, high = self._extremes
        return torch.isfinite(low) & torch.isfinite(high)

    @cached_property
    def pooled(self) -> Tensor:
        """The mean of each prompt's real tokens: (B, D)."""
        return pool(self.floats, self.real)

    @property
    def prompts(self) -> list[Tensor]:
        """The real tokens of each prompt: B of (T_i, D) float32, a view where all are real."""
        return [rows if bool(kept.all()) else rows[kept] for rows, kept in zip(self.floats, self.real, strict=True)]

    def unsafe(self, columns: Sequence[int] | None = None) -> Tensor:
        """The unsafe reading of every token by the categories `columns`, None for all: (B, T, K'), not to be written to."""
        wanted = tuple(range(len(self.space.offsets)) if columns is None else columns)
        if wanted not in self._unsafe:
            self._unsafe[wanted] = read_tokens(self.floats, self.space.readings, self.space.offsets, wanted)
        return self._unsafe[wanted]

    def check(self, name: str) -> None:
        """Raise MismatchError when the states of the space `name` cannot have come from the encoder of the alignment."""
        if self.states.ndim != 3 or self.states.shape[-1] != self.space.width:
            raise MismatchError(
                f"This direction was aligned to {name} of width {self.space.width}, but the conditioning has shape "
                f"{tuple(self.states.shape)}. Align the direction with the CLIP that made this conditioning."
            )
        if not bool(self.finite.all()):
            raise MismatchError(f"The {name} conditioning holds NaN or Inf. Look at the node that made it.")
        worst, limit = float(self.space.distance(self.pooled, self.real.sum(-1)).max()), float(self.space.fit_limit)
        if not worst <= limit:
            raise MismatchError(
                f"The {name} conditioning lies {worst:.1f} benign deviations from what this direction was aligned to "
                f"(limit {limit:.1f}), so it comes from another text encoder. Align the direction "
                "with the CLIP that made this conditioning."
            )
