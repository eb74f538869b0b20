"""What a refusal is learned from, gathered in one pass over the requests: hidden states that no later training changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..extraction.batching import batches
from ..extraction.layer_hooks import watched
from ..extraction.text_model import Progress
from .language_model import BATCH_TOKENS, LanguageModel


@dataclass(frozen=True, eq=False)
class RequestStates:
    """States of N requests: `layers` (N, L, d), the last token's state in front of each block; and `final` (N, P, d), what
    the output head reads at P places of each. All float32 on the CPU.
    """

    layers: Tensor
    final: Tensor


def refused_states(
    model: LanguageModel, ids: Sequence[Sequence[int]], refusal: Sequence[int], progress: Progress | None = None
) -> RequestStates:
    """Read requests followed by the first tokens of a refusal: P = len(refusal) places, each of which has to bring the next
    token of the refusal (teacher forcing).
    """
    return _read(model, ids, list(refusal[:-1]), len(refusal), progress)


def plain_states(
    model: LanguageModel, ids: Sequence[Sequence[int]], places: int, progress: Progress | None = None
) -> RequestStates:
    """Read requests alone: the last P = `places` places of each, the start of its answer the last of them.

    A request that has fewer of its own repeats its first place.
    """
    return _read(model, ids, [], places, progress)


def common_length(ids: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with alike, leaving each at least one of its own."""
    shortest = min(map(len, ids)) - 1
    return next((at for at in range(shortest) if any(row[at] != ids[0][at] for row in ids)), shortest)


def _started(model: LanguageModel, tokens: Sequence[int]) -> Any:
    """Read once what all requests begin with, a system message say, and return the keys and values of it: (1, ...) each."""
    from transformers import DynamicCache

    cache = DynamicCache()
    if tokens:
        with torch.no_grad():
            model.text.model(input_ids=torch.tensor([list(tokens)]).to(model.device), past_key_values=cache)
    return cache


def _read(
    model: LanguageModel, ids: Sequence[Sequence[int]], after: list[int], places: int, progress: Progress | None
) -> RequestStates:
    shared = common_length(ids)
    started = _started(model, ids[0][:shared])
    ids = [row[shared:] for row in ids]
    blocks, width = model.text.blocks, model.text.identity.width
    layers, final = torch.empty(len(ids), len(blocks), width), torch.empty(len(ids), places, width)
    padding = model.text.tokenizer.pad_token_id or 0
    done = 0
    for rows in batches([len(ids[row]) + len(after) for row in range(len(ids))], BATCH_TOKENS):
        lengths = torch.tensor([len(ids[row]) for row in rows])
        longest = int(lengths.max())
        padded = [[*ids[row], *after, *[padding] * (longest - len(ids[row]))] for row in rows]
        mask = (torch.arange(shared + longest + len(after)) < shared + lengths[:, None] + len(after)).long()
        here, numbers = torch.arange(len(rows)), torch.tensor(rows)

        def keep(layer: int, states: Tensor, here: Tensor = here, lengths: Tensor = lengths, numbers: Tensor = numbers) -> None:
            layers[numbers, layer] = states[here, lengths - 1].float().cpu()

        cache = copy.deepcopy(started)
        cache.batch_repeat_interleave(len(rows))
        tokens = torch.tensor(padded).to(model.device)
        with torch.no_grad(), watched(blocks, range(len(blocks)), keep):
            output = model.text.model(input_ids=tokens, attention_mask=mask.to(model.device), past_key_values=cache)
        last = lengths + len(after) - 1
        wanted = (last[:, None] - torch.arange(places - 1, -1, -1)).clamp(min=0)
        final[numbers] = output.last_hidden_state[here[:, None], wanted].float().cpu()
        done += len(rows)
        if progress is not None:
            progress(done, len(ids))
    return RequestStates(layers, final)
