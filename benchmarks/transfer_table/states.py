"""A target encoder's states of every prompt, made once: anchors and passages, and test prompts in batches of equal length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.alignment.target_layer import target_layer
from safety_steer.directions.pooling import pool
from safety_steer.extraction.text_model import TextModel, pooled_activations, token_ids, token_states

from .prompts import Composite, Prompts, texts_of

SPACE = "cross_attn"
BATCH_TOKENS = {"cuda": 65536, "cpu": 4096}
TOGETHER = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of one length: their numbers among the texts, and their token states (B, T, D)."""

    rows: list[int]
    states: Tensor


@dataclass(eq=False)
class Target:
    """An encoder, the layer it is read at, its states of all texts, those of `core` first, and of what alignments ask for."""

    model: TextModel
    layer: int
    texts: list[str]
    core: list[Batch]
    rest: list[Batch]
    pooled: Tensor
    anchors: dict[tuple[str, ...], tuple[AnchorStates, float]] = field(default_factory=dict)
    trained: Tensor | None = None

    def numbers(self, texts: Sequence[str]) -> Tensor:
        """Return the numbers of some texts."""
        return torch.tensor([self.places[text] for text in texts], dtype=torch.long)

    @cached_property
    def places(self) -> dict[str, int]:
        """Each text's number."""
        return {text: number for number, text in enumerate(self.texts)}

    def states_of(self, prompts: Sequence[str]) -> tuple[AnchorStates, float]:
        """Return the states of anchors or passages, encoded once, and how long that took."""
        key = tuple(prompts)
        if key not in self.anchors:
            began = time.perf_counter()
            states = token_states(self.model, key, self.layer, batch_tokens(self.model))
            gathered = collect([{SPACE: states}], len(key))[SPACE]
            self.anchors[key] = (gathered, time.perf_counter() - began)
        return self.anchors[key]

    def training_states(self, prompts: Prompts) -> Tensor:
        """Return pooled states of the training pairs, safe sides first, for the native references."""
        if self.trained is None:
            texts = texts_of(prompts.train)
            self.trained = pooled_activations(self.model, texts, [self.layer], batch_tokens=batch_tokens(self.model))[:, 0]
        return self.trained


def encode(model: TextModel, prompts: Prompts) -> Target:
    """Encode all test prompts."""
    layer = target_layer(model, "auto")
    core, rest = prompts.core, prompts.rest
    texts = core + rest
    states = token_states(model, texts, layer, batch_tokens(model))
    pooled = torch.stack([pool(rows[None])[0] for rows in states])
    numbers = range(len(texts))
    return Target(model, layer, texts, _batched(states, numbers[: len(core)]), _batched(states, numbers[len(core) :]), pooled)


def batch_tokens(model: TextModel) -> int:
    """Return how many tokens to encode at once where the model is."""
    kind = next(iter(model.model.parameters())).device.type
    return BATCH_TOKENS.get(kind, BATCH_TOKENS["cpu"])


def _batched(states: Sequence[Tensor], numbers: Sequence[int]) -> list[Batch]:
    """Put prompts of equal length together."""
    lengths: dict[int, list[int]] = {}
    for number in numbers:
        lengths.setdefault(len(states[number]), []).append(number)
    parts = [rows[start : start + TOGETHER] for rows in lengths.values() for start in range(0, len(rows), TOGETHER)]
    return [Batch(rows, torch.stack([states[row] for row in rows])) for rows in parts]


def host_tokens(model: TextModel, composite: Composite) -> Tensor | None:
    """Return which of a composite's token states are of the host's words: (T,) bool; None where the sentence was cut off."""
    ids = token_ids(model, [composite.text])[0]
    found = model.tokenizer(composite.text, return_offsets_mapping=True, truncation=True, max_length=len(ids))
    spans = found["offset_mapping"]
    spans = [(0, 0)] * (len(ids) - len(spans)) + [tuple(span) for span in spans]
    if model.causal and len(spans) > 1:
        spans = spans[1:]
    if max(stop for _, stop in spans) < composite.stop:
        return None
    return torch.tensor([stop > start and not (start < composite.stop and stop > composite.start) for start, stop in spans])
