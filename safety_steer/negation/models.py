"""Choose and turn weights of models in memory: a text model from pairs of prompts, or any module whose layers a patch names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

from ..errors import DataError
from ..extraction.image_text_model import ImageTextModel
from ..extraction.text_model import Progress, TextModel, states_of_ids, token_ids
from ..storage.prompt_files import Pair
from . import TAU
from .collect import Rows, record_pairs
from .layers import ATTENTION, FEED_FORWARD, linear_layers
from .patch import WeightPatch, choose_weights, matched, turned

T = TypeVar("T")
MAX_PAIRS = 400  # a concept's in the paper
MIN_PAIRS = 8  # by hand


def negate_text_model(
    text_model: TextModel,
    pairs: Sequence[Pair],
    which: str = ATTENTION,
    tau: float = TAU,
    weighted: bool = True,
    progress: Progress | None = None,
) -> WeightPatch:
    """Choose the weights of a text model that answer to the unsafe side of pairs; the model itself is not changed.

    Padding is not read, and in causal models neither is position 0, the attention sink. Raises EncoderError for a model without
    layers of that kind, DataError for too few pairs or an unusable tau.
    """
    check_pairs(len(pairs))
    layers = linear_layers(text_model.model, which)

    def read(prompt: str) -> Rows:
        ids = token_ids(text_model, [prompt])
        states_of_ids(text_model, ids, text_model.last_layer)
        first = 1 if text_model.causal and len(ids[0]) > 1 else 0
        return lambda inputs: inputs.reshape(-1, inputs.shape[-1])[first:]

    recorded = record_pairs(layers, [(pair.safe, pair.unsafe) for pair in pairs], read, progress)
    return choose_weights(recorded, weights_of(layers), text_model.identity.name, which, tau, weighted)


def negate_pictures(
    model: ImageTextModel,
    pairs: Sequence[tuple[Tensor, Tensor]],
    which: str = FEED_FORWARD,
    tau: float = TAU,
    weighted: bool = False,
    progress: Progress | None = None,
) -> WeightPatch:
    """Choose the weights of a model's vision part that answer to the unsafe side of pairs of pictures (H, W, 3) in 0..1.

    The paper takes feed-forward layers here, and leaves |W| out of the scores. Raises like `negate_text_model`.
    """
    check_pairs(len(pairs))
    layers = linear_layers(model.vision, which)

    def read(picture: Tensor) -> Rows:
        model.pictures([picture])
        return lambda inputs: inputs.reshape(-1, inputs.shape[-1])

    recorded = record_pairs(layers, pairs, read, progress)
    return choose_weights(recorded, weights_of(layers), model.name, which, tau, weighted)


@contextmanager
def negated(model: nn.Module, patch: WeightPatch, strength: float = 1.0) -> Iterator[None]:
    """Turn a patch's weights while the context is open, in copies: afterwards the model has the very tensors it had.

    Raises MismatchError for a patch of another model.
    """
    layers = linear_layers(model, "*")
    found = matched(patch, {name: (own.shape[0], own.shape[1]) for name, own in _weights(layers).items()}, weights_of(layers))
    kept: dict[str, nn.Parameter] = {}
    try:
        for name, layer in found.items():
            module, own = layers[name], _weights(layers)[name]
            kept[name] = own
            module.weight = nn.Parameter(turned(own.detach(), layer.places, patch.alpha, strength), requires_grad=False)
        yield
    finally:
        for name, own in kept.items():
            layers[name].weight = own


def weights_of(layers: Mapping[str, nn.Module]) -> Callable[[str], Tensor]:
    """Return what gives a layer's weight (out, in) by name."""
    return lambda name: _weights(layers)[name].detach()


def spread_out(pairs: Sequence[T], most: int = MAX_PAIRS) -> list[T]:
    """Take at most this many pairs, evenly from the whole list."""
    count = min(len(pairs), most)
    return [pairs[number * len(pairs) // count] for number in range(count)]


def check_pairs(count: int) -> None:
    """Refuse too few pairs before anything is encoded; raises DataError."""
    if count < MIN_PAIRS:
        raise DataError(f"Expected at least {MIN_PAIRS} safe and unsafe pairs, but got {count}. A few hundred are good.")


def _weights(layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {name: layer.weight for name, layer in layers.items() if isinstance(layer.weight, nn.Parameter)}
