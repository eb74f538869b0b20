"""From a drawn picture to an IMAGE."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_image(picture: Any) -> Tensor:
    """Return a drawn picture as ComfyUI's IMAGE: (1, H, W, 3) in 0..1."""
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]
