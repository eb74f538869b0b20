"""Checks shared by the two file formats: which keys and tensors a document must have, and of what kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import FileFormatError

T = TypeVar("T")
SCHEMA_VERSION = 1  # the files of this version; docs/versioning.md
MAX_TEXT = 4096  # by hand; characters


def check_kind(document: Mapping[str, Any], kind: str, advice: str) -> None:
    """Check that a document is of the wanted kind and of a schema this version reads.

    Raises FileFormatError with `advice` for another kind, and a request to update for a newer schema.
    """
    found = document.get("kind")
    if found != kind:
        raise FileFormatError(f"Expected a file of kind '{kind}', but this one is '{str(found)[:40]}'. {advice}")
    version = document.get("schema")
    if version != SCHEMA_VERSION:
        raise FileFormatError(
            f"Expected schema version {SCHEMA_VERSION}, but this file has {str(version)[:16]}. "
            "Update Safety Steer, or make the file again with this version."
        )


def field(document: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Return `document[key]` when it is exactly of type `kind`; long text and odd numbers are refused."""
    value = document.get(key)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise FileFormatError(f"Metadata '{key}' is a number of more than 64 bits. Make or get the file again.")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise FileFormatError(f"Metadata '{key}' should be a {kind.__name__}, but is {type(value).__name__}.")
    if isinstance(value, str) and (len(value) > MAX_TEXT or not value.isprintable()):
        raise FileFormatError(f"Metadata '{key}' is longer than {MAX_TEXT:,} characters or not printable.")
    return value


def names(document: Mapping[str, Any], key: str, limit: int = 256) -> tuple[str, ...]:
    """Return a list of distinct, printable names of at most 64 characters each."""
    values = field(document, key, list)
    if not 0 < len(values) <= limit or len(set(map(str, values))) != len(values):
        raise FileFormatError(f"Metadata '{key}' should hold 1 to {limit} distinct names, but has {len(values)}.")
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isprintable():
            raise FileFormatError(f"Metadata '{key}' holds an unusable name: {str(value)[:64]!r}.")
    return tuple(values)


def take(tensors: Mapping[str, Tensor], name: str, shape: tuple[int | None, ...], dtype: torch.dtype) -> Tensor:
    """Return `tensors[name]` when its dtype and shape are the expected ones (`None` admits any size >= 1)."""
    tensor = tensors.get(name)
    if tensor is None:
        raise FileFormatError(f"The tensor '{name}' is missing. Make or get the file again.")
    fits = tensor.ndim == len(shape) and all(
        size >= 1 if want is None else size == want for size, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits or tensor.dtype != dtype:
        wanted = "x".join("any" if want is None else str(want) for want in shape)
        raise FileFormatError(
            f"The tensor '{name}' should be {dtype} of shape {wanted}, but is {tensor.dtype} of shape "
            f"{'x'.join(map(str, tensor.shape))}. Make or get the file again."
        )
    return tensor


def take_text(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return packed text, which may be empty."""
    tensor = tensors.get(name)
    if tensor is not None and tensor.shape == (0,) and tensor.dtype == torch.uint8:
        return tensor
    return take(tensors, name, (None,), torch.uint8)


def check_names(tensors: Mapping[str, Tensor], expected: set[str]) -> None:
    """Refuse tensors a file of this schema does not have; missing ones are named by `take`."""
    extra = sorted(set(tensors) - expected)
    if extra:
        raise FileFormatError(f"Unexpected tensor '{extra[0][:64]}' in the file. Make or get the file again.")


def check_directions(vectors: Tensor, categories: tuple[str, ...]) -> None:
    """Refuse a zero direction: it could only steer nothing, silently."""
    for category, norm in zip(categories, vectors.float().norm(dim=-1).tolist(), strict=True):
        if not norm > 0:
            raise FileFormatError(f"The direction of category '{category}' is a zero vector. Extract it again.")
