"""Anchors on the target side: collecting an encoder's states of benign prompts without keeping all of them.

Every prompt's pooled state is kept; token states, which set the thresholds, are kept in half precision up to a budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..directions.pooling import token_mask
from ..directions.source import SafetyDirection, rounded
from ..errors import AlignmentError, EncoderError, MismatchError
from ..extraction.extract_direction import MIN_ANCHORS
from ..extraction.representative import representative
from ..extraction.rounding import bears_rounding
from ..extraction.text_model import Progress, TextModel, pooled_activations, states_in_batches, token_ids, token_states
from .reducer import FEWEST_ROWS, Reducer
from .span import WIDEST, Reduced, Span
from .wide import groups

MIN_PASSAGES = 32  # by hand; as many as `harm_fit` asks for
PASSAGE_SHARE, ENOUGH_PASSAGES = 1 / 2, 80  # by hand; results/first_run.json has what it changes
PROBE_COUNT = 8  # by hand
TOKEN_BUDGET = 2**27  # by hand: 128 MiB; results/align_memory.json has what an alignment takes with it
SOURCE_COSINE = 0.99  # by hand
CHUNK = 64  # by hand; prompts at a time
WINDOW = 512  # by hand; prompts whose states are held at full precision at once


@dataclass(frozen=True, eq=False)
class AnchorStates:
    """One text space's states of N prompts: `pooled` (N, D) float32, and `tokens` (T_i, D) of the first ones.

    Where all of them are `reduced` to coordinates, `pooled` (K, D) is that of the prompts with tokens.
    """

    pooled: Tensor
    tokens: Sequence[Tensor]
    reduced: Reduced | None = None

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self.pooled if self.reduced is None else self.reduced.pooled)


def collect(
    batches: Iterable[Mapping[str, Sequence[Tensor]]],
    count: int,
    token_budget: int = TOKEN_BUDGET,
    fewest: int = MIN_ANCHORS,
    spans: Mapping[str, Span] | None = None,
    words: bool = True,
) -> dict[str, AnchorStates]:
    """Gather batches of per-prompt token states (T_i, D), in order, into one AnchorStates per text space.

    `count` prompts are expected; `token_budget` bounds the bytes of token states kept, shared by all spaces, but the first
    tokens of the `fewest` prompts always are. Where `spans` are given, spaces wider than 6,144 are reduced: to the span of
    their name, or else to one of their own. Without `words` a reduced space keeps no tokens.
    Raises EncoderError when spaces come and go, when states are not finite, or when their number is not `count`.
    """
    pooled: dict[str, list[Tensor]] = {}
    tokens: dict[str, list[Tensor]] = {}
    spent: dict[str, int] = {}
    reducers: dict[str, Reducer] = {}
    for batch in batches:
        if pooled and set(batch) != set(pooled):
            raise EncoderError(f"The encoder gave {sorted(batch)} for some prompts and {sorted(pooled)} for others.")
        budget = token_budget // max(1, len(batch))
        if spans is not None and not pooled:
            widths = {space: states[0].shape[1] for space, states in batch.items() if states[0].shape[1] > WIDEST}
            bounds = (budget, fewest) if words else (0, 0)
            for space, width in widths.items():
                reducers[space] = Reducer(count, width, spans.get(space), len(widths), *bounds)
        for space, states in batch.items():
            kept = tokens.setdefault(space, [])
            for group in groups(states, CHUNK):
                means, rows = _pooled_together(group)
                gathered = pooled.setdefault(space, [])
                if space in reducers:
                    _check_finite(means, space)
                    reducers[space].add(means, rows)
                    continue
                first = len(gathered)
                gathered.extend(means)
                for place, part in enumerate(rows, first):
                    over = spent.get(space, 0) + part.numel() * 2 > budget
                    # A short prompt after the first one left out would be taken for that one.
                    if len(kept) < place or (over and len(kept) >= fewest):
                        continue
                    kept.append(part[:FEWEST_ROWS].clone() if over else part)
                    spent[space] = spent.get(space, 0) + kept[-1].numel() * 2
    for space, rows in pooled.items():
        found = reducers[space].seen if space in reducers else len(rows)
        if found != count:
            raise EncoderError(f"The encoder gave {found:,} states of {space} for {count:,} prompts.")
        _check_finite(rows, space)
    whole = {space: AnchorStates(torch.stack(rows), tokens[space]) for space, rows in pooled.items() if space not in reducers}
    reduced = {space: reducer.result() for space, reducer in reducers.items()}
    return {
        space: whole[space] if space in whole else AnchorStates(reduced[space][0], reducers[space].tokens, reduced[space][1])
        for space in pooled
    }


def collect_passages(
    batches: Iterable[Mapping[str, Sequence[Tensor]]], count: int, spans: Mapping[str, Span]
) -> dict[str, AnchorStates]:
    """Gather states of long prompts, which are needed for their passages alone: those of a reduced space keep no tokens."""
    return collect(batches, count, fewest=MIN_PASSAGES, spans=spans, words=False)


def spans_of(states: Mapping[str, AnchorStates]) -> dict[str, Span]:
    """Return the spans of those spaces that are reduced, for further prompts to be reduced alike."""
    return {space: found.reduced.span for space, found in states.items() if found.reduced is not None}


def _check_finite(rows: Sequence[Tensor], space: str) -> None:
    if not all(bool(torch.isfinite(part).all()) for part in rows):
        raise EncoderError(f"The encoder gives NaN or Inf in {space}. Load it in another precision.")


def _pooled_together(states: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the means (D,) of some prompts' token states and their tokens in half precision, all on the CPU, unpadded."""
    rows = torch.cat(list(states))
    real = token_mask(rows)
    owner = torch.repeat_interleave(torch.tensor([len(part) for part in states])).to(rows.device)[real]
    rows, counts = rows[real], torch.bincount(owner, minlength=len(states))
    totals = torch.zeros(len(states), rows.shape[1], device=rows.device).index_add_(0, owner, rows.float())
    means = (totals / counts[:, None].clamp(min=1)).cpu()
    return list(means), rows.clamp(-6e4, 6e4).half().cpu().split(counts.tolist())


def first_anchors(direction: SafetyDirection, max_anchors: int) -> list[int]:
    """Return the rows of the first anchors, at most `max_anchors`; raises AlignmentError when that is fewer than 64."""
    count = min(max_anchors, len(direction.anchors))
    if count < MIN_ANCHORS:
        raise AlignmentError(
            f"Expected at least {MIN_ANCHORS} benign anchors, but got {count}. A map needs more prompts than that."
        )
    return list(range(count))


def choose_anchors(direction: SafetyDirection, max_anchors: int) -> list[int]:
    """Return the rows of at most `max_anchors` anchors, ascending; raises AlignmentError when that is fewer than 64.

    They are those that stand best for all of them in the source model (docs/gate.md), hard and ordinary ones in proportion.
    Where none is hard, as among your own prompts and in older files, they are the first ones.
    """
    first = first_anchors(direction, max_anchors)
    if len(first) == len(direction.anchors) or direction.examples is None or not bool(direction.examples.hard.any()):
        return first
    return representative(direction.anchor_activations, direction.examples.hard, len(first))


def choose_passages(direction: SafetyDirection, max_anchors: int, thresholds: str = "all") -> tuple[str, ...]:
    """Return the shorter half of the passages, as large a share of it as `max_anchors` is of the anchors, at least 32.

    Up to 80 all count as short. None where own prompts alone set the thresholds: an alignment makes no use of passages then.
    """
    if thresholds == "own":
        return ()
    by_length = sorted(range(len(direction.passages)), key=lambda row: len(direction.passages[row].encode()))
    shorter = sorted(by_length[: max(ENOUGH_PASSAGES, round(PASSAGE_SHARE * len(by_length)))])
    share = min(1.0, max_anchors / len(direction.anchors))
    chosen = shorter[: max(MIN_PASSAGES, math.ceil(share * len(shorter)))]
    return tuple(direction.passages[row] for row in chosen)


def encode_anchors(
    text_model: TextModel, prompts: Sequence[str], layer: int, progress: Progress | None = None
) -> dict[str, AnchorStates]:
    """Encode prompts with a transformers model as one text space, `cross_attn`, the state at `layer`.

    They are encoded by length, for little padding, but where not all tokens can be kept: then those of the first prompts are.
    Products are rounded where the model bears it (`extraction/rounding.py`).
    """
    ids = token_ids(text_model, prompts)
    rounded = bears_rounding(text_model, layer)
    order: list[int] = []

    def by_length() -> Iterator[dict[str, list[Tensor]]]:
        for rows, states in states_in_batches(text_model, prompts, layer, progress=progress, rounded=rounded):
            order.extend(rows)
            yield {"cross_attn": states}

    def windows() -> Iterator[dict[str, list[Tensor]]]:
        for start in range(0, len(prompts), WINDOW):
            part = prompts[start : start + WINDOW]
            order.extend(range(start, start + len(part)))
            yield {"cross_attn": token_states(text_model, part, layer, progress=moved(start), rounded=rounded)}

    def moved(start: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(start + done, len(prompts))

    all_kept = 2 * sum(map(len, ids)) * text_model.identity.width <= TOKEN_BUDGET
    found = collect(by_length() if all_kept else windows(), len(prompts))["cross_attn"]
    places = sorted(range(len(order)), key=lambda place: order[place])
    tokens = [found.tokens[place] for place in places if place < len(found.tokens)]
    return {"cross_attn": replace(found, pooled=found.pooled[places], tokens=tokens)}


def with_anchors(
    direction: SafetyDirection, text_model: TextModel, prompts: Sequence[str], progress: Progress | None = None
) -> SafetyDirection:
    """Replace a direction's anchors by a user's own benign prompts, encoded with the source model.

    Raises MismatchError when `text_model` is not the model the direction came from, and AlignmentError for too few prompts.
    """
    if len(prompts) < MIN_ANCHORS:
        raise AlignmentError(f"Expected at least {MIN_ANCHORS} benign prompts, but got {len(prompts)}. Add prompts.")
    check_source(direction, text_model)
    activations = source_activations(direction, text_model, prompts, progress)
    standardised = rounded(direction.standardise(activations))
    examples = direction.examples and replace(direction.examples, hard=torch.zeros(len(prompts), dtype=torch.bool))
    return replace(direction, anchors=tuple(prompts), anchor_activations=standardised, examples=examples)


def source_activations(
    direction: SafetyDirection, text_model: TextModel, prompts: Sequence[str], progress: Progress | None = None
) -> Tensor:
    """Encode prompts the way the direction's own activations were made: raw (N, d)."""
    pooled = pooled_activations(text_model, prompts, direction.layers, direction.pooling, progress=progress)
    return pooled.flatten(1)


def check_source(direction: SafetyDirection, text_model: TextModel) -> None:
    """Raise MismatchError when a model answers the first anchors otherwise than the direction's source did."""
    identity = text_model.identity
    if (identity.width, identity.depth) != (direction.source.width, direction.source.depth):
        raise MismatchError(
            f"This direction was made with '{direction.source.name}' (width {direction.source.width}, depth "
            f"{direction.source.depth}), but '{identity.name}' has width {identity.width}, depth {identity.depth}. "
            "Give the model it was made with, or align the direction to this one."
        )
    probes = direction.standardise(source_activations(direction, text_model, direction.anchors[:PROBE_COUNT]))
    expected = direction.anchor_activations[:PROBE_COUNT].double()
    cosine = float(torch.nn.functional.cosine_similarity(probes, expected, dim=-1).min())
    if not cosine >= SOURCE_COSINE:
        raise MismatchError(
            f"'{identity.name}' is not the model this direction was made with ('{direction.source.name}'): it gives "
            f"different states for the anchor prompts (cosine {cosine:.3f}, expected {SOURCE_COSINE} or more). Give that model."
        )
