"""Values that lie in one file each: a document and tensors, hashed, saved and loaded the same way whatever they are."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

from . import container
from .signature import Verdict, judge

Value = TypeVar("Value", bound="Stored")


class Stored(ABC):
    """A value that says what its file holds, and how to build it from that."""

    @abstractmethod
    def _document(self) -> dict[str, Any]: ...

    @abstractmethod
    def _tensors(self) -> dict[str, Tensor]: ...

    @classmethod
    @abstractmethod
    def parse(cls: type[Value], document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Value:
        """Build a value from the two parts of a container; raises FileFormatError for anything that is not exactly one."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything in the value; the same number that is in its file."""
        return container.content_hash(self._document(), self._tensors())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the value to a `.safetensors` file in one step; what `load` would refuse is refused here."""
        document, tensors = self._document(), self._tensors()
        self.parse(document, tensors)
        container.write(path, document, tensors)

    @classmethod
    def load(cls: type[Value], path: str | os.PathLike[str]) -> Value:
        """Read and check a file.

        Raises FileFormatError when it is damaged, of another kind or schema, has missing or extra tensors, a wrong dtype or
        shape, or a zero vector.
        """
        return cls.parse(*container.read(path))

    @classmethod
    def load_signed(cls: type[Value], path: str | os.PathLike[str], trusted: Mapping[str, str]) -> tuple[Value, Verdict]:
        """Read and check a file as `load` does, and say what its signature is worth; `trusted` is that of `judge`."""
        contents = container.read_contents(path)
        return cls.parse(contents.document, contents.tensors), judge(contents, trusted)
