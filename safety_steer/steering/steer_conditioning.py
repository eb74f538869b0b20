"""Steering as one call: check that tensors belong to the alignment, decide the gate, steer, and say what was done.

The ComfyUI nodes and the command line both go through `steer_conditioning`, so that a graph and a library call on the
same tensors give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.pooling import PromptReading, read_prompts
from ..directions.prompt_rows import common_rows, repeated
from ..errors import DataError, MismatchError
from .gate import FALSE_POSITIVE_RATE, GateDecision, decide
from .image_tokens import LeftAlone, left_alone
from .operators import Steered, operator_named
from .request import TOKEN_QUANTILE, Request, active_strengths


@dataclass(frozen=True)
class SteerSettings:
    """How to steer: `strength` multiplies every category's own strength; the rest are `steer` and `open_gate`'s."""

    strength: float = 1.0
    operator: str = "erase"
    gate: str = "hard"
    false_positive_rate: float = FALSE_POSITIVE_RATE
    token_quantile: float = TOKEN_QUANTILE
    preserve_norm: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """The steered tensors by space, with the gate's decision and each space's `Steered`, for reports and plots.

    `left_alone` names text of the entry that is not steered. `before` holds the aligned tensors as they were read, the
    deciding space first. `images` says by space which rows are a picture's, in spaces whose encoder takes
    pictures into the prompt; they are neither read nor moved. `hidden` holds the steered rows that a mask hides, by space,
    where `hidden_rows` moved any. `copies` are what was done to further texts of the entry, by key.
    """

    tensors: Mapping[str, Tensor]
    gate: GateDecision | None
    spaces: Mapping[str, Steered] = field(default_factory=dict)
    left_alone: tuple[str, ...] = ()
    before: Mapping[str, Tensor] = field(default_factory=dict)
    images: Mapping[str, LeftAlone] = field(default_factory=dict)
    false_positive_rate: float = FALSE_POSITIVE_RATE
    hidden: Mapping[str, Steered] = field(default_factory=dict)
    copies: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether any token moved."""
        own = (*self.spaces.values(), *self.hidden.values())
        return any(bool(steered.flagged.any()) for steered in own) or any(copy.changed for copy in self.copies.values())


def steer_conditioning(
    tensors: Mapping[str, Tensor],
    aligned: AlignedDirection,
    settings: SteerSettings | None = None,
    check: bool = True,
    pictured: bool = False,
) -> Outcome:
    """Steer the text tensors of one conditioning entry: `cross_attn` (B, T, D), `pooled_output` (B, D), ...

    Spaces the direction has no alignment for are given back as they are. The gate is decided once, in the first aligned
    space present. Raises MismatchError when no space is aligned or, with `check`, when a tensor is from another encoder;
    tensors that were steered before may lie too far out for that check. Tensors of different numbers of rows are read as
    ComfyUI repeats them (`prompt_rows`), and come back repeated where they moved. `pictured` says that the entry is known to
    come with a picture, so that text which might hold its rows is rather left alone.
    """
    settings = settings or SteerSettings()
    rate, strengths = settings.false_positive_rate, strengths_of(aligned, settings)
    texts, decider = _read(tensors, aligned, check, bool(strengths), pictured)
    images = {text.name: text.images for text in texts if text.images is not None}
    told = texts if decider is None else (decider, *texts)
    before = {text.name: text.reading.states if text.images else text.shown for text in told}
    if not strengths or decider is None:
        return Outcome(dict(tensors), None, before=before, images=images, false_positive_rate=rate)
    decision = decide(decider.reading, settings.gate, rate)
    ungated = settings.gate == "off"
    opening = None if ungated else decision.opening
    act, how = operator_named(settings.operator), (settings.token_quantile, settings.preserve_norm)
    done: dict[str, Steered] = {}
    for text in texts:
        reach = None if ungated else reach_in(decision.reach, decider.reading.real, text.reading.real)
        done[text.name] = act(text.reading, Request(aligned.categories, strengths, opening, reach, *how))
    result = {text.name: text.put_back(done[text.name]) for text in texts}
    return Outcome({**tensors, **result}, decision, done, before=before, images=images, false_positive_rate=rate)


@dataclass(frozen=True, eq=False)
class _Text:
    """One text space: the tensor `given`, as `shown` with all rows of its entry, its image rows, the reading of the others."""

    name: str
    given: Tensor
    shown: Tensor
    images: LeftAlone | None
    reading: PromptReading

    def put_back(self, done: Steered) -> Tensor:
        """Return the steered tensor in the shape given; the very tensor where nothing moved."""
        if done.states is self.reading.states:
            return self.given
        states = done.states if self.images is None else self.images.put_back(done.states, done.flagged)
        return states.reshape(self.shown.shape)


def _read(
    tensors: Mapping[str, Tensor], aligned: AlignedDirection, check: bool, steers: bool, pictured: bool
) -> tuple[list[_Text], _Text | None]:
    """Read the tensors of the spaces a direction is aligned to, in its order; the second value is the one that decides.

    It is the first that says anything, where that is asked. Tensors of zeros alone that have another width are left out: there
    is nothing to read. Raises MismatchError when there are no tensors, for one of another width that is to be steered and, with
    `check`, for one from another encoder. `pictured`: known to come with a picture.
    """
    given = {name: tensors[name] for name in aligned.spaces if name in tensors}
    if not given:
        raise MismatchError(
            f"This direction is aligned to {', '.join(aligned.spaces)}, but the conditioning has "
            f"{', '.join(tensors) or 'no text tensors'}. Align the direction with the CLIP of this workflow."
        )
    asked = check or any(aligned.spaces[name].images is not None for name in given)
    rows = common_rows({name: len(tensor) for name, tensor in given.items()})
    texts: list[_Text] = []
    decider: _Text | None = None
    for name in given:
        space = aligned.spaces[name]
        shown = given[name] if len(given[name]) == rows else repeated(given[name], rows)
        states = as_tokens(shown)
        if states.shape[-1] != space.width:
            if (check or steers) and bool((states != 0).any()):
                space.encoder.check_shape(name, states.shape)
            continue
        images = None if space.images is None else left_alone(states, space.images, pictured)
        read = states if images is None else images.read
        reading = read_prompts(space, read, passages=steers and decider is None)
        texts.append(_Text(name, given[name], shown, images, reading))
        speaks = not asked or bool(reading.real.any())
        if check and speaks:
            space.encoder.check(name, reading.finite, reading.pooled, reading.real.sum(-1))
        decider = texts[-1] if decider is None and speaks else decider
    return texts, decider or next(iter(texts), None)


def strengths_of(aligned: AlignedDirection, settings: SteerSettings) -> dict[str, float]:
    """Return how strongly each active category steers."""
    weights = active_strengths(aligned.strengths, aligned.categories)
    return active_strengths({category: settings.strength * weight for category, weight in weights.items()}, aligned.categories)


def reach_in(reach: Tensor | None, deciding: Tensor, real: Tensor) -> Tensor | None:
    """Carry which tokens of the deciding space may move, (B, T), to another space: (B, T').

    By their share of the way through a prompt's real tokens, which are `deciding` (B, T) and `real` (B, T'); a pooled state
    may move.
    """
    if reach is None or real is deciding:
        return reach
    within = torch.ones(real.shape, dtype=torch.bool, device=reach.device)
    for row, theirs, own in zip(range(len(within)), deciding, real.to(reach.device), strict=True):
        known, count = reach[row, theirs], int(own.sum())
        if len(known) and count > 1:
            within[row, own] = known[torch.arange(count, device=reach.device) * len(known) // count]
    return within


def as_tokens(tensor: Tensor) -> Tensor:
    """View a pooled tensor (B, D) as one token per prompt; leave (B, T, D) alone. Raises DataError for another rank."""
    if tensor.ndim not in (2, 3):
        raise DataError(f"Expected conditioning of shape (B, T, D) or (B, D), but got {tuple(tensor.shape)}.")
    return tensor[:, None] if tensor.ndim == 2 else tensor
