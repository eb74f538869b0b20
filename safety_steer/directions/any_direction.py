"""A direction file of either kind."""

from __future__ import annotations

import os

from ..storage import container
from .aligned import KIND as ALIGNED
from .aligned import AlignedDirection
from .source import SafetyDirection


def load_any(path: str | os.PathLike[str]) -> SafetyDirection | AlignedDirection:
    """Load a file of either kind; raises FileFormatError when it is neither."""
    return parse_any(container.read_contents(path))


def parse_any(contents: container.Contents) -> SafetyDirection | AlignedDirection:
    """Build a direction of either kind from what a file holds; raises FileFormatError when it is neither."""
    kind = AlignedDirection if contents.document.get("kind") == ALIGNED else SafetyDirection
    return kind.parse(contents.document, contents.tensors)
