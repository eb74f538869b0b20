"""WeightPatch: which weights of a model to turn, in one small file. It holds places, no weights and no text.

A patch knows its model by the signs of a few of its weights, which survive every precision and most fine-tuning, and are a coin
toss in any other model.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import FileFormatError, MismatchError
from ..storage import checks, container
from . import TAU
from .collect import Recorded
from .scores import ALPHA, chosen, layer_scores

KIND = "weight-patch"
SIGNS = 256  # by hand; of a layer's weights, spread evenly
SAME_SIGNS = 0.9  # by hand; of another model's weights half agree, give or take 0.03
MAX_LAYERS = 4000  # by hand; what a file may hold
MAX_NAME = 256  # by hand
MAX_PLACES = 2**25  # by hand; 256 MB, and in T5-XXL every 140th weight
READ_AT_ONCE = 2**20  # by hand; bytes
SKIP = 255  # in packed places: go on this far, nothing is here
Weights = Callable[[str], Tensor]


@dataclass(frozen=True, eq=False)
class LayerPatch:
    """Places (flat, ascending, int64) in a weight (out, in), and signs of some of its weights, packed, (SIGNS / 8,) uint8."""

    shape: tuple[int, int]
    places: Tensor
    signs: Tensor


@dataclass(frozen=True, eq=False)
class WeightPatch:
    """Weights of a model that are to be multiplied by `alpha`, by the name of their layer, and how they were chosen.

    `which` is the kind of layers that was asked for, `tau` the share of each layer's mass, `weighted` whether scores were
    multiplied by |W|, `pairs` how many pairs they are of.
    """

    model: str
    which: str
    tau: float
    weighted: bool
    pairs: int
    layers: Mapping[str, LayerPatch]
    alpha: float = ALPHA

    @property
    def count(self) -> int:
        """How many weights are turned."""
        return sum(len(layer.places) for layer in self.layers.values())

    @property
    def share(self) -> float:
        """The share of the weights of its layers that is turned."""
        return self.count / max(1, sum(math.prod(layer.shape) for layer in self.layers.values()))

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything in the patch; the same number that is in its file."""
        return container.content_hash(self._document(), self._tensors())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the patch to a `.safetensors` file in one step; what `load` would refuse is refused here."""
        document, tensors = self._document(), self._tensors()
        self.parse(document, tensors)
        container.write(path, document, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeightPatch:
        """Read and check a patch file; raises FileFormatError when it is damaged, of another kind or schema, or impossible."""
        return cls.parse(*container.read(path))

    @classmethod
    def parse(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> WeightPatch:
        """Build a patch from the two parts of a container; raises FileFormatError like `load`."""
        checks.check_kind(document, KIND, "Choose a file made by `safety-steer negate`.")
        entries = checks.field(document, "layers", list)
        named = [checks.field({"layer": entry}, "layer", dict) for entry in entries]
        names = [checks.field(entry, "name", str) for entry in named]
        if not 0 < len(names) <= MAX_LAYERS or len(set(names)) != len(names) or max(map(len, names)) > MAX_NAME:
            raise FileFormatError(f"Expected 1 to {MAX_LAYERS:,} layers with names of their own, but got {len(names):,}.")
        wanted = {f"{part}_{number}" for number in range(len(names)) for part in ("places", "signs")}
        checks.check_names(tensors, wanted)
        packed = [tensor for name, tensor in tensors.items() if name.startswith("places_")]
        if sum(int((part != SKIP).sum()) for tensor in packed for part in tensor.reshape(-1).split(READ_AT_ONCE)) > MAX_PLACES:
            raise FileFormatError(f"A patch turns at most {MAX_PLACES:,} weights, and this one more. Make it with a lower tau.")
        layers = {
            name: _parse_layer(entry, number, tensors) for number, (name, entry) in enumerate(zip(names, named, strict=True))
        }
        alpha, tau = checks.field(document, "alpha", float), checks.field(document, "tau", float)
        if not (math.isfinite(alpha) and abs(alpha) <= 10 and 0 < tau < 1):
            raise FileFormatError(f"Expected tau between 0 and 1 and alpha of 10 at most, but got {tau} and {alpha}.")
        return cls(
            model=checks.field(document, "model", str),
            which=checks.field(document, "which", str),
            tau=tau,
            weighted=checks.field(document, "weighted", bool),
            pairs=checks.field(document, "pairs", int),
            layers=layers,
            alpha=alpha,
        )

    def _document(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema": checks.SCHEMA_VERSION,
            "model": self.model,
            "which": self.which,
            "tau": self.tau,
            "weighted": self.weighted,
            "pairs": self.pairs,
            "alpha": self.alpha,
            "layers": [{"name": name, "shape": list(layer.shape)} for name, layer in self.layers.items()],
        }

    def _tensors(self) -> dict[str, Tensor]:
        places = {f"places_{number}": pack_places(layer.places) for number, layer in enumerate(self.layers.values())}
        return places | {f"signs_{number}": layer.signs for number, layer in enumerate(self.layers.values())}


def choose_weights(
    recorded: Recorded, weights: Weights, model: str, which: str, tau: float = TAU, weighted: bool = True
) -> WeightPatch:
    """Score and choose the weights of every recorded layer, one layer at a time; `weights` gives a layer's weight by its name.

    Raises DataError like `layer_scores` and `chosen`.
    """
    layers, pairs = {}, 0
    for name, safe in recorded.safe.items():
        weight = weights(name)
        places = chosen(layer_scores(weight, safe, recorded.unsafe[name], weighted), tau)
        layers[name] = LayerPatch((weight.shape[0], weight.shape[1]), places, signs(weight))
        pairs = len(safe.norms)
    return WeightPatch(model, which, tau, weighted, pairs, layers)


def turned(weight: Tensor, places: Tensor, alpha: float, strength: float = 1.0) -> Tensor:
    """Return a copy of a weight in which those at flat places are multiplied by 1 + strength (alpha - 1): by alpha at 1."""
    result = weight.clone(memory_format=torch.contiguous_format)
    where = places.to(result.device).long()
    flat = result.view(-1)
    flat[where] += strength * (alpha - 1) * flat[where]
    return result


def matched(patch: WeightPatch, shapes: Mapping[str, tuple[int, int]], weights: Weights) -> dict[str, LayerPatch]:
    """Find a patch's layers in a model that may name them with more in front: by the model's own name.

    `shapes` has the shape of every linear layer of the model, `weights` gives its weight. Raises MismatchError when a layer is
    not there, or not the one that the patch was made in.
    """
    found: dict[str, LayerPatch] = {}
    for name, layer in patch.layers.items():
        named = [own for own in shapes if _same_name(own, name)]
        fitting = [own for own in named if shapes[own] == layer.shape and _same_signs(signs(weights(own)), layer)]
        if len(fitting) != 1:
            reason = "does not have that layer" if not named else "has other weights there"
            raise MismatchError(
                f"Expected the model that this patch was made in ('{patch.model}', {len(patch.layers)} layers, such as "
                f"'{name}'), but this one {reason}. Choose the patch of this model, or make one from pairs."
            )
        found[fitting[0]] = layer
    return found


def signs(weight: Tensor) -> Tensor:
    """Return which of SIGNS weights, spread evenly over a weight (out, in), are negative: packed, (SIGNS / 8,) uint8."""
    flat = weight.detach().flatten()
    negative = (flat[_looked_at(len(flat)).to(flat.device)].float() < 0).cpu().view(-1, 8).to(torch.uint8)
    return (negative << torch.arange(8, dtype=torch.uint8)).sum(1, dtype=torch.uint8)


def pack_places(places: Tensor) -> Tensor:
    """Write ascending places as the steps from one to the next, a byte each, and a byte of SKIP for every 255 more."""
    steps = torch.diff(places, prepend=torch.tensor([-1]))
    skips = steps // SKIP
    packed = torch.full((int(skips.sum()) + len(places),), SKIP, dtype=torch.uint8)
    packed[(skips + 1).cumsum(0) - 1] = (steps % SKIP).to(torch.uint8)
    return packed


def unpack_places(packed: Tensor, size: int) -> Tensor:
    """Read what `pack_places` wrote; raises FileFormatError for places that do not ascend or lie beyond `size`."""
    found, reached = [], -1
    for part in packed.split(READ_AT_ONCE):
        ends_at = part.to(torch.int64).cumsum(0) + reached
        found.append(ends_at[part != SKIP])
        reached = int(ends_at[-1]) if len(part) else reached
    places = torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)
    ends = len(packed) == 0 or int(packed[-1]) != SKIP
    if not ends or (len(places) and (int(places[0]) < 0 or int(places[-1]) >= size or bool((places.diff() <= 0).any()))):
        raise FileFormatError(f"The places in a layer of {size:,} weights are impossible. Make or get the file again.")
    return places


def _parse_layer(entry: Mapping[str, Any], number: int, tensors: Mapping[str, Tensor]) -> LayerPatch:
    shape = [checks.field({"size": size}, "size", int) for size in checks.field(entry, "shape", list)]
    if len(shape) != 2 or not all(0 < size <= container.MAX_DIMENSION for size in shape):
        raise FileFormatError(f"Expected a layer of two sizes, but got {str(shape)[:64]}. Make or get the file again.")
    packed = checks.take_text(tensors, f"places_{number}")
    kept = checks.take(tensors, f"signs_{number}", (SIGNS // 8,), torch.uint8)
    return LayerPatch((shape[0], shape[1]), unpack_places(packed, shape[0] * shape[1]), kept)


def _same_name(own: str, name: str) -> bool:
    return own == name or own.endswith(f".{name}") or name.endswith(f".{own}")


def _looked_at(size: int) -> Tensor:
    return torch.linspace(0, size - 1, SIGNS, dtype=torch.float64).long()


def _same_signs(found: Tensor, layer: LayerPatch) -> bool:
    """Compare signs where the patch leaves them alone: where it was applied already, the others are turned."""
    different = ((found ^ layer.signs)[:, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten()
    alone = ~torch.isin(_looked_at(math.prod(layer.shape)), layer.places)
    return float(different[alone].sum()) <= (1 - SAME_SIGNS) * int(alone.sum())
