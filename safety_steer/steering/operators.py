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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..directions.aligned_space import AlignedSpace
from ..directions.pooling import SpaceReading, read_space, take_columns, take_rows
from ..directions.quantiles import at_quantile
from ..errors import DataError
from .request import TOKEN_QUANTILE, Request, active_strengths
from .unsafe_words import erased_words, word_columns

PROMPT_QUANTILE = 0.995  # by hand; as rare as the gate's rate
TURN = 10.0  # by hand; how many times as far as clip does erase turn what it does not erase
GRAM_RIDGE = 1e-3  # by hand; of the diagonal, for directions that all but coincide


@dataclass(frozen=True, eq=False)
class Steered:
    """Steered states (B, T, D) of a `reading`, with what was done: `moved` (B, T) is how far each token went.

    Tokens were read by the K' `columns`, named by `categories`; `limits` (K',) is the reading above which one is flagged,
    `opening` (B,) how far each prompt was to be steered, `erased` (B, T) the tokens that gave way to the rest of theirs, None
    for none. `turned` (B, T, K') are the readings that follow from how tokens were moved along vectors, None where none was,
    `filled` the states (B, T, D) after some gave way, if any did. When nothing moved, `states` is the very tensor that came in.
    """

    states: Tensor
    reading: SpaceReading
    columns: tuple[int, ...]
    categories: tuple[str, ...]
    moved: Tensor
    limits: Tensor
    opening: Tensor
    turned: Tensor | None = None
    erased: Tensor | None = None
    filled: Tensor | None = None

    @property
    def flagged(self) -> Tensor:
        """Which tokens moved: (B, T) bool."""
        return self.moved > 0

    @property
    def before(self) -> Tensor:
        """The unsafe readings before (B, T, K')."""
        return take_columns(self.reading.unsafe, self.columns)

    @cached_property
    def after(self) -> Tensor:
        """The unsafe readings after (B, T, K'), read again where tokens gave way: steering itself does not need them."""
        if self.filled is not None:
            return self.reading.space.unsafe_reading(self.filled, self.columns)
        return self.before if self.turned is None else self.turned


Operator = Callable[[SpaceReading, Request], Steered]
Solve = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


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
    act = operator_named(operator)
    request = Request(categories, active_strengths(strengths, categories), gate, reach, token_quantile, preserve_norm)
    return act(read_space(space, states), request)


def operator_named(name: str) -> Operator:
    """Return an operator; raises DataError for an unknown one."""
    if name not in OPERATORS:
        raise DataError(f"Expected operator {', '.join(OPERATORS)}, but got '{name}'.")
    return OPERATORS[name]


def clip(reading: SpaceReading, request: Request) -> Steered:
    """Bring back to the benign median what lies beyond a benign token quantile, in flagged prompts."""
    limits = at_quantile(take_rows(reading.space.tokens.token_quantiles, request.columns), request.token_quantile)
    return _shift(reading, request, _opened(reading, request, request.columns), limits, _back_to_median)


def project(reading: SpaceReading, request: Request) -> Steered:
    """Bring back to the benign median all that lies on its unsafe side."""
    return _shift(reading, request, _given(reading, request), torch.zeros(len(request.columns)), _back_to_median)


def add(reading: SpaceReading, request: Request) -> Steered:
    """Add the vectors to safe to every token."""
    limits = torch.full((len(request.columns),), -math.inf)
    return _shift(reading, request, _given(reading, request), limits, _as_asked)


def erase(reading: SpaceReading, request: Request) -> Steered:
    """Turn tokens away, and fill the places of unsafe words; "global" finds words of any category."""
    strengths, opening, reach = request.strengths, request.opening, request.reach
    found = word_columns(request.categories, strengths)
    if not found or not reading.states.shape[1] or (opening is not None and not bool(opening.any())):
        return clip(reading, request)
    opened = _opened(reading, request, found)
    further = {name: TURN * value for name, value in strengths.items()}
    turned = clip(reading, replace(request, strengths=further, opening=opened, preserve_norm=True))
    if not bool(opened.any()):
        return turned
    share = (max(strengths.values()) * opened).clamp(0, 1)
    steered = (share > 0)[:, None] & reading.real
    if reach is not None:
        steered = steered & reach.to(steered.device)
    erased = erased_words(take_columns(reading.unsafe, found), reading.space.tokens, found, steered, reading.real)
    if reach is not None:
        erased = erased & reach.to(erased.device)
    if not bool(erased.any()):
        return turned
    # Tokens that were turned moved in a copy, which the fill may write to too.
    filled = turned.states if turned.states is not reading.states else _copied(reading.states)
    _fill(filled, erased, reading.real, share, request.preserve_norm)
    moved = _distances(filled, reading.states, erased | ~reading.finite, turned.moved)
    return replace(turned, states=filled, moved=moved, erased=erased, filled=filled)


OPERATORS: Mapping[str, Operator] = {"clip": clip, "project": project, "add": add, "erase": erase}


def fill_from_rest(states: Tensor, erased: Tensor, real: Tensor, share: Tensor, preserve_norm: bool = False) -> Tensor:
    """Move erased tokens of (B, T, D) toward the mean of their prompt's other tokens, by a share (B,) from 0 to 1.

    A prompt without other tokens is left alone. With `preserve_norm` each token keeps its length. `states` is not written to.
    """
    filled = _copied(states)
    _fill(filled, erased, real, share, preserve_norm)
    return filled


def _fill(states: Tensor, erased: Tensor, real: Tensor, share: Tensor, preserve_norm: bool) -> None:
    """Fill the places of erased tokens in contiguous states (B, T, D), in place."""
    kept = (real & ~erased).to(torch.float32)
    count = kept.sum(1, keepdim=True)
    rest = torch.einsum("btd,bt->bd", states.float(), kept) / count.clamp(min=1)
    share = share.to(states.device)
    index = (erased & (count > 0) & (share > 0)[:, None]).flatten().nonzero()[:, 0]
    flat = states.view(-1, states.shape[-1])
    rows, prompt = flat.index_select(0, index).float(), index // states.shape[1]
    moved = torch.lerp(rows, rest[prompt], share[prompt][:, None])
    if preserve_norm:
        _as_long_as(rows, moved)
    flat.index_copy_(0, index, moved.to(states.dtype))


def _copied(states: Tensor) -> Tensor:
    """Return a contiguous copy, to be written to."""
    return states.clone(memory_format=torch.contiguous_format)


def _distances(after: Tensor, before: Tensor, changed: Tensor, known: Tensor) -> Tensor:
    """Return how far each token went between two states (B, T, D): (B, T), `known` (B, T) but for those `changed` (B, T)."""
    index = changed.flatten().nonzero()[:, 0]
    rows = [states.flatten(0, 1).index_select(0, index).float() for states in (after, before)]
    distances = known.clone()
    distances.view(-1).index_copy_(0, index, (rows[0] - rows[1]).norm(dim=-1))
    return distances


def _shift(reading: SpaceReading, request: Request, opened: Tensor, limits: Tensor, solve: Solve) -> Steered:
    """Move tokens beyond `limits` (K',) along the categories' vectors, as far as `solve` and `opened` (B,) say."""
    states, space, columns = reading.states, reading.space, request.columns
    moved, limits = torch.zeros(states.shape[:2], device=states.device), limits.to(states.device)
    done = Steered(states, reading, tuple(columns), tuple(request.strengths), moved, limits, opened)
    if not bool(opened.any()):
        return done
    unsafe = take_columns(reading.unsafe, columns)
    chosen = ((unsafe > limits) & (opened != 0)[:, None, None]).any(-1)
    if request.reach is not None:
        chosen = chosen & request.reach.to(chosen.device)
    index = (chosen & reading.real).flatten().nonzero()[:, 0]
    if not len(index):
        return done
    unsafe_rows = unsafe.flatten(0, 1).index_select(0, index)
    vectors = take_rows(space.vectors, columns).to(states.device)
    readings = take_rows(space.tokens.readings, columns).to(states.device)
    amounts = torch.tensor(list(request.strengths.values()), device=states.device) * opened[:, None]
    amounts = amounts.index_select(0, index // states.shape[1])
    coefficients = solve(unsafe_rows, unsafe_rows > limits, amounts, readings @ vectors.T)
    result = _copied(states)
    if request.preserve_norm:
        change = _turn(result, index, coefficients, vectors)
        after_rows, moved_rows = unsafe_rows - change @ readings.T, change.norm(dim=-1)
    else:
        _move(result, index, coefficients, vectors)
        after_rows = unsafe_rows - coefficients @ (vectors @ readings.T)
        moved_rows = (coefficients @ (vectors @ vectors.T) * coefficients).sum(-1).clamp(min=0).sqrt()
    after = unsafe.clone()
    after.view(-1, len(columns)).index_copy_(0, index, after_rows)
    moved.view(-1).index_copy_(0, index, moved_rows)
    return replace(done, states=result, turned=after)


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
    target = torch.addmm(rows, coefficients, vectors)
    _as_long_as(rows, target)
    flat.index_copy_(0, index, target.to(result.dtype))
    return target.sub_(rows)


def _as_long_as(rows: Tensor, moved: Tensor) -> None:
    """Bring moved rows (M, D) to the lengths they had before, in place."""
    moved.mul_(rows.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True).clamp(min=1e-12))


def _given(reading: SpaceReading, request: Request) -> Tensor:
    """Return how far each prompt is to be steered: (B,), fully where no gate says."""
    if request.opening is None:
        return torch.ones(len(reading.states), device=reading.states.device)
    return request.opening.to(reading.states.device).float()


def _opened(reading: SpaceReading, request: Request, columns: list[int]) -> Tensor:
    """Return the same where no gate says: only for prompts with a token beyond the benign prompts' quantile.

    Several categories share that quantile (Bonferroni), so that more of them do not flag more benign prompts.
    """
    if request.opening is not None or not columns:
        return _given(reading, request)
    shared = 1 - (1 - PROMPT_QUANTILE) / len(columns)
    limits = at_quantile(take_rows(reading.space.tokens.prompt_quantiles, columns), shared).to(reading.states.device)
    return ((take_columns(reading.unsafe, columns) > limits).any(-1) & reading.real).any(-1).float()


def _as_asked(_unsafe: Tensor, _over: Tensor, amounts: Tensor, _gram: Tensor) -> Tensor:
    """Take the amounts (M, K) as they are."""
    return amounts


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
