"""The gate's networks of the planted direction with examples, and long prompts for them to hear."""

from __future__ import annotations

from torch import Tensor

from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.tensor_fields import axes_of

from . import builders

SHAPES = axes_of(HarmNet)
UNSAFE, SENTENCES = 3, 8


def space() -> AlignedSpace:
    return builders.aligned_with_examples().spaces["cross_attn"]


def net() -> HarmNet:
    found = space().harm
    assert found is not None
    return found


def long_batch(count: int = 20, seed: int = 26, unsafe: int | None = UNSAFE, sentences: int = SENTENCES) -> Tensor:
    """Conditioning of long prompts, each with one unsafe sentence."""
    return builders.batch(builders.world().long(builders.world().benign(count, seed), seed, unsafe, sentences))
