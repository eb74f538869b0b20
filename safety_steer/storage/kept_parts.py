"""Parts of a long job in a folder, for a second run to go on from: a file of tensors each, named by all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from torch import Tensor

from .text_files import write_bytes


@dataclass(frozen=True)
class KeptParts:
    """A folder of parts; without one nothing is kept."""

    folder: Path | None

    def read(self, key: str, names: Sequence[str]) -> dict[str, Tensor] | None:
        """Return the tensors kept under a key; None where there are none, or where they are damaged or others than `names`."""
        if self.folder is None or not (file := self.folder / key).is_file():
            return None
        try:
            found: dict[str, Tensor] = safetensors.torch.load(file.read_bytes())
        except Exception:  # a damaged file is made again, however it is damaged
            return None
        return found if set(found) == set(names) else None

    def write(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under a key, whole or not at all."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            data = safetensors.torch.save({name: one.contiguous() for name, one in tensors.items()})
            write_bytes(self.folder / key, data)


def key_of(*depends: object) -> str:
    """Return the file name of a part by all that it depends on, values that JSON can say."""
    return f"{hashlib.sha256(json.dumps(depends).encode()).hexdigest()}.safetensors"
