"""Pairs through a ComfyUI CLIP: which of its weights answer to their unsafe side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import comfy.model_management
from torch import Tensor

from ...safety_steer.errors import EncoderError
from ...safety_steer.extraction.text_model import Progress
from ...safety_steer.negation.collect import Rows, record_pairs
from ...safety_steer.negation.models import check_pairs
from ...safety_steer.negation.patch import WeightPatch, choose_weights
from ...safety_steer.storage.prompt_files import Pair
from .. import negated_weights
from .encode_prompts import encoder_name
from .plain_tokens import numbers, plain
from .tokens import generates_sound, sections, without_padding

if TYPE_CHECKING:
    from comfy.sd import CLIP


def choose(
    clip: CLIP, pairs: Sequence[Pair], which: str, tau: float, weighted: bool, progress: Progress | None = None
) -> WeightPatch:
    """Choose weights of a CLIP as it is, with its LoRAs; `progress` is told how many pairs are read.

    Raises EncoderError for one without layers of that kind, DataError for too few pairs.
    """
    check_pairs(len(pairs))
    name = encoder_name(clip)
    layers = negated_weights.layers_of(clip.patcher, which)
    weights = negated_weights.weights_of(clip.patcher, layers, patched=True)
    weights(next(iter(layers)))  # what cannot be read is said before anything is encoded
    options = without_padding(clip)
    if generates_sound(clip.tokenize("a", **options)):
        raise EncoderError(f"{name} generates sound for a prompt: there are no text states whose weights could be negated.")
    tokenize = plain(clip, options)

    def read(prompt: str) -> Rows:
        comfy.model_management.throw_exception_if_processing_interrupted()
        tokens = tokenize(prompt)
        clip.encode_from_tokens_scheduled(tokens)
        own = {len(found[0]): _own(numbers(found)) for found in sections(tokens).values()}
        return lambda inputs: _rows(inputs, own)

    recorded = record_pairs(layers, [(pair.safe, pair.unsafe) for pair in pairs], read, progress)
    return choose_weights(recorded, weights, name, which, tau, weighted)


def _own(row: Sequence[Any]) -> int:
    """Return how many tokens a row has without what it is filled up with at the end: the last token, many times."""
    filled = next((at for at, token in enumerate(reversed(row)) if token is not row[-1] and token != row[-1]), len(row))
    return len(row) - max(0, filled - 1)


def _rows(inputs: Tensor, own: dict[int, int]) -> Tensor:
    """Return the rows (T, d) of a prompt's first section, of inputs (B, T, d)."""
    rows = inputs.reshape(-1, inputs.shape[-2], inputs.shape[-1])[0] if inputs.ndim > 2 else inputs
    return rows[: own.get(len(rows), len(rows))]
