"""A direction file of either kind."""

from __future__ import annotations

import os

from ..storage import container
from .aligned import KIND as ALIGNED
from .aligned import AlignedDirection
from .source import SafetyDirection


def load_any(path: str | os.PathLike[str]) -> SafetyDirection | AlignedDirection:
    """Load a file of either kind; raises FileFormatError when it is neither."""
    document, tensors = container.read(path)
    if document.get("kind") == ALIGNED:
        return AlignedDirection.parse(document, tensors)
    return SafetyDirection.parse(document, tensors)
