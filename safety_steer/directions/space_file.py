"""A text space in an aligned direction's file: which tensors it has there, and what makes sense in them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import FileFormatError
from ..storage import checks
from .aligned_space import AlignedSpace, EncoderFingerprint, ImageRowReading, PromptGate, TokenReading
from .harm_net import HarmNet
from .tensor_fields import axes_of, take, tensors_of

HARM = "harm_"


def tensor_names(pictured: bool, heard: bool) -> set[str]:
    """Return the names of a space's tensors; `pictured` of an encoder that takes pictures, `heard` of one with networks."""
    parts = (AlignedSpace, TokenReading, PromptGate, EncoderFingerprint, *((ImageRowReading,) if pictured else ()))
    return {name for part in parts for name in axes_of(part)} | ({HARM + name for name in axes_of(HarmNet)} if heard else set())


def space_tensors(space: AlignedSpace) -> dict[str, Tensor]:
    """Return the tensors of a space by their names."""
    parts = (space, space.tokens, space.gate, space.encoder, space.images)
    return {name: tensor for part in parts for name, tensor in tensors_of(part).items()} | tensors_of(space.harm, HARM)


def parse_space(
    tensors: Mapping[str, Tensor],
    prefix: str,
    sizes: Mapping[str, int],
    categories: tuple[str, ...],
    pictured: bool,
    heard: bool,
) -> AlignedSpace:
    """Build a space from a file's tensors, whose names begin with `prefix`; `sizes` are those of the axes G and P.

    Raises FileFormatError for a tensor that is missing, of another shape, or makes no sense.
    """
    vectors = checks.take(tensors, f"{prefix}vectors", (len(categories), None), torch.float32)
    sizes = {**sizes, "K": len(categories), "D": vectors.shape[1]}
    tokens = TokenReading(**take(TokenReading, tensors, prefix, sizes))
    gate = PromptGate(**take(PromptGate, tensors, prefix, sizes))
    encoder = EncoderFingerprint(**take(EncoderFingerprint, tensors, prefix, sizes))
    images = ImageRowReading(**take(ImageRowReading, tensors, prefix, sizes)) if pictured else None
    for directions in (vectors, tokens.readings, gate.prompt_readings):
        checks.check_directions(directions, categories)
    if not bool(((tokens.readings * vectors).sum(-1) > 0).all()):
        raise FileFormatError("A reading does not point along its own vector. Align the direction again.")
    if not bool((encoder.scale > 0).all()):
        raise FileFormatError("The channel scales should be above 0. Make or get the file again.")
    return AlignedSpace(vectors, tokens, gate, encoder, images, _parse_harm(tensors, prefix, sizes) if heard else None)


def _parse_harm(tensors: Mapping[str, Tensor], prefix: str, sizes: Mapping[str, int]) -> HarmNet:
    inner = checks.take(tensors, f"{prefix}{HARM}prompt_in", (None, sizes["D"]), torch.float32)
    net = HarmNet(**take(HarmNet, tensors, prefix + HARM, {**sizes, "H": len(inner)}))
    if not float(net.units[[1, 3]].min()) > 0 or not all(bool((row.diff() >= 0).all()) for row in (net.ordinary, net.hard)):
        raise FileFormatError("The networks that hear harm are not calibrated. Align the direction again.")
    return net
