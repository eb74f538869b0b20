"""Language models to activations: Hugging Face folders and GGUF files, through transformers.

Decoder-only, encoder-only and encoder-decoder models (their encoder) all become a `TextModel`. One forward pass a
length-bucketed batch; hooks pool each wanted layer the moment it exists, and end the pass when they have all of them.
Layer 0 is the embedding, layer i the state after i blocks, the last one after the final norm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from ..directions.source import ModelIdentity
from ..errors import DataError, EncoderError
from ..fast_products import fast_products, rounded_products
from .batching import batches, padded, suited_tokens
from .layer_hooks import EverythingKept, captured
from .loading import encoder_class, load_with, text_part

Progress = Callable[[int, int], None]
TokenIds = Sequence[Sequence[int]]
StatesOfRows = tuple[list[int], list[Tensor]]
POOLINGS = ("mean", "last")
MAX_TOKENS = 512  # by hand; longer prompts are cut off


@dataclass(frozen=True, eq=False)
class TextModel:
    """A text model ready to encode: the module, its tokenizer, its stack of blocks and its identity.

    `any_precision` says that nobody asked for the one that its weights have.
    """

    model: nn.Module
    tokenizer: Any
    blocks: nn.ModuleList
    identity: ModelIdentity
    causal: bool
    any_precision: bool

    @property
    def last_layer(self) -> int:
        """Index of the state after the final norm; layers run from 0 to this number."""
        return self.identity.depth


def load_text_model(path: str | os.PathLike[str], device: str = "auto", dtype: str = "auto") -> TextModel:
    """Load a text model from a Hugging Face folder or a `.gguf` file, without any network access.

    `device` is "auto", or a torch device; "auto" spreads a model over all GPUs through accelerate when there are
    any. `dtype` is "auto" (bfloat16 on GPU, float32 on CPU), "float32", "float16" or "bfloat16". With "auto" an alignment may
    round (`rounding.py`).
    Raises EncoderError when the path is not a text model that transformers can load.
    """

    def wrap(model: nn.Module, tokenizer: Any, name: str) -> TextModel:
        return wrap_text_model(text_part(model), tokenizer, name, any_precision=dtype == "auto")

    return load_with(encoder_class, wrap, path, device, dtype)


def wrap_text_model(model: nn.Module, tokenizer: Any, name: str, any_precision: bool = False) -> TextModel:
    """Wrap a loaded transformers module and tokenizer; raises EncoderError when it has no stack of blocks."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.padding_side = "right"
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) > 0]
    width = getattr(model.config, "hidden_size", None) or getattr(model.config, "d_model", None)
    depth = getattr(model.config, "num_hidden_layers", None) or getattr(model.config, "num_layers", None)
    blocks = next((stack for stack in stacks if len(stack) == depth), None)
    if blocks is None or not isinstance(width, int):
        raise EncoderError(f"'{name}' ({type(model).__name__}) has no stack of hidden layers to read. Use a text model.")
    identity = ModelIdentity(name=name[:256], architecture=type(model).__name__, width=width, depth=len(blocks))
    return TextModel(model, tokenizer, blocks, identity, _is_causal(model), any_precision)


@singledispatch
def pooled_activations(
    text_model: TextModel,
    prompts: Sequence[str],
    layers: Sequence[int],
    pooling: str = "mean",
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Pool each prompt's hidden states: (N, L, D) float32 on the CPU, layers in the order asked for.

    "mean" averages over real tokens, leaving out position 0 in causal models, where it is an attention sink with an
    outlier norm; "last" takes the last real token. Raises DataError for an unknown pooling, layer or no prompts.
    """
    if pooling not in POOLINGS:
        raise DataError(f"Expected pooling {' or '.join(POOLINGS)}, but got '{pooling}'.")
    result = torch.empty(len(prompts), len(layers), text_model.identity.width)
    skip_first = pooling == "mean" and text_model.causal

    def pool(states: Tensor, mask: Tensor) -> Tensor:
        if pooling == "last":
            return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1].float()
        return mean_pool(states, sink_mask(mask) if skip_first else mask)

    for rows, pooled, _ in _forward(text_model, token_ids(text_model, prompts), layers, pool, batch_tokens, progress, False):
        result[rows] = torch.stack([value.cpu() for value in pooled], dim=1)
    return result


def token_states(
    text_model: TextModel,
    prompts: Sequence[str],
    layer: int,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    rounded: bool = False,
) -> list[Tensor]:
    """Return each prompt's hidden states at one layer as a list of (T_i, D) float32 CPU tensors.

    Padding is left out, and in causal models position 0, the attention sink: no generator is conditioned on it. With
    `rounded`, products are rounded to bfloat16.
    """
    return _in_order(len(prompts), states_in_batches(text_model, prompts, layer, batch_tokens, progress, rounded))


def token_ids(text_model: TextModel, prompts: Sequence[str]) -> list[list[int]]:
    """Return each prompt's token numbers, cut to what the model can take; at least one, padding, where there are none.

    Where a causal model's tokenizer knows a start token but adds none, it is put first as the sink.
    """
    if not prompts:
        raise DataError("There are no prompts to encode. Give at least one.")
    tokenizer = text_model.tokenizer
    start = getattr(tokenizer, "bos_token_id", None)
    rows: list[list[int]] = tokenizer(list(prompts), truncation=True, max_length=_length_limit(text_model) - 1)["input_ids"]
    if text_model.causal and start is not None:
        rows = [row if row[:1] == [start] else [start, *row] for row in rows]
    return [row or [tokenizer.pad_token_id or 0] for row in rows]


def states_of_ids(
    text_model: TextModel, ids: TokenIds, layer: int, batch_tokens: int | None = None, progress: Progress | None = None
) -> list[Tensor]:
    """Return what `token_states` returns, for prompts given as their `token_ids`."""
    return _in_order(len(ids), _batches_of_ids(text_model, ids, layer, batch_tokens, progress, rounded=False))


@singledispatch
def states_in_batches(
    text_model: TextModel,
    prompts: Sequence[str],
    layer: int,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    rounded: bool = False,
) -> Iterator[StatesOfRows]:
    """Yield what `token_states` returns batch by batch, not in order: row numbers, and their states, views of their batch."""
    yield from _batches_of_ids(text_model, token_ids(text_model, prompts), layer, batch_tokens, progress, rounded)


def _batches_of_ids(
    text_model: TextModel, ids: TokenIds, layer: int, batch_tokens: int | None, progress: Progress | None, rounded: bool
) -> Iterator[StatesOfRows]:
    first = 1 if text_model.causal else 0
    for rows, (states,), lengths in _forward(text_model, ids, [layer], lambda h, _: h, batch_tokens, progress, rounded):
        whole = zip(states.float().cpu(), lengths, strict=True)
        yield rows, [values[min(first, length - 1) : length] for values, length in whole]


def _in_order(count: int, found: Iterable[StatesOfRows]) -> list[Tensor]:
    """Copy states into the order of their rows."""
    result: list[Tensor] = [torch.empty(0)] * count
    for rows, states in found:
        for row, values in zip(rows, states, strict=True):
            result[row] = values.clone()
    return result


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Average states (B, T, D) over the positions where mask (B, T) is not 0: (B, D) float32."""
    weights = mask.to(device=states.device, dtype=torch.float32)
    total = torch.einsum("btd,bt->bd", states.float(), weights)
    return total / weights.sum(1, keepdim=True).clamp(min=1)


def sink_mask(mask: Tensor) -> Tensor:
    """Leave position 0 out of a mask (B, T), except for prompts of a single token."""
    kept = mask.clone()
    kept[:, 0] = torch.where(mask.sum(1) > 1, 0, mask[:, 0])
    return kept


def token_budget(text_model: TextModel, batch_tokens: int | None, rounded: bool = False) -> int:
    """Return how many tokens a padded batch may have: as told, or what suits the device."""
    return batch_tokens or suited_tokens(_device(text_model.model), rounded)


def _forward(
    text_model: TextModel,
    ids: TokenIds,
    layers: Sequence[int],
    reduce: Callable[[Tensor, Tensor], Tensor],
    batch_tokens: int | None,
    progress: Progress | None,
    rounded: bool,
) -> Iterator[tuple[list[int], list[Tensor], list[int]]]:
    """Run prompts in length-bucketed batches; yield row numbers, reduced states per layer, and token counts.

    `batch_tokens` is that of `token_budget`.
    """
    if any(not 0 <= layer <= text_model.last_layer for layer in layers):
        raise DataError(f"Expected layers 0 to {text_model.last_layer}, but got {list(layers)}.")
    lengths = [len(row) for row in ids]
    device = _device(text_model.model)
    done = 0
    for rows in batches(lengths, token_budget(text_model, batch_tokens, rounded)):
        width = min(padded(lengths[rows[0]]), _length_limit(text_model))
        padding = text_model.tokenizer.pad_token_id or 0
        tokens = torch.tensor([[*ids[row], *[padding] * (width - lengths[row])] for row in rows])
        mask = (torch.arange(width) < torch.tensor([[lengths[row]] for row in rows])).long()
        mask = mask.to(device)
        reduced = partial(_reduce_with, reduce, mask)
        whole = captured(text_model.blocks, layers, reduced)
        precision = rounded_products(device) if rounded else fast_products(device)
        with torch.inference_mode(), precision, whole as kept, suppress(EverythingKept):
            output = text_model.model(input_ids=tokens.to(device), attention_mask=mask)
            if text_model.last_layer in layers:
                kept[text_model.last_layer] = reduce(output.last_hidden_state, mask)
        yield rows, [kept[layer] for layer in layers], [lengths[row] for row in rows]
        done += len(rows)
        if progress is not None:
            progress(done, len(ids))


def _reduce_with(reduce: Callable[[Tensor, Tensor], Tensor], mask: Tensor, states: Tensor) -> Tensor:
    """Reduce states with their mask on whichever device the layer lives."""
    return reduce(states, mask.to(states.device))


def _device(model: Any) -> torch.device:
    """Return where the model wants its token numbers."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def _length_limit(text_model: TextModel) -> int:
    """Return how many tokens a prompt may have; two fewer where positions start after the padding number."""
    config: Any = text_model.model.config
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    if "roberta" in str(getattr(config, "model_type", "")):
        positions -= 2
    return min(getattr(text_model.tokenizer, "model_max_length", MAX_TOKENS), positions, MAX_TOKENS)


@torch.inference_mode()
def _is_causal(model: nn.Module) -> bool:
    """Tell causal models from bidirectional ones by behaviour: does a later token change the first state?"""
    tokens = torch.tensor([[5, 6, 7], [5, 8, 9]], device=_device(model))
    states = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    return torch.allclose(states[0, 0].float(), states[1, 0].float(), atol=1e-3)
