"""Safetensors files put together by hand, or changed and signed again as a careful forger would."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from safety_steer.storage import container


def joined(header: bytes | Mapping[str, Any], body: bytes, length: int | None = None) -> bytes:
    """Put a safetensors file together; `length` lies about the header's size."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def rewritten(
    path: Path,
    document: Callable[[dict[str, Any]], object] = lambda _: None,
    tensors: Callable[[dict[str, Tensor]], object] = lambda _: None,
) -> Path:
    """Change a file's document and tensors in place and sign it again, as a careful forger would."""
    found, held = container.read(path)
    document(found)
    tensors(held)
    from safetensors.torch import save

    found["content_hash"] = container.content_hash(found, held)
    path.write_bytes(save(held, {container.METADATA_KEY: json.dumps(found)}))
    return path
