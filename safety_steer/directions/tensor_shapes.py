"""The tensors of one text space in an aligned direction's file: their names, their shapes, and what makes sense in them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import FileFormatError
from ..storage import checks
from .harm_net import SHAPES as NET_SHAPES
from .harm_net import UNITS, HarmNet

Shapes = Mapping[str, tuple[str, ...]]

SHAPES: Shapes = {
    "vectors": ("K", "D"),
    "readings": ("K", "D"),
    "offsets": ("K",),
    "token_quantiles": ("K", "Q"),
    "prompt_quantiles": ("K", "Q"),
    "phrase_quantiles": ("K", "Q"),
    "prompt_readings": ("K", "D"),
    "gate_weights": ("G", "D"),
    "gate_biases": ("G",),
    "gate_quantiles": ("E", "Q"),
    "witness_weights": ("W",),
    "mean": ("D",),
    "scale": ("D",),
    "fit_limit": (),
    "probes": ("P", "D"),
}
HARM_SHAPES: Shapes = {f"harm_{name}": axes for name, axes in NET_SHAPES.items()}
IMAGE_SHAPES: Shapes = {"image_readings": ("I", "D"), "image_offsets": ("I",), "image_shift": ("D",)}


def shapes(pictured: bool) -> Shapes:
    """Return the tensors of a space by name with their axes; `pictured` of an encoder that takes pictures."""
    return {**SHAPES, **IMAGE_SHAPES} if pictured else SHAPES


def parse(
    tensors: Mapping[str, Tensor], space: str, shapes: Shapes, sizes: Mapping[str, int], categories: tuple[str, ...]
) -> dict[str, Tensor]:
    """Take a space's tensors out of a file's, by name; `sizes` are those of all axes but K and D.

    Raises FileFormatError for one that is missing, of another shape, or makes no sense.
    """
    vectors = checks.take(tensors, f"{space}.vectors", (len(categories), None), torch.float32)
    sizes = {**sizes, "K": len(categories), "D": vectors.shape[1]}
    loaded = {
        name: checks.take(tensors, f"{space}.{name}", tuple(sizes[axis] for axis in axes), torch.float32)
        for name, axes in shapes.items()
    }
    for name in ("vectors", "readings", "prompt_readings"):
        checks.check_directions(loaded[name], categories)
    if not bool(((loaded["readings"] * vectors).sum(-1) > 0).all()):
        raise FileFormatError("A reading does not point along its own vector. Align the direction again.")
    if not bool((loaded["scale"] > 0).all()):
        raise FileFormatError("The channel scales should be above 0. Make or get the file again.")
    return loaded


def harm_tensors(space: str, net: HarmNet | None) -> dict[str, Tensor]:
    """Return the tensors of a space's networks by their names in a file; none where it has none."""
    return {} if net is None else {f"{space}.harm_{name}": tensor.contiguous() for name, tensor in net.tensors().items()}


def parse_harm(tensors: Mapping[str, Tensor], space: str, levels: int) -> HarmNet:
    """Take a space's networks out of a file's tensors; raises FileFormatError for another shape or one that makes no sense."""
    vectors = tensors[f"{space}.vectors"]
    inner = checks.take(tensors, f"{space}.harm_prompt_in", (None, vectors.shape[1]), torch.float32)
    sizes = {"H": len(inner), "D": vectors.shape[1], "U": UNITS, "Q": levels}
    loaded = {
        name: checks.take(tensors, f"{space}.harm_{name}", tuple(sizes[axis] for axis in axes), torch.float32)
        for name, axes in NET_SHAPES.items()
    }
    net = HarmNet(**loaded)
    if not float(net.units[[1, 3]].min()) > 0 or not all(bool((row.diff() >= 0).all()) for row in (net.ordinary, net.hard)):
        raise FileFormatError("The networks that hear harm are not calibrated. Align the direction again.")
    return net
