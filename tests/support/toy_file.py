"""What the smallest file of the container holds."""

from __future__ import annotations

import torch

DOCUMENT = {"kind": "toy", "note": "umbrella"}
TENSORS = {"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "b": torch.tensor([1, 2, 3], dtype=torch.uint8)}
