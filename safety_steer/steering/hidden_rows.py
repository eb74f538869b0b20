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

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.pooling import SpaceReading, read_space, take_columns
from ..directions.prompt_rows import repeated
from .operators import TURN, Steered, add, fill_from_rest, project
from .request import Request
from .steer_conditioning import Outcome, SteerSettings, as_tokens, strengths_of
from .unsafe_words import word_columns, word_limit, word_standing

HiddenOperator = Callable[[SpaceReading, SpaceReading, Steered, Request], Steered]


def steer_hidden(outcome: Outcome, hidden: Mapping[str, Tensor], aligned: AlignedDirection, settings: SteerSettings) -> Outcome:
    """Return an outcome with hidden rows (B, T, D) steered too, by space; they are zeros where a row is not hidden.

    The outcome itself when none of them moves. `settings` are those it was made with.
    """
    if outcome.gate is None:
        return outcome
    strengths, moved = strengths_of(aligned, settings), dict[str, Steered]()
    for name in (name for name in hidden if name in outcome.spaces):
        words = read_space(aligned.spaces[name], as_tokens(outcome.before[name]))
        done = outcome.spaces[name]
        opening = done.opening * words.real.any(-1)
        if not bool(opening.any()):
            continue
        images = outcome.images.get(name)
        given = repeated(hidden[name], len(words.states))
        apart = images and replace(images, given=given, rows=torch.zeros_like(images.rows))
        rows = read_space(words.space, apart.read if apart else given)
        request = Request(aligned.categories, strengths, opening, None, settings.token_quantile, settings.preserve_norm)
        steered = HIDDEN[settings.operator](rows, words, done, request)
        if steered.states is not rows.states:
            back = apart.put_back(steered.states, steered.flagged) if apart else steered.states
            moved[name] = replace(steered, states=back)
    return replace(outcome, hidden=moved) if moved else outcome


def _project(rows: SpaceReading, _words: SpaceReading, _done: Steered, request: Request) -> Steered:
    return project(rows, request)


def _add(rows: SpaceReading, _words: SpaceReading, _done: Steered, request: Request) -> Steered:
    return add(rows, request)


def _erase(rows: SpaceReading, words: SpaceReading, done: Steered, request: Request) -> Steered:
    """Turn hidden rows of prompts whose words became what was `done`, and fill those as unsafe as the words erased."""
    further = {name: TURN * value for name, value in request.strengths.items()}
    turned = project(rows, replace(request, strengths=further, preserve_norm=True))
    if done.erased is None or request.opening is None:
        return turned
    columns, opening = word_columns(request.categories, request.strengths), request.opening
    standing = word_standing(take_columns(words.unsafe, columns), words.space.tokens, columns).masked_fill(~done.erased, 0)
    striking = word_standing(take_columns(rows.unsafe, columns), rows.space.tokens, columns) > word_limit(standing)
    erased = striking & rows.real & done.erased.any(1, keepdim=True) & (opening > 0)[:, None]
    if not bool(erased.any()):
        return turned
    share = (max(request.strengths.values()) * opening).clamp(0, 1)
    together = torch.cat([done.states, turned.states], 1)
    real = torch.cat([words.real, torch.zeros_like(erased)], 1)
    gone = torch.cat([done.erased, erased], 1)
    filled = fill_from_rest(together, gone, real, share, request.preserve_norm)[:, words.states.shape[1] :]
    moved = (filled.float() - rows.floats).norm(dim=-1)
    return replace(turned, states=filled, moved=moved, erased=erased, filled=filled)


# No hidden row is a harmless word, so that clip has no limit to wait for.
HIDDEN: Mapping[str, HiddenOperator] = {"clip": _project, "project": _project, "add": _add, "erase": _erase}
