"""Tensors that a value holds and a file keeps: each is declared once, by its field, and read and written by that.

`vectors: Annotated[Tensor, "K", "D"]` declares a float32 tensor, kept in files under the field's name, with its axes: a number
is a size, a letter one that the file decides, and () alone a single number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import torch
from torch import Tensor

from ..storage import checks

Axes = tuple[int | str, ...]


@cache
def axes_of(part: Any) -> Mapping[str, Axes]:
    """Return the tensors that a dataclass declares, by name, in order."""
    hints = get_type_hints(part, include_extras=True).items()
    declared = {name: hint.__metadata__ for name, hint in hints if hasattr(hint, "__metadata__")}
    return MappingProxyType({name: () if axes == ((),) else axes for name, axes in declared.items()})


def take(part: Any, tensors: Mapping[str, Tensor], prefix: str, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Take the tensors that a part declares out of a file's; `sizes` are those of its letters.

    Raises FileFormatError for one that is missing or of another shape.
    """
    return {
        name: checks.take(
            tensors, f"{prefix}{name}", tuple(sizes[axis] if isinstance(axis, str) else axis for axis in axes), torch.float32
        )
        for name, axes in axes_of(part).items()
    }


def tensors_of(part: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a part by their names in a file; none of None."""
    kind: Any = type(part)
    return {} if part is None else {f"{prefix}{name}": getattr(part, name) for name in axes_of(kind)}
