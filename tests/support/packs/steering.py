"""Two nodes that only the tests have: one steers a prompt by the library alone, one keeps what a graph gives."""

from __future__ import annotations

from typing import Any

import torch
from test_steering import by_library

KEPT: dict[str, torch.Tensor] = {}
LOAD, ALIGN, APPLY = "LoadSafetyDirection", "AlignSafetyDirection", "ApplySafetySteer"
KEEP = "KeepResult"


class SteerByLibrary:
    """Steers CONDITIONING by calls into the library, with the settings that Apply Safety Steer has at first."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "steer"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        wires = {"conditioning": ("CONDITIONING",), "direction": ("ALIGNED_DIRECTION",)}
        return {"required": {**wires, "gate": ("STRING", {})}}

    def steer(self, conditioning: Any, direction: Any, gate: str) -> tuple[Any]:
        return (by_library(conditioning, direction, gate=gate),)


class KeepResult:
    """Ends a graph and keeps a latent or a picture under a name."""

    RETURN_TYPES = ()
    FUNCTION = "keep"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"value": ("*", {}), "name": ("STRING", {})}}

    def keep(self, value: Any, name: str) -> dict[str, Any]:
        KEPT[name] = (value["samples"] if isinstance(value, dict) else value).clone()
        return {}


NODES = {"SteerByLibrary": SteerByLibrary, KEEP: KeepResult}
