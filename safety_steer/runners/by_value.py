"""Tensors that go to another process and back as bytes."""

from __future__ import annotations

from typing import Any

import safetensors.torch
from torch import Tensor


class ByValue(dict[str, Tensor]):
    """Tensors by name, what tasks take and give.

    Torch would hand each over in shared memory, with an open file for as long as it lives: some hundred prompts then use up
    what a process may have open, and some pictures what a container has of such memory.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Go as one file of safetensors."""
        return _read, (safetensors.torch.save({name: one.contiguous() for name, one in self.items()}),)


def _read(data: bytes) -> ByValue:
    return ByValue(safetensors.torch.load(data))
