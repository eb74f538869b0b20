"""A small file for the tests of storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.toy_file import DOCUMENT, TENSORS

from safety_steer.storage import container


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    container.write(path, DOCUMENT, TENSORS)
    return path
