"""A safetensors file read and written as if its author were hostile and the power could fail.

One file holds named tensors and one JSON document. Reading checks sizes before memory is spent, admits only
known dtypes and finite numbers, and verifies a SHA-256 over everything; writing goes to a temporary name in the
same folder and is moved into place, so a file is either whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from ..errors import FileFormatError
from . import lfs_pointers
from .json_values import parse_json
from .text_files import write_bytes

MAX_FILE_BYTES = 256 * 2**20  # by hand; a limit against hostile files, as are the next three
MAX_HEADER_BYTES = 2**20  # by hand
MAX_TENSORS = 4096  # by hand
MAX_DIMENSION = 2**24  # by hand
CHECKED_AT_ONCE = 2**20  # by hand; numbers
DTYPES = {"F64", "F32", "F16", "BF16", "F8_E4M3", "U8", "I64"}
METADATA_KEY = "safety_steer"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds: the document, the tensors, and what else is in its header by name, which nobody has checked."""

    document: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, str]

    @property
    def content_hash(self) -> str:
        """SHA-256 of the document and the tensors, as it stands in the file; `read_contents` has compared it."""
        return str(self.document["content_hash"])


def content_hash(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of a document and its tensors, independent of their order in a file.

    `document` is any JSON value tree; the key `content_hash` is left out. Tensors count with name, dtype, shape
    and bytes. Returns 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    body = {key: value for key, value in document.items() if key != "content_hash"}
    digest.update(json.dumps(body, sort_keys=True, ensure_ascii=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write(
    path: str | os.PathLike[str],
    document: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a document and its tensors to `path` in one step; an interrupted write leaves nothing behind.

    `beside` are further texts for the header, which no content hash covers. Raises FileFormatError like `check_target`.
    """
    target = check_target(path)
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    hashed = {**document, "content_hash": content_hash(document, stored)}
    text = json.dumps(hashed, sort_keys=True, ensure_ascii=True, allow_nan=False)
    write_bytes(target, save_safetensors(stored, {**(beside or {}), METADATA_KEY: text}))


def check_target(path: str | os.PathLike[str]) -> Path:
    """Return `path` when a direction can be written there: worth asking before an hour of work, not after.

    Raises FileFormatError for another ending, a folder that does not exist, or one that cannot be written to.
    """
    target = Path(path)
    if target.suffix.lower() != ".safetensors":
        raise FileFormatError(f"Direction files end in .safetensors, but got '{target.name}'. Change the name.")
    if not target.parent.is_dir():
        raise FileFormatError(f"The folder '{target.parent}' does not exist. Create it or choose another one.")
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise FileFormatError(f"Cannot write '{target}'. Choose another place.")
    return target


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a document and its tensors from `path`; raises FileFormatError like `read_contents`."""
    contents = read_contents(path)
    return dict(contents.document), dict(contents.tensors)


def read_contents(path: str | os.PathLike[str]) -> Contents:
    """Read all that a file holds, once.

    Raises FileFormatError when the file is missing, truncated, oversized, not safetensors, of an unknown dtype,
    holds NaN or Inf, was not written by Safety Steer, or its content hash does not match.
    """
    source = Path(path)
    data = _read_bytes(source)
    _check_header(source, data)
    try:
        tensors = load_safetensors(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise FileFormatError(f"'{source.name}' is not a valid safetensors file: {error}. Get it again.") from error
    document, beside = _texts(source, data)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise FileFormatError(f"'{source.name}' holds NaN or Inf in tensor '{name}'. Make or get the file again.")
    try:
        expected, actual = document.get("content_hash"), content_hash(document, tensors)
    except ValueError as error:
        raise FileFormatError(f"'{source.name}' has unusable metadata ({error}). Get the file again.") from error
    if expected != actual:
        raise FileFormatError(
            f"'{source.name}' is damaged: its content hash should be {str(expected)[:16]}... but is {actual[:16]}... "
            "Get the file again."
        )
    return Contents(document, tensors, beside)


def _is_finite(tensor: Tensor) -> bool:
    """Tell whether all numbers are finite, in parts: the check takes several times the memory of what it looks at."""
    parts = tensor.reshape(-1).split(CHECKED_AT_ONCE)
    return all(bool(torch.isfinite(part.half() if part.itemsize == 1 else part).all()) for part in parts)


def _read_bytes(source: Path) -> bytes:
    if source.suffix.lower() != ".safetensors":
        raise FileFormatError(f"Directions are .safetensors files, but got '{source.name}'.")
    if not source.is_file():
        raise FileFormatError(f"There is no file '{source}'. Check the name and the folder.")
    try:
        size = source.stat().st_size
        if size > MAX_FILE_BYTES:
            raise FileFormatError(
                f"'{source.name}' has {size:,} bytes; a direction file has at most {MAX_FILE_BYTES:,}. This is some other file."
            )
        with source.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FileFormatError(
            f"'{source.name}' cannot be read: {error.strerror or error}. Look at who may read it, or get it again."
        ) from error


def _header(data: bytes) -> Any:
    (length,) = struct.unpack("<Q", data[:8])
    return parse_json(data[8 : 8 + length])


def _check_header(source: Path, data: bytes) -> None:
    """Refuse an absurd header before any tensor is built from it."""
    if lfs_pointers.is_pointer(data):
        raise FileFormatError(lfs_pointers.refusal(source.name))
    not_safetensors = f"'{source.name}' is not a safetensors file or is cut short"
    if len(data) < 8:
        raise FileFormatError(f"{not_safetensors} ({len(data)} bytes). Get it again.")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise FileFormatError(f"{not_safetensors} (header of {length:,} bytes in {len(data):,}). Get it again.")
    if length > MAX_HEADER_BYTES:
        raise FileFormatError(
            f"'{source.name}' has a header of {length:,} bytes; a direction file has at most {MAX_HEADER_BYTES:,}."
        )
    try:
        header = _header(data)
    except ValueError as error:
        raise FileFormatError(f"{not_safetensors} (unreadable header). Get it again.") from error
    if not isinstance(header, dict):
        raise FileFormatError(f"{not_safetensors} (the header is not a table). Get it again.")
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(entries) > MAX_TENSORS:
        raise FileFormatError(f"'{source.name}' lists {len(entries):,} tensors; a direction file has at most {MAX_TENSORS:,}.")
    for name, entry in entries.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or len(shape) > 3 or not all(_is_size(size) for size in shape):
            raise FileFormatError(f"'{source.name}': tensor '{name[:64]}' has an impossible shape {str(shape)[:64]}.")
        if not isinstance(entry.get("dtype"), str) or entry["dtype"] not in DTYPES:
            raise FileFormatError(
                f"'{source.name}': tensor '{name[:64]}' has dtype {str(entry.get('dtype'))[:16]}; "
                f"expected one of {', '.join(sorted(DTYPES))}."
            )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_DIMENSION


def _texts(source: Path, data: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the document, and the other texts of the header, which safetensors has found to be texts."""
    metadata = _header(data).get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise FileFormatError(
            f"'{source.name}' is a safetensors file but not a Safety Steer direction. Choose a file made by "
            "`safety-steer extract` or `safety-steer align`."
        )
    try:
        document = parse_json(text)
    except ValueError as error:
        raise FileFormatError(f"'{source.name}' has unreadable metadata. Get the file again.") from error
    if not isinstance(document, dict):
        raise FileFormatError(f"'{source.name}' has metadata of the wrong kind. Get the file again.")
    return document, {name: other for name, other in metadata.items() if name != METADATA_KEY}
