"""What the nodes that draw share: their inputs, and the way from a drawn picture to an IMAGE."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..safety_steer.errors import DataError
from ..safety_steer.reports.canvas import THEMES


def theme_input() -> io.Input:
    """Return the input that chooses between dark and light."""
    return io.Combo.Input("theme", options=list(THEMES), default="dark", tooltip="Colours of the picture.")


def clip_input() -> io.Input:
    """Return the input for the CLIP that shows tokens as words."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="The CLIP that encodes your prompt, to show words in place of token numbers. It encodes the prompts of this "
        "workflow once more to find the right one.",
    )


def prompt_input() -> io.Input:
    """Return the input for a prompt that is not typed in the workflow."""
    return io.String.Input(
        "prompt",
        default="",
        optional=True,
        tooltip="Only needed when the words do not show although a CLIP is connected, because another node wrote your prompt: "
        "connect that text here.",
    )


def checked(theme: str, node: str) -> str:
    """Return a known theme; raises DataError for another."""
    # Not every ComfyUI checks a dropdown against its list.
    if theme not in THEMES:
        raise DataError(f"Expected theme {' or '.join(THEMES)}, but got '{theme[:40]}'. Change theme on {node}.")
    return theme


def as_image(picture: Any) -> Tensor:
    """Return a drawn picture as ComfyUI's IMAGE: (1, H, W, 3) in 0..1."""
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]
