"""What a prompt's token states come to: which tokens count, their mean, what they read, and the highest of it.

The same rules at alignment and at use, so that both see one space. All-zero tokens are padding and never count. `read_space`
works all of it out for one tensor, so that the check, the gate and an operator use one reading and none of them reads again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..fast_products import fast_product
from .passages import LONG, PASSAGE, STEP, Passages, passage_starts

if TYPE_CHECKING:
    from .aligned_space import AlignedSpace

FULL_TRUST = 16  # by hand; tokens
PHRASE = 4  # by hand; tokens


def token_mask(states: Tensor) -> Tensor:
    """Return which tokens of (B, T, D) are not all zero: (B, T) bool. All-zero tokens are padding."""
    low, high = _extremes(states)
    return (low != 0) | (high != 0)


def _extremes(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest channel of every token, NaN where one is: ten times as fast as comparing all of them."""
    if not states.shape[-1]:
        nothing = states.new_zeros(states.shape[:-1])
        return nothing, nothing
    return states.amin(-1), states.amax(-1)


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
    return take_rows(offsets, chosen).to(states.device) - _along(states.float(), take_rows(readings, chosen))


def _along(floats: Tensor, readings: Tensor) -> Tensor:
    """Return reading . h for every token of (..., D): (..., K). Readings times tokens is faster than tokens times readings."""
    flat = floats.reshape(-1, floats.shape[-1])
    return fast_product(readings.to(floats.device), flat.T).T.reshape(*floats.shape[:-1], len(readings))


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


def cut(prompts: list[Tensor]) -> Passages:
    """Cut prompts, each given by its real tokens (T_i, D), into passages; prompts of fewer than 32 tokens have none."""
    means, whole, owner, starts = [], [], [], []
    for number, rows in enumerate(prompts):
        if len(rows) < LONG:
            continue
        first = passage_starts(len(rows), rows.device)
        sums, total = _passage_sums(rows)
        means.append(sums / PASSAGE)
        whole.append((total / len(rows)).expand(len(first), -1))
        owner.append(torch.full_like(first, number))
        starts.append(first)
    if not means:
        width = prompts[0].shape[-1] if prompts else 0
        device = prompts[0].device if prompts else torch.device("cpu")
        nothing, none = torch.zeros(0, width, device=device), torch.zeros(0, dtype=torch.long, device=device)
        return Passages(nothing, nothing, none, none)
    return Passages(*(torch.cat(parts) if len(parts) > 1 else parts[0] for parts in (means, whole, owner, starts)))


def _passage_sums(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of a prompt's passages (W, D), and of all its tokens (D,), by way of sums of as many as a step."""
    steps = len(rows) // STEP
    blocks = rows[: STEP * steps].reshape(steps, STEP, -1).sum(1, dtype=torch.float32)
    rest = rows[STEP * steps :]
    sums = blocks.unfold(0, PASSAGE // STEP, 1).sum(-1)
    if not len(rest):
        return sums, blocks.sum(0)
    last = rows[-PASSAGE:].sum(0, keepdim=True, dtype=torch.float32)
    return torch.cat([sums, last]), blocks.sum(0) + rest.sum(0, dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class SpaceReading:
    """Conditioning `states` (B, T, D) in a text space, also as `floats`, float32, and what its tokens come to.

    `unsafe` (B, T, K) are their unsafe readings by every category, `real` (B, T) says which are not all zero, `finite` (B, T)
    which have no NaN or infinite channel. No tensor here is to be written to.
    """

    space: AlignedSpace
    states: Tensor
    floats: Tensor
    unsafe: Tensor
    real: Tensor
    finite: Tensor


@dataclass(frozen=True, eq=False)
class PromptReading(SpaceReading):
    """What the prompts come to as well: `pooled` (B, D), the means of their real tokens, and the `passages` of long ones.

    There are no passages where no network hears them, or none were asked for.
    """

    pooled: Tensor
    passages: Passages


def read_space(space: AlignedSpace, states: Tensor) -> SpaceReading:
    """Read the tokens of conditioning (B, T, D) once, for all that comes after."""
    floats = states.float()
    along = _along(floats, space.tokens.readings)
    unsafe = space.tokens.offsets.to(floats.device) - along
    return SpaceReading(space, states, floats, unsafe, _real(floats, along), _finite(floats, along))


def read_prompts(space: AlignedSpace, states: Tensor, passages: bool = False) -> PromptReading:
    """Read conditioning (B, T, D) once, tokens and prompts; with `passages`, what a gate's networks hear too."""
    read = read_space(space, states)
    heard = passages and space.harm is not None and not space.harm.silent
    pooled = pool(read.floats, read.real)
    found = cut(_real_rows(read.floats, read.real) if heard else [pooled[:0]])
    return PromptReading(space, states, read.floats, read.unsafe, read.real, read.finite, pooled, found)


def take_columns(values: Tensor, columns: Sequence[int]) -> Tensor:
    """Return columns of (..., K), as a view where they follow each other."""
    if list(columns) == list(range(values.shape[-1])):
        return values
    return take_rows(values.movedim(-1, 0), columns).movedim(0, -1)


def _real(floats: Tensor, along: Tensor) -> Tensor:
    """Return which tokens of (B, T, D) are not all zero, (B, T), given reading . h by every category, (B, T, K).

    A token that reads anything is not zero, so that all channels are looked at only from the first to the last that reads 0.
    """
    real = (along != 0).any(-1)
    if bool(real.all()):
        return real
    doubtful = (~real).flatten().nonzero()[:, 0]
    span = slice(int(doubtful[0]), int(doubtful[-1]) + 1)
    real.view(-1)[span] = token_mask(floats.flatten(0, 1)[span])
    return real


def _finite(floats: Tensor, along: Tensor) -> Tensor:
    """Return which tokens of (B, T, D) have no NaN or infinite channel: (B, T), all where the sum of every reading . h is one.

    No finite sum has a NaN or infinite term, and such a channel times 0 is NaN.
    """
    if along.shape[-1] and math.isfinite(float(along.sum())):
        return torch.ones(floats.shape[:-1], dtype=torch.bool, device=floats.device)
    low, high = _extremes(floats)
    return torch.isfinite(low) & torch.isfinite(high)


def _real_rows(floats: Tensor, real: Tensor) -> list[Tensor]:
    """Return the real tokens of each prompt: B of (T_i, D), a view where all are real."""
    return [rows if bool(kept.all()) else rows[kept] for rows, kept in zip(floats, real, strict=True)]
