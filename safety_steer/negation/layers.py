"""Find the linear layers of a model by what they do: what attention gives, or what a feed-forward part gives.

The paper takes the former in text encoders (`out_proj`) and the latter in vision (`fc2`). Names tell them apart, those of
transformers and of ComfyUI alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from torch import Tensor, nn

from ..errors import EncoderError

ATTENTION, FEED_FORWARD, BOTH = "attention", "feed-forward", "both"
KINDS = (ATTENTION, FEED_FORWARD, BOTH)
_ATTENTION_OUT = ("out_proj", "o_proj", "o", "dense", "proj")
_FEED_FORWARD_OUT = ("fc2", "down_proj", "wo", "dense", "weights_out")


def linear_layers(model: nn.Module, which: str) -> dict[str, nn.Module]:
    """Return the linear layers of a kind, or those whose names fit a pattern such as `*.out_proj`, by name.

    Raises EncoderError when there are none.
    """
    every = dict(_linear(model))
    found = {name: layer for name, layer in every.items() if _wanted(name, which)}
    if not found:
        raise EncoderError(
            f"{type(model).__name__} has no linear layers of the kind '{which[:80]}' among its {len(every)}. Choose "
            f"{', '.join(KINDS)} or a pattern that fits their names, or another model."
        )
    return found


def kind_of(name: str) -> str | None:
    """Return which kind a linear layer of this name is, or None."""
    *above, last = name.split(".")
    path = ".".join(above).lower()
    # BERT: attention.output.dense and output.dense; attention.self.query is named otherwise.
    if last == "dense" and not (above and above[-1] == "output"):
        return None
    if any(word in path for word in ("attn", "attention", "mixer")):
        return ATTENTION if last in _ATTENTION_OUT else None
    return FEED_FORWARD if last in _FEED_FORWARD_OUT else None


def _wanted(name: str, which: str) -> bool:
    if which in KINDS:
        kind = kind_of(name)
        return kind is not None and which in (BOTH, kind)
    return fnmatchcase(name, which)


def _linear(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield what holds a weight (out, in): quantised layers of ComfyUI are no nn.Linear, and embeddings say no in_features."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if hasattr(module, "in_features") and isinstance(weight, Tensor) and weight.ndim == 2:
            yield name, module
