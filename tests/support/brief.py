"""Less work for tests that ask where networks are taught and heard, and not how well they judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from safety_steer.alignment import teaching

from . import builders


@contextmanager
def briefly_taught() -> Iterator[None]:
    """Teach networks in 4 steps in place of 120; what the builders keep for all tests cannot be made meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "STEPS", 4)
        patch.delattr(builders, "aligned_with_examples")
        yield
