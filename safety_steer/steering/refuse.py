"""Refuse a prompt: which of a conditioning's prompts are refused, and the tensors of another prompt in the place of theirs.

AutoSteer (arXiv 2507.13255) has a language model refuse an unsafe request. A generator of pictures has nothing to say no with,
so another prompt is drawn in place of the unsafe one. How far is the gate's choice: "hard" replaces it whole, "soft" fades the
replacement in over borderline prompts, h = (1 - a) h_own + a h_other, with a from 0 to 1.

Two prompts can differ in length. The shorter one is then continued with zero rows, which are what padding is everywhere here,
and rows of one place are blended: so does ComfyUI's own Conditioning Average. To stretch one prompt over the other instead
would blend neighbouring words into states that no encoder gives. A prompt that is replaced whole takes the other's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..categories import GLOBAL
from ..directions.aligned import AlignedDirection, gate_categories
from ..directions.prompt_rows import repeated
from ..directions.text_spaces import COPIES, MASKS, is_text
from ..errors import MismatchError
from .gate import GateDecision
from .steer_conditioning import Outcome, SteerSettings, strengths_of

MASKED = {mask: states for states, mask in MASKS.items()}


@dataclass(frozen=True, eq=False)
class Refusal:
    """How far each prompt of an entry is refused: `opening` (B,) in 0..1. `gate` decided it, its prompt `worst` the most."""

    opening: Tensor
    gate: GateDecision
    worst: int

    @property
    def refused(self) -> bool:
        """Whether any prompt is refused, if only in part."""
        return bool((self.opening > 0).any())


def refusal(outcome: Outcome, aligned: AlignedDirection, settings: SteerSettings) -> Refusal | None:
    """Say how far the prompts of a judged entry are refused; None where every strength is 0, which refuses nothing.

    Of the categories only those count that have a strength, by the likeliest one of each prompt; "global" stands for all.
    A further text of the entry, such as the prompt of a pose, is refused with its prompt and its prompt with it.
    """
    if outcome.gate is None:
        return None
    active = strengths_of(aligned, settings)
    opening = _counted(outcome.gate, aligned, active)
    gate = outcome.gate
    for copy in outcome.copies.values():
        if copy.gate is None:
            continue
        theirs = _counted(copy.gate, aligned, active)
        if float(theirs.amax()) > float(opening.amax()):
            gate = copy.gate
        opening = torch.maximum(opening, theirs if len(theirs) == len(opening) else theirs.amax())
    worst = int(_counted(gate, aligned, active).argmax())
    return Refusal(opening, gate, worst)


def _counted(gate: GateDecision, aligned: AlignedDirection, active: Mapping[str, float]) -> Tensor:
    """Return how far the gate is open for each prompt, (B,): 0 for one whose likeliest category does not count."""
    if GLOBAL in active:
        return gate.opening
    counts = torch.tensor([name in active for name in gate_categories(aligned.categories)], device=gate.opening.device)
    return gate.opening * counts[gate.by_category.argmax(-1)]


def replaced(entry: Mapping[str, Any], other: Mapping[str, Any], opening: Tensor) -> dict[str, Any]:
    """Return a copy of an entry whose text is faded to that of `other` by `opening` (B,), and which is the same in all else.

    Area, mask, steps, ControlNet, hooks, pictures and sizes are the entry's; states, pooled states, masks of text and all other
    text are those of `other`, and text that `other` has none of is gone. Prompts at 0 keep their states bit for bit, those at 1
    get the other's. Numbers of tokens cannot be blended: they are the other's. Raises MismatchError for text of another shape.
    """
    kept = {key: value for key, value in entry.items() if not is_text(key)}
    text = {key: value for key, value in other.items() if is_text(key)}
    text |= {key: text[of] for key, of in COPIES.items() if key in entry and key not in text}
    if bool((opening >= 1).all()):
        return {**kept, **text}
    keys = [*text, *(mask for mask in MASKED if entry.get(mask) is not None and mask not in text)]
    return {**kept, **{key: _faded(entry, text, key, opening) for key in keys}}


def _faded(entry: Mapping[str, Any], text: Mapping[str, Any], key: str, opening: Tensor) -> Any:
    """Return what stands under one key of text."""
    before, after = entry.get(key), text.get(key)
    if key in MASKED:
        own, other = entry.get(MASKED[key]), text.get(MASKED[key])
        if not isinstance(own, Tensor) or not isinstance(other, Tensor):
            return after
        return fade(_mask(own, before), _mask(other, after), opening, axis=-1, either=True)
    if not isinstance(before, Tensor) or not isinstance(after, Tensor) or not before.is_floating_point() or before.ndim < 2:
        return after
    return fade(before, after, opening, axis=None if before.ndim == 2 else -2)


def _mask(states: Tensor, mask: Any) -> Tensor:
    """Return which rows of states (B, T, D) a mask shows, (B, T): all where there is none."""
    return mask if isinstance(mask, Tensor) else states.new_ones(states.shape[:2])


def fade(before: Tensor, after: Tensor, opening: Tensor, axis: int | None = -2, either: bool = False) -> Tensor:
    """Blend tensors of two prompts, (B, ...) or fewer rows in turn, row by row: `before` at `opening` (B,) 0, `after` at 1.

    Along `axis`, None for none, the shorter one is continued with zeros. `either` is for masks: between 0 and 1 what either
    shows is shown. The very tensor comes back where all prompts are at 0 or all at 1. Raises MismatchError for other shapes.
    """
    if not bool((opening > 0).any()):
        return before
    if bool((opening >= 1).all()):
        return after
    count = len(opening)
    old, new = _lengthened(before, after, axis), _lengthened(after.to(before), before, axis)
    if old.shape[1:] != new.shape[1:] or count % len(old) or count % len(new):
        raise MismatchError(
            f"Expected a replacement like the prompt, whose text has shape {tuple(before.shape)}, but its own has shape "
            f"{tuple(after.shape)}. Encode both with the same CLIP, one prompt at a time."
        )
    old, new = repeated(old, count), repeated(new, count)
    shares = opening.to(old.device).view(count, *[1] * (old.ndim - 1))
    mixed = torch.maximum(old, new) if either else torch.lerp(old.float(), new.float(), shares.float()).to(old.dtype)
    return torch.where(shares <= 0, old, torch.where(shares >= 1, new, mixed))


def _lengthened(tensor: Tensor, like: Tensor, axis: int | None) -> Tensor:
    """Continue a tensor with zeros along an axis, if another one is longer there."""
    if axis is None or tensor.ndim != like.ndim or like.shape[axis] <= tensor.shape[axis]:
        return tensor
    missing = like.shape[axis] - tensor.shape[axis]
    return pad(tensor, [0, 0] * (-axis - 1) + [0, missing])
