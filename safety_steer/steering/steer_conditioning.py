"""Steering as one call: check that tensors belong to the alignment, decide the gate, steer, and say what was done.

The ComfyUI nodes and the command line both go through `steer_conditioning`, so that a graph and a library call on the
same tensors give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..alignment.image_readings import LeftAlone, left_alone
from ..directions.aligned import AlignedDirection, gate_categories, token_mask
from ..directions.text_spaces import left_alone_lines
from ..errors import DataError, MismatchError
from .gate import FALSE_POSITIVE_RATE, GateDecision, open_gate
from .operators import TOKEN_QUANTILE, Steered, active_strengths, steer


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
    tensors that were steered before may lie too far out for that check. `pictured` says that the entry is known to come with
    a picture, so that text which might hold its rows is rather left alone.
    """
    settings = settings or SteerSettings()
    known = [name for name in aligned.spaces if name in tensors]
    if not known:
        raise MismatchError(
            f"This direction is aligned to {', '.join(aligned.spaces)}, but the conditioning has "
            f"{', '.join(tensors) or 'no text tensors'}. Align the direction with the CLIP of this workflow."
        )
    given = {name: as_tokens(tensors[name]) for name in known}
    found = {name: left_alone(given[name], aligned.spaces[name], pictured) for name in known}
    images = {name: rows for name, rows in found.items() if rows is not None}
    states = {name: images[name].read if name in images else given[name] for name in known}
    spoken = [name for name in known if bool(token_mask(states[name]).any())] if check or images else known
    for name in spoken if check else ():
        aligned.spaces[name].check(states[name], name)
    decider = (*spoken, *known)[0]
    before = {name: states[name] if name in images else tensors[name] for name in (decider, *known)}
    strengths = strengths_of(aligned, settings)
    if not strengths:
        return Outcome(dict(tensors), None, before=before, images=images, false_positive_rate=settings.false_positive_rate)
    decision = open_gate(states[decider], aligned.spaces[decider], settings.gate, settings.false_positive_rate)
    result, done = dict(tensors), {}
    for name in known:
        done[name] = steer(
            states[name],
            aligned.spaces[name],
            aligned.categories,
            strengths,
            settings.operator,
            None if settings.gate == "off" else decision.opening,
            settings.token_quantile,
            settings.preserve_norm,
            None if settings.gate == "off" else reach_in(decision.reach, states[decider], states[name]),
        )
        if done[name].states is not states[name]:
            steered = done[name].states
            if name in images:
                steered = images[name].put_back(steered, done[name].flagged)
            result[name] = steered.reshape(tensors[name].shape)
    return Outcome(result, decision, done, before=before, images=images, false_positive_rate=settings.false_positive_rate)


def strengths_of(aligned: AlignedDirection, settings: SteerSettings) -> dict[str, float]:
    """Return how strongly each active category steers."""
    weights = active_strengths(aligned.strengths, aligned.categories)
    return active_strengths({category: settings.strength * weight for category, weight in weights.items()}, aligned.categories)


def reach_in(reach: Tensor | None, deciding: Tensor, states: Tensor) -> Tensor | None:
    """Carry which tokens may move from the deciding states (B, T, D), given as (B, T), to another space's (B, T', D'): (B, T').

    By their share of the way through a prompt's real tokens; a pooled state may move.
    """
    if reach is None or states is deciding:
        return reach
    within = torch.ones(states.shape[:2], dtype=torch.bool, device=reach.device)
    for row, theirs, own in zip(range(len(within)), token_mask(deciding), token_mask(states).to(reach.device), strict=True):
        known, count = reach[row, theirs], int(own.sum())
        if len(known) and count > 1:
            within[row, own] = known[torch.arange(count, device=reach.device) * len(known) // count]
    return within


def summary(outcome: Outcome, aligned: AlignedDirection) -> str:
    """Say in a few lines what steering did to one conditioning entry, for a node, a log or a terminal."""
    if outcome.gate is None:
        return "not steered: every strength is 0"
    lines = []
    for row in range(len(outcome.gate.scores)):
        category = gate_categories(aligned.categories)[int(outcome.gate.by_category[row].argmax())]
        verdict = f"flagged as {category}" if bool(outcome.gate.flagged[row]) else "benign"
        score = float(outcome.gate.scores[row])
        told = f"{verdict} (score {score:+.1f}, limit {outcome.gate.threshold:+.1f})"
        spoken = outcome.changed or score > -math.inf
        lines.append(f"prompt {row + 1}: {told if spoken else 'nothing to steer, as it has no tokens'}")
        for name, steered in outcome.spaces.items():
            moved = steered.moved[row]
            count = int((moved > 0).sum())
            if count:
                share = float(moved.sum() / (steered.states[row].float().norm(dim=-1) * (moved > 0)).sum())
                lines.append(f"  {name}: {_places(moved)} of {moved.numel()} moved, by {share:.0%} of their length")
            else:
                lines.append(f"  {name}: unchanged")
            lines.extend(_hidden(name, row, outcome.hidden.get(name)))
            lines.extend(_images(name, row, outcome.images.get(name)))
    for name, copy in outcome.copies.items():
        lines += [f"  {name}, which is text too:", *(f"  {line}" for line in summary(copy, aligned).splitlines())]
    lines += [f"  {line}" for line in left_alone_lines(outcome.left_alone)]
    return "\n".join(lines)


def _hidden(name: str, row: int, hidden: Steered | None) -> list[str]:
    """Say how many rows behind the mask moved along with one prompt."""
    count = 0 if hidden is None else int(hidden.flagged[row].sum())
    return [f"  {name}: {count} more behind its mask moved too, as some models read them"] if count else []


def _images(name: str, row: int, images: LeftAlone | None) -> list[str]:
    """Say what was left alone in one prompt because it is a picture's."""
    count = 0 if images is None else int(images.rows[row].sum())
    if images is None or not count:
        return []
    if bool(images.unsure[row]):
        return [f"  {name}: left alone, because the tokens of its image could not be told from its words"]
    return [f"  {name}: left alone: {count} image tokens"]


def _places(moved: Tensor) -> str:
    """Name the moved tokens by position, runs joined: "3 tokens (2, 5-6)"."""
    places = moved.nonzero()[:, 0].tolist()
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    shown = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:8])
    return f"{len(places)} tokens ({shown}{', ...' if len(runs) > 8 else ''})"


def as_tokens(tensor: Tensor) -> Tensor:
    """View a pooled tensor (B, D) as one token per prompt; leave (B, T, D) alone. Raises DataError for another rank."""
    if tensor.ndim not in (2, 3):
        raise DataError(f"Expected conditioning of shape (B, T, D) or (B, D), but got {tuple(tensor.shape)}.")
    return tensor[:, None] if tensor.ndim == 2 else tensor
