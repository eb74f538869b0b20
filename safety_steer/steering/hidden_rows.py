"""Rows that a mask hides, steered along with their prompt: not every model heeds the mask.

Many encoders pad a prompt and mask the padding. In a causal language model padding stands behind the prompt and has heard all
of it, and in others it looks at the prompt's words, so that it carries the prompt as words do. Flux.2 Klein, LongCat-Image,
PixelDiT, PiD and HunyuanDiT read it; a model that heeds the mask never looks there, and its pictures stay the same.

So hidden rows are steered where their prompt is, each by the operator as if it were one of its tokens. Words alone are
heard by the gate, say how far a row has to stand out to be erased, and fill the places of those that are. No hidden row is a
harmless word, each sums up the prompt: `clip` and `erase` bring back all that are on the unsafe side of the benign median, as
`project` does. (With Qwen2.5-0.5B padding reads -0.3 to -0.1 of a rare token's behind a harmless prompt, and 0.1 to 0.7 behind
unsafe ones: most of that is below the limit of words.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection, AlignedSpace, token_mask
from .erase import fill_from_rest
from .operators import TURN, Steered, opening_without_gate, shift, steer, word_columns, word_limit, word_standing
from .steer_conditioning import Outcome, SteerSettings, as_tokens, strengths_of


def steer_hidden(outcome: Outcome, hidden: Mapping[str, Tensor], aligned: AlignedDirection, settings: SteerSettings) -> Outcome:
    """Return an outcome with hidden rows (B, T, D) steered too, by space; they are zeros where a row is not hidden.

    The outcome itself when none of them moves. `settings` are those it was made with.
    """
    if outcome.gate is None:
        return outcome
    strengths, moved = strengths_of(aligned, settings), dict[str, Steered]()
    for name in (name for name in hidden if name in outcome.spaces):
        space, words = aligned.spaces[name], as_tokens(outcome.before[name])
        if settings.gate == "off":
            opening = opening_without_gate(words, space, aligned.categories, strengths, settings.operator)
        else:
            opening = outcome.gate.opening.to(words.device)
        opening = opening * token_mask(words).any(-1)
        if not bool(opening.any()):
            continue
        images = outcome.images.get(name)
        apart = images and replace(images, given=hidden[name], rows=torch.zeros_like(images.rows))
        rows = apart.read if apart else hidden[name]
        steered = _along(rows, words, outcome.spaces[name], space, aligned.categories, strengths, settings, opening)
        if steered.states is not rows:
            back = apart.put_back(steered.states, steered.flagged) if apart else steered.states
            moved[name] = replace(steered, states=back)
    return replace(outcome, hidden=moved) if moved else outcome


def _along(
    rows: Tensor,
    words: Tensor,
    done: Steered,
    space: AlignedSpace,
    categories: tuple[str, ...],
    strengths: Mapping[str, float],
    settings: SteerSettings,
    opening: Tensor,
) -> Steered:
    """Steer hidden rows (B, T, D) of prompts whose words (B, T, D) became what was `done`, as far as those are open (B,)."""
    how = settings.token_quantile, settings.preserve_norm
    if settings.operator != "erase":
        operator = "project" if settings.operator == "clip" else settings.operator
        return steer(rows, space, categories, strengths, operator, opening, *how)
    further = {name: TURN * value for name, value in strengths.items()}
    turned = shift(rows, space, categories, further, "project", opening, settings.token_quantile, True)
    if done.erased is None:
        return turned
    columns = word_columns(categories, strengths)
    standing = word_standing(space.unsafe_reading(words, columns), space, columns).masked_fill(~done.erased, 0)
    striking = word_standing(space.unsafe_reading(rows, columns), space, columns) > word_limit(standing)
    erased = striking & token_mask(rows) & done.erased.any(1, keepdim=True) & (opening > 0)[:, None]
    if not bool(erased.any()):
        return turned
    share = (max(strengths.values()) * opening).clamp(0, 1)
    together = torch.cat([done.states, turned.states], 1)
    real = torch.cat([token_mask(words), torch.zeros_like(erased)], 1)
    gone = torch.cat([done.erased, erased], 1)
    filled = fill_from_rest(together, gone, real, share, settings.preserve_norm)[:, words.shape[1] :]
    after = space.unsafe_reading(filled, [categories.index(name) for name in strengths])
    return replace(turned, states=filled, after=after, moved=(filled.float() - rows.float()).norm(dim=-1), erased=erased)
