"""Language models to activations: Hugging Face folders and GGUF files, through transformers.

Decoder-only, encoder-only and encoder-decoder models (their encoder) all become a `TextModel`. One forward pass a
length-bucketed batch; hooks pool each wanted layer the moment it exists, and end the pass when they have all of them.
Layer 0 is the embedding, layer i the state after i blocks, the last one after the final norm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..directions.source import ModelIdentity
from ..errors import DataError, EncoderError
from ..fast_products import fast_products
from .batching import batches, padded, suited_tokens
from .layer_hooks import EverythingKept, captured
from .model_files import located, reason_of

Progress = Callable[[int, int], None]
# A folder can bring Python of its own, and transformers would ask on the terminal whether to run it.
LOCAL_FILES = {"local_files_only": True, "trust_remote_code": False}
TokenIds = Sequence[Sequence[int]]
Loaded = TypeVar("Loaded")
POOLINGS = ("mean", "last")
MAX_TOKENS = 512  # by hand; longer prompts are cut off
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class TextModel:
    """A text model ready to encode: the module, its tokenizer, its stack of blocks and its identity."""

    model: nn.Module
    tokenizer: Any
    blocks: nn.ModuleList
    identity: ModelIdentity
    causal: bool

    @property
    def last_layer(self) -> int:
        """Index of the state after the final norm; layers run from 0 to this number."""
        return self.identity.depth


def load_text_model(path: str | os.PathLike[str], device: str = "auto", dtype: str = "auto") -> TextModel:
    """Load a text model from a Hugging Face folder or a `.gguf` file, without any network access.

    `device` is "auto", or a torch device; "auto" spreads a model over all GPUs through accelerate when there are
    any. `dtype` is "auto" (bfloat16 on GPU, float32 on CPU), "float32", "float16" or "bfloat16".
    Raises EncoderError when the path is not a text model that transformers can load.
    """
    return load_with(_encoder_class, lambda model, *rest: wrap_text_model(_text_part(model), *rest), path, device, dtype)


def load_with(
    class_of: Callable[[Any], Any],
    wrap: Callable[[Any, Any, str], Loaded],
    path: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "auto",
) -> Loaded:
    """Load what `class_of(config)` of transformers makes of a path, and return `wrap(model, tokenizer, name)` of it.

    The model is frozen and on its device, except for parts that `wrap` takes out. Options and errors are those of
    `load_text_model`.
    """
    import transformers

    folder, options = located(Path(path))
    if dtype not in ("auto", *DTYPES):
        raise DataError(f"Expected dtype auto, {', '.join(DTYPES)}, but got '{dtype}'.")
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    chosen = DTYPES.get(dtype, torch.bfloat16 if on_gpu else torch.float32)
    placement = {"device_map": "auto"} if device == "auto" and on_gpu else {}
    # On a processor torch's fused attention takes longer than plain products do.
    attention = {} if on_gpu else {"attn_implementation": "eager"}
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL_FILES, **options)
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL_FILES, **options)
        model, loading = class_of(config).from_pretrained(
            folder, **LOCAL_FILES, dtype=chosen, output_loading_info=True, **attention, **placement, **options
        )
        missing = [name for name in loading["missing_keys"] if "pooler" not in name]
        if missing:
            raise EncoderError(f"the weights lack {len(missing)} tensors, {missing[0]} among them")
        model = model.eval().requires_grad_(False)
        if not placement and device != "auto":
            model = model.to(device)
        return wrap(model, tokenizer, options.get("gguf_file") or Path(path).resolve().name)
    except Exception as error:  # loaders fail in as many ways as there are broken files, and all mean this
        raise EncoderError(f"Cannot load a text model from '{path}' (device {device}): {reason_of(error)}") from error


def wrap_text_model(model: nn.Module, tokenizer: Any, name: str) -> TextModel:
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
    return TextModel(model, tokenizer, blocks, identity, causal=_is_causal(model))


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

    for rows, pooled, _ in _forward(text_model, token_ids(text_model, prompts), layers, pool, batch_tokens, progress):
        result[rows] = torch.stack([value.cpu() for value in pooled], dim=1)
    return result


@singledispatch
def token_states(
    text_model: TextModel,
    prompts: Sequence[str],
    layer: int,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[Tensor]:
    """Return each prompt's hidden states at one layer as a list of (T_i, D) float32 CPU tensors.

    Padding is left out, and in causal models position 0, the attention sink: no generator is conditioned on it.
    """
    return states_of_ids(text_model, token_ids(text_model, prompts), layer, batch_tokens, progress)


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
    result: list[Tensor] = [torch.empty(0)] * len(ids)
    first = 1 if text_model.causal else 0
    for rows, (states,), lengths in _forward(text_model, ids, [layer], lambda h, _: h, batch_tokens, progress):
        for row, values, length in zip(rows, states.float().cpu(), lengths, strict=True):
            result[row] = values[min(first, length - 1) : length].clone()
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


def token_budget(text_model: TextModel, batch_tokens: int | None) -> int:
    """Return how many tokens a padded batch may have: as told, or what suits the device."""
    return batch_tokens or suited_tokens(_device(text_model.model))


def _forward(
    text_model: TextModel,
    ids: TokenIds,
    layers: Sequence[int],
    reduce: Callable[[Tensor, Tensor], Tensor],
    batch_tokens: int | None,
    progress: Progress | None,
) -> Iterator[tuple[list[int], list[Tensor], list[int]]]:
    """Run prompts in length-bucketed batches; yield row numbers, reduced states per layer, and token counts.

    `batch_tokens` is that of `token_budget`.
    """
    if any(not 0 <= layer <= text_model.last_layer for layer in layers):
        raise DataError(f"Expected layers 0 to {text_model.last_layer}, but got {list(layers)}.")
    lengths = [len(row) for row in ids]
    device = _device(text_model.model)
    done = 0
    for rows in batches(lengths, token_budget(text_model, batch_tokens)):
        width = min(padded(lengths[rows[0]]), _length_limit(text_model))
        padding = text_model.tokenizer.pad_token_id or 0
        tokens = torch.tensor([[*ids[row], *[padding] * (width - lengths[row])] for row in rows])
        mask = (torch.arange(width) < torch.tensor([[lengths[row]] for row in rows])).long()
        mask = mask.to(device)
        reduced = partial(_reduce_with, reduce, mask)
        whole = captured(text_model.blocks, layers, reduced)
        with torch.inference_mode(), fast_products(device), whole as kept, suppress(EverythingKept):
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


def _encoder_class(config: Any) -> Any:
    """Return the class of transformers that loads a model without what it may have on top of its blocks."""
    import transformers

    t5 = getattr(config, "model_type", "") in ("t5", "umt5", "mt5")
    return transformers.AutoModelForTextEncoding if t5 else transformers.AutoModel


def _text_part(model: Any) -> Any:
    """Return the text encoder of an encoder-decoder or text-image model; other models as they are."""
    if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
        return model.get_encoder()
    for part in ("text_model", "language_model"):
        if hasattr(model, part) and not hasattr(model.config, "hidden_size"):
            return getattr(model, part)
    return model


@torch.inference_mode()
def _is_causal(model: nn.Module) -> bool:
    """Tell causal models from bidirectional ones by behaviour: does a later token change the first state?"""
    tokens = torch.tensor([[5, 6, 7], [5, 8, 9]], device=_device(model))
    states = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    return torch.allclose(states[0, 0].float(), states[1, 0].float(), atol=1e-3)
