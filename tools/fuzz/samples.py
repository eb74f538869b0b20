"""The smallest sound values of each kind, to begin with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from safety_steer.directions.aligned_space import ImageRowReading
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.quantiles import LEVELS
from safety_steer.directions.tensor_fields import axes_of
from safety_steer.negation.patch import LayerPatch, WeightPatch

WIDTH = 4  # of the tests' small aligned direction
TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [] if str(TESTS) in sys.path else [str(TESTS)]


def small(kind: str) -> Any:
    """Return a sound value that fits into a few kilobytes: "direction", "aligned", "patch" or "refusal"."""
    from support import builders, refusals

    if kind == "direction":
        return replace(builders.small_direction(), examples=builders.small_examples())
    if kind == "aligned":
        plain = builders.small_aligned()
        first, *others = plain.spaces
        full = replace(plain.spaces[first], images=ImageRowReading.none(WIDTH), harm=_net())
        return replace(plain, spaces={first: full, **{name: plain.spaces[name] for name in others}})
    if kind == "refusal":
        return refusals.random_head(width=2, depth=2)
    layer = LayerPatch((8, 40), torch.tensor([0, 3, 300]), torch.zeros(32, dtype=torch.uint8))
    return WeightPatch("tiny", "all", 0.05, True, 4, {"a.weight": layer})


def _net() -> HarmNet:
    """Return networks of two hidden units, calibrated as a file has to have them."""
    sizes = {"H": 2, "D": WIDTH}
    shapes = {
        name: [sizes[axis] if isinstance(axis, str) else axis for axis in axes] for name, axes in axes_of(HarmNet).items()
    }
    made: dict[str, Any] = {name: torch.ones(shape) for name, shape in shapes.items()}
    return HarmNet(**{**made, "ordinary": torch.tensor(LEVELS), "hard": torch.tensor(LEVELS)})
