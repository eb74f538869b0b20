"""Whether a text model's products may be rounded to bfloat16: in half the time, on processors that multiply such numbers.

Many encoders bear it. One with a few channels far larger than all others, as in many language models, does not: what is small
in it drowns. So it is found out by trying, once for a model and layer. Whoever asks for a precision gets that one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from weakref import ref

import torch

from ..fast_products import multiplies_rounded
from ..storage.bundled import bundled
from ..storage.prompt_files import read_prompts
from .text_model import TextModel, token_states

TRIED = 16  # by hand; prompts
BORNE = 0.015  # by hand; two sentence encoders are at 0.012 at most, SmolLM2 reaches 0.11, Qwen2.5 2.6


def bears_rounding(text_model: TextModel, layer: int) -> bool:
    """Return whether rounding moves no tried prompt's token states by over 1.5 % of how far they are from the mean of all.

    Tried are 16 of the bundled harmless prompts. False on other devices and processors, and where a precision was asked for.
    """
    model: Any = text_model.model
    weights: torch.Tensor = model.get_input_embeddings().weight
    if not (text_model.any_precision and weights.dtype == torch.float32 and multiplies_rounded(weights.device)):
        return False
    return _bears(ref(text_model), layer)


@lru_cache(maxsize=8)
def _bears(reference: ref[TextModel], layer: int) -> bool:
    """Try a living model; the reference does not keep it alive."""
    text_model = reference()
    assert text_model is not None
    prompts = read_prompts(bundled("harmless_prompts.txt"))
    tried = prompts[:: len(prompts) // TRIED][:TRIED]
    exact, rounded = (token_states(text_model, tried, layer, rounded=how) for how in (False, True))
    mean = torch.cat(exact).mean(0)
    moved = [float((one - other).norm() / (one - mean).norm()) for one, other in zip(exact, rounded, strict=True)]
    return max(moved) <= BORNE
