"""Language models that answer: read as text models are, with their output head, the frame of a chat, and greedy answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, EncoderError
from ..extraction.batching import batches
from ..extraction.loading import load_with
from ..extraction.text_model import Progress, TextModel, wrap_text_model

BATCH_TOKENS = 2048  # by hand; of a padded batch
MAX_REQUEST_TOKENS = 2048  # by hand; a longer request is an error, since a cut one is another request


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that answers: the whole of it, its text model (blocks, tokenizer, identity), and its output head E (V, d)."""

    causal: Any
    text: TextModel
    head: nn.Module

    @property
    def device(self) -> torch.device:
        """Where the model wants its token numbers."""
        device: torch.device = self.causal.get_input_embeddings().weight.device
        return device


def load_language_model(path: str | os.PathLike[str], device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """Load a language model from a Hugging Face folder or a `.gguf` file; options are those of `load_text_model`.

    Raises EncoderError when the path is no model that transformers can load and that writes text.
    """
    return load_with(_causal_class, wrap_language_model, path, device, dtype)


def wrap_language_model(model: Any, tokenizer: Any, name: str) -> LanguageModel:
    """Wrap a loaded causal model of transformers; raises EncoderError when it has no blocks or no output head."""
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        raise EncoderError(f"'{name}' ({type(model).__name__}) has no output head. Use a language model that writes text.")
    return LanguageModel(model, wrap_text_model(model.base_model, tokenizer, name), head)


def request_ids(model: LanguageModel, requests: Sequence[str], system: str = "") -> list[list[int]]:
    """Return the token numbers of each request in the frame of the model's chat, up to where its answer begins.

    `system` is the system message; "" leaves the model its own. A model without a chat template gets the message, the
    request and a line break. Raises DataError for no requests and for one of
    more than 2,048 tokens.
    """
    if not requests:
        raise DataError("There are no requests. Give at least one.")
    tokenizer = model.text.tokenizer
    if getattr(tokenizer, "chat_template", None):
        first = [{"role": "system", "content": system}] if system else []
        turns = [[*first, {"role": "user", "content": request}] for request in requests]
        framed = [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]
        rows = tokenizer(framed, add_special_tokens=False)["input_ids"]
    else:
        rows = tokenizer([f"{system}\n{request}\n".lstrip() for request in requests])["input_ids"]
    ids: list[list[int]] = [list(row) or [tokenizer.pad_token_id or 0] for row in rows]
    longest = max(range(len(ids)), key=lambda row: len(ids[row]))
    if len(ids[longest]) > MAX_REQUEST_TOKENS:
        raise DataError(
            f"The request '{requests[longest][:60]}' has {len(ids[longest]):,} tokens; at most "
            f"{MAX_REQUEST_TOKENS:,} are read. Shorten it."
        )
    return ids


def answers(
    model: LanguageModel,
    requests: Sequence[str],
    max_tokens: int,
    system: str = "",
    batch_tokens: int = BATCH_TOKENS,
    after_batch: Callable[[list[int]], None] | None = None,
    progress: Progress | None = None,
) -> list[list[int]]:
    """Return the token numbers of the model's greedy answer to each request, at most `max_tokens` each, without its end.

    Requests run in batches of similar length, padded on the left; `after_batch` is told which ones have just been answered.
    """
    from transformers import GenerationConfig

    ids = request_ids(model, requests, system)
    ends = end_tokens(model)
    padding = model.text.tokenizer.pad_token_id or 0
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=max_tokens, eos_token_id=sorted(ends) or None, pad_token_id=padding
    )
    found: list[list[int]] = [[]] * len(ids)
    done = 0
    for rows in batches([len(row) + max_tokens for row in ids], batch_tokens):
        tokens, mask = left_padded([ids[row] for row in rows], padding)
        with torch.inference_mode():
            written = model.causal.generate(
                input_ids=tokens.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
            )
        for row, numbers in zip(rows, written[:, tokens.shape[1] :].tolist(), strict=True):
            found[row] = numbers[: next((at for at, number in enumerate(numbers) if number in ends), len(numbers))]
        if after_batch is not None:
            after_batch(rows)
        done += len(rows)
        if progress is not None:
            progress(done, len(ids))
    return found


def decoded(model: LanguageModel, numbers: Sequence[Sequence[int]]) -> list[str]:
    """Return the text of answers."""
    return [str(model.text.tokenizer.decode(row, skip_special_tokens=True)).strip() for row in numbers]


def end_tokens(model: LanguageModel) -> set[int]:
    """Return the numbers of the tokens that end an answer: the tokenizer's, and those the model itself names."""
    named: Any = getattr(getattr(model.causal, "generation_config", None), "eos_token_id", None)
    several = named if isinstance(named, list) else [named]
    return {int(number) for number in (model.text.tokenizer.eos_token_id, *several) if number is not None}


def left_padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Return token numbers (B, T) that end together, and their mask."""
    width = max(map(len, rows))
    tokens = torch.tensor([[*[padding] * (width - len(row)), *row] for row in rows])
    mask = torch.tensor([[*[0] * (width - len(row)), *[1] * len(row)] for row in rows])
    return tokens, mask


def _causal_class(_: Any) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM
