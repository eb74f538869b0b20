"""Operators on conditioning: erase, clip, project and add, for one or several safety directions at once.

With u_c the unsafe reading of a token (in benign standard deviations, benign median 0) and v_c the vector to safe:

- `add` adds strength * v_c to every token (arXiv 2606.05290 eq. 10).
- `project` brings every token on the unsafe side of the benign median (u_c > 0) back to it.
- `clip` brings back the tokens beyond a benign token quantile, and only in flagged prompts: those whose gate is open or,
  without a gate, those with a token beyond what all but a few benign prompts ever show. Two thresholds, because text
  encoders are contextual: the neighbours of a flagged token carry its meaning too, below any strict limit.
- `erase` clips ten times as far with every token's length kept, and puts the mean of the prompt's other tokens in the place
  of its unsafe words: a word pushed along a direction still names its thing, and what is not there is not drawn.

Bringing several readings back together solves the small system G a = strength * u with G_ij = reading_i . v_j, so
that overlapping directions are not counted twice. All-zero tokens (padding) are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..directions.aligned import LEVELS, AlignedSpace, take_rows, token_mask
from ..errors import DataError
from .erase import fill_from_rest, unsafe_words

OPERATORS = ("clip", "project", "add", "erase")
PROMPT_QUANTILE = 0.995
TOKEN_QUANTILE = 0.75
WORD_QUANTILE = 0.995  # of benign tokens
STRIKING_QUANTILE = 0.999  # of the highest tokens of benign prompts
STANDS_OUT = 0.5  # of its prompt's highest: a strong word raises all tokens, and the subject is not to go with it
TURN = 10.0  # how many times as far as clip does erase turn what it does not erase
GRAM_RIDGE = 1e-3
MAX_STRENGTH = 1000.0


@dataclass(frozen=True, eq=False)
class Steered:
    """Steered states (B, T, D), with what was done: unsafe readings before and after (B, T, K'), and moves (B, T).

    `categories` names the K' columns, `limits` (K',) the reading above which a token is flagged, `erased` (B, T) the tokens
    that gave way to the rest of their prompt, None for none. When nothing moved, `states` is the very tensor that came in.
    """

    states: Tensor
    categories: tuple[str, ...]
    before: Tensor
    after: Tensor
    moved: Tensor
    limits: Tensor
    erased: Tensor | None = None

    @property
    def flagged(self) -> Tensor:
        """Which tokens moved: (B, T) bool."""
        return self.moved > 0


def active_strengths(strengths: Mapping[str, float], categories: tuple[str, ...]) -> dict[str, float]:
    """Return the strengths that are not 0, in the order of `categories`.

    Raises DataError for a category the direction does not have, or a strength beyond 1,000.
    """
    for name, value in strengths.items():
        if name not in categories:
            raise DataError(f"This direction has no category '{name}'. It has: {', '.join(categories)}.")
        if not abs(value) <= MAX_STRENGTH:
            raise DataError(f"The strength of '{name}' should be a finite number within {MAX_STRENGTH:g} of 0, but is {value}.")
    return {name: float(strengths[name]) for name in categories if strengths.get(name, 0.0) != 0.0}


def steer(
    states: Tensor,
    space: AlignedSpace,
    categories: tuple[str, ...],
    strengths: Mapping[str, float],
    operator: str = "clip",
    gate: Tensor | None = None,
    token_quantile: float = TOKEN_QUANTILE,
    preserve_norm: bool = False,
    reach: Tensor | None = None,
) -> Steered:
    """Steer conditioning (B, T, D); `gate` (B,) in 0..1 scales the strength of each row, `reach` (B, T) says what may move.

    The result has the dtype and device of `states`, which is never written to. Strength 0, an empty set of
    categories, a closed gate and, for clip and erase, no flagged prompt, give back `states` itself.
    Raises DataError for an unknown operator or category, or a quantile out of range.
    """
    if operator not in OPERATORS:
        raise DataError(f"Expected operator {', '.join(OPERATORS)}, but got '{operator}'.")
    active = active_strengths(strengths, categories)
    if operator == "erase":
        return _erase(states, space, categories, active, gate, token_quantile, preserve_norm, reach)
    return shift(states, space, categories, active, operator, gate, token_quantile, preserve_norm, reach)


def shift(
    states: Tensor,
    space: AlignedSpace,
    categories: tuple[str, ...],
    active: Mapping[str, float],
    operator: str,
    gate: Tensor | None,
    token_quantile: float,
    preserve_norm: bool,
    reach: Tensor | None = None,
) -> Steered:
    """Add, project or clip along the active categories; `steer` is this and `erase`."""
    columns = [categories.index(name) for name in active]
    unsafe = space.unsafe_reading(states, columns)
    limits = _token_limits(space, columns, operator, token_quantile).to(states.device)
    opened = _opened(states, space, columns, unsafe, operator) if gate is None else gate.to(states.device).float()
    chosen = ((unsafe > limits) & (opened != 0)[:, None, None]).any(-1)
    if reach is not None:
        chosen = chosen & reach.to(chosen.device)
    padding = take_rows(space.offsets, columns).to(states.device)
    index = _nonzero_rows(states, chosen, unsafe, padding)
    moved = torch.zeros(chosen.shape, device=states.device)
    if not len(index):
        return Steered(states, tuple(active), unsafe, unsafe, moved, limits)
    unsafe_rows = unsafe.flatten(0, 1).index_select(0, index)
    vectors = take_rows(space.vectors, columns).to(states.device)
    readings = take_rows(space.readings, columns).to(states.device)
    amounts = torch.tensor(list(active.values()), device=states.device) * opened[:, None]
    coefficients = amounts.index_select(0, index // states.shape[1])
    if operator != "add":
        coefficients = _back_to_median(unsafe_rows, unsafe_rows > limits, coefficients, readings @ vectors.T)
    result = states.clone(memory_format=torch.contiguous_format)
    if preserve_norm:
        change = _turn(result, index, coefficients, vectors)
        after_rows, moved_rows = unsafe_rows - change @ readings.T, change.norm(dim=-1)
    else:
        _move(result, index, coefficients, vectors)
        after_rows = unsafe_rows - coefficients @ (vectors @ readings.T)
        moved_rows = (coefficients @ (vectors @ vectors.T) * coefficients).sum(-1).clamp(min=0).sqrt()
    after = unsafe.clone()
    after.view(-1, len(columns)).index_copy_(0, index, after_rows)
    moved.view(-1).index_copy_(0, index, moved_rows)
    return Steered(result, tuple(active), unsafe, after, moved, limits)


def _erase(
    states: Tensor,
    space: AlignedSpace,
    categories: tuple[str, ...],
    active: Mapping[str, float],
    gate: Tensor | None,
    token_quantile: float,
    preserve_norm: bool,
    reach: Tensor | None = None,
) -> Steered:
    """Turn tokens away, and fill the places of unsafe words; "global" finds words of any category."""
    columns = [categories.index(name) for name in active]
    found = word_columns(categories, active)
    if not found or not states.shape[1] or (gate is not None and not bool(gate.any())):
        return shift(states, space, categories, active, "clip", gate, token_quantile, preserve_norm, reach)
    unsafe = space.unsafe_reading(states, found)
    opened = _opened(states, space, found, unsafe, "clip") if gate is None else gate.to(states.device).float()
    further = {name: TURN * value for name, value in active.items()}
    turned = shift(states, space, categories, further, "clip", opened, token_quantile, True, reach)
    share = (max(active.values()) * opened).clamp(0, 1)
    peaks = at_quantile(take_rows(space.prompt_quantiles, found), STRIKING_QUANTILE).to(states.device)
    real = token_mask(states)
    steered = (share > 0)[:, None] & real
    if reach is not None:
        steered = steered & reach.to(steered.device)
    standing = word_standing(unsafe, space, found).masked_fill(~steered, 0)
    flagged = standing > word_limit(standing)
    erased = unsafe_words(flagged, (unsafe > peaks).any(-1) & steered, real)
    if reach is not None:
        erased = erased & reach.to(erased.device)
    if not bool(erased.any()):
        return turned
    filled = fill_from_rest(turned.states, erased, real, share, preserve_norm)
    after = space.unsafe_reading(filled, columns)
    moved = (filled.float() - states.float()).norm(dim=-1)
    return replace(turned, states=filled, after=after, moved=moved, erased=erased)


def word_columns(categories: tuple[str, ...], active: Mapping[str, float]) -> list[int]:
    """Return the numbers of the categories whose words `erase` finds."""
    return [number for number, name in enumerate(categories) if name in active or categories[0] in active]


def word_standing(unsafe: Tensor, space: AlignedSpace, columns: list[int]) -> Tensor:
    """Return how far tokens stand out, given their unsafe readings (B, T, K): (B, T), 1 at the strict benign quantile."""
    limits = at_quantile(take_rows(space.token_quantiles, columns), WORD_QUANTILE).to(unsafe.device)
    return (unsafe / limits.clamp(min=1e-6)).amax(-1)


def word_limit(standing: Tensor) -> Tensor:
    """Return beyond what a token of each prompt (B, T) is one of its unsafe words: (B, 1)."""
    return (STANDS_OUT * standing.amax(1, keepdim=True)).clamp(min=1)


def _move(result: Tensor, index: Tensor, coefficients: Tensor, vectors: Tensor) -> None:
    """Add coefficients @ vectors to the tokens `index` of contiguous (B, T, D), in place; rounded once."""
    flat = result.view(-1, result.shape[-1])
    change = coefficients * vectors if len(vectors) == 1 else coefficients @ vectors
    if result.dtype == torch.float32:
        flat.index_add_(0, index, change)
    else:
        flat.index_copy_(0, index, (flat.index_select(0, index).float() + change).to(result.dtype))


def _turn(result: Tensor, index: Tensor, coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Like `_move`, but every token keeps its length; return the change (M, D)."""
    flat = result.view(-1, result.shape[-1])
    rows = flat.index_select(0, index).float()
    target = rows + coefficients @ vectors
    target = target * (rows.norm(dim=-1, keepdim=True) / target.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    flat.index_copy_(0, index, target.to(result.dtype))
    change: Tensor = target - rows
    return change


def _token_limits(space: AlignedSpace, columns: list[int], operator: str, quantile: float) -> Tensor:
    """Return the unsafe reading above which a token is moved, per active category: (K',)."""
    if not LEVELS[0] <= quantile <= LEVELS[-1]:
        raise DataError(f"Expected a token quantile from {LEVELS[0]} to {LEVELS[-1]}, but got {quantile}.")
    if operator == "add":
        return torch.full((len(columns),), -math.inf)
    if operator == "project":
        return torch.zeros(len(columns))
    return at_quantile(take_rows(space.token_quantiles, columns), quantile)


def opening_without_gate(
    states: Tensor, space: AlignedSpace, categories: tuple[str, ...], active: Mapping[str, float], operator: str
) -> Tensor:
    """Return what `steer` takes for the gate where it is given none: 1 for prompts (B, T, D) that it steers, else 0; (B,)."""
    erases = operator == "erase"
    columns = word_columns(categories, active) if erases else [categories.index(name) for name in active]
    return _opened(states, space, columns, space.unsafe_reading(states, columns), "clip" if erases else operator)


def _opened(states: Tensor, space: AlignedSpace, columns: list[int], unsafe: Tensor, operator: str) -> Tensor:
    """Decide without a gate which prompts are steered: all, but for clip those beyond the benign prompts' quantile.

    Several categories share that quantile (Bonferroni), so that more of them do not flag more benign prompts.
    """
    if operator != "clip" or not columns:
        return torch.ones(len(states), device=states.device)
    shared = 1 - (1 - PROMPT_QUANTILE) / len(columns)
    limits = at_quantile(take_rows(space.prompt_quantiles, columns), shared).to(states.device)
    index = _nonzero_rows(states, (unsafe > limits).any(-1), unsafe, take_rows(space.offsets, columns).to(states.device))
    opened = torch.zeros(len(states), device=states.device)
    opened[index // states.shape[1]] = 1
    return opened


def at_quantile(quantiles: Tensor, level: float) -> Tensor:
    """Interpolate quantiles (..., Q) given at LEVELS: (...)."""
    upper = next(index for index, value in enumerate(LEVELS) if value >= level)
    if upper == 0:
        return quantiles[..., 0]
    share = (level - LEVELS[upper - 1]) / (LEVELS[upper] - LEVELS[upper - 1])
    return torch.lerp(quantiles[..., upper - 1], quantiles[..., upper], share)


def _nonzero_rows(states: Tensor, chosen: Tensor, unsafe: Tensor, padding: Tensor) -> Tensor:
    """Return the flat numbers of the chosen tokens (B, T) that are not all zero: (M,).

    An all-zero token reads exactly `padding` (K',); only tokens that do are looked at in full.
    """
    index = chosen.flatten().nonzero()[:, 0]
    suspect = (unsafe.flatten(0, 1).index_select(0, index) == padding).all(-1)
    if bool(suspect.any()):
        zero = torch.zeros_like(suspect)
        zero[suspect] = (states.flatten(0, 1).index_select(0, index[suspect]) == 0).all(-1)
        index = index[~zero]
    return index


def _back_to_median(unsafe: Tensor, over: Tensor, amounts: Tensor, gram: Tensor) -> Tensor:
    """Solve G a = amount * u for each token over its flagged categories only: (M, K)."""
    mask = over.float()
    wanted = unsafe * amounts * mask
    diagonal = torch.diagonal(gram)
    if len(diagonal) == 1:
        return wanted / diagonal
    system = gram * mask[:, :, None] * mask[:, None, :]
    system = system + torch.diag_embed(mask * diagonal * GRAM_RIDGE + (1 - mask))
    solved: Tensor = torch.linalg.solve(system, wanted[..., None])[..., 0]
    return solved * mask
