"""The file of a refusal head: everything comes back, and whatever does not belong is one clear error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from support import refusals

from safety_steer.directions.prober import Prober
from safety_steer.errors import FileFormatError
from safety_steer.refusal.head import RefusalHead
from safety_steer.storage import container

Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "refusal.safetensors"
    refusals.random_head().save(made)
    return made


def test_everything_comes_back(path: Path) -> None:
    made, found = refusals.random_head(), RefusalHead.load(path)
    for holder, other in ((made, found), (made.prober, found.prober)):
        for field in fields(holder):
            one, two = getattr(holder, field.name), getattr(other, field.name)
            if isinstance(one, torch.Tensor):
                assert torch.equal(one, two), field.name
                assert one.dtype == two.dtype
            elif not isinstance(one, Prober):
                assert one == two, field.name


def test_a_damaged_or_foreign_file_is_refused(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
    with pytest.raises(FileFormatError, match="is damaged"):
        RefusalHead.load(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match="is not a valid safetensors file"):
        RefusalHead.load(path)
    with pytest.raises(FileFormatError, match="There is no file"):
        RefusalHead.load(tmp_path / "absent.safetensors")
    container.write(path, {"kind": "safety_direction", "schema": 1}, {})
    with pytest.raises(FileFormatError, match="Expected a file of kind 'refusal_head'"):
        RefusalHead.load(path)


def put(document: bool, key: str, value: Any) -> Change:
    def change(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        (told if document else tensors)[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put(True, "schema", 2), "Update Safety Steer"),
        (put(True, "layer", 3), "reads one of 3 layers of its model, but this one says 3"),
        (put(True, "layer", -1), "this one says -1"),
        (put(True, "width", 47), "should be torch.float32 of shape 64x47"),
        (put(True, "strength", 10.5), "'strength' should be from 0 to 10"),
        (put(True, "threshold", -0.1), "'threshold' should be from 0 to 1"),
        (put(True, "refusal", 3), "'refusal' should be a str"),
        (put(False, "steer", torch.zeros(48, 47)), "'steer' should be torch.float32 of shape 48x48"),
        (put(False, "inner", torch.zeros(64, 48, dtype=torch.float16)), "'inner' should be"),
        (put(False, "outer", torch.full((2, 64), float("nan"))), "NaN or Inf in tensor 'outer'"),
        (put(False, "tokens", torch.tensor([1, -2, 3])), "names a token below 0"),
        (put(False, "more", torch.zeros(2)), "Unexpected tensor 'more'"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(path: Path, change: Change, says: str) -> None:
    document, tensors = container.read(path)
    change(document, tensors)
    container.write(path, document, tensors)
    with pytest.raises(FileFormatError, match=says):
        RefusalHead.load(path)


def test_a_missing_tensor_is_named(path: Path) -> None:
    document, tensors = container.read(path)
    del tensors["rows"]
    container.write(path, document, tensors)
    with pytest.raises(FileFormatError, match="'rows' is missing"):
        RefusalHead.load(path)
