"""The smallest sound values of each kind, to begin with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from safety_steer.negation.patch import LayerPatch, WeightPatch

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [] if str(TESTS) in sys.path else [str(TESTS)]


def small(kind: str) -> Any:
    """Return a sound value that fits into a few kilobytes: "direction", "aligned", "patch" or "refusal"."""
    from support import builders, refusals

    if kind == "direction":
        return builders.small_direction()
    if kind == "aligned":
        return builders.small_aligned()
    if kind == "refusal":
        return refusals.random_head(width=2, depth=2)
    layer = LayerPatch((8, 40), torch.tensor([0, 3, 300]), torch.zeros(32, dtype=torch.uint8))
    return WeightPatch("tiny", "all", 0.05, True, 4, {"a.weight": layer})
