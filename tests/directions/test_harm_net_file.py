"""Networks of the gate in a file: exact round trips, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import builders, forged
from support.harm_nets import SHAPES, long_batch, net, space
from torch import Tensor

from safety_steer.directions.aligned import AlignedDirection
from safety_steer.errors import FileFormatError
from safety_steer.steering.gate import open_gate
from safety_steer.steering.steer_conditioning import steer_conditioning
from safety_steer.storage import container


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "aligned.safetensors"
    builders.aligned_with_examples().save(target)
    return target


def test_an_alignment_with_networks_survives_the_file(path: Path) -> None:
    original, loaded = builders.aligned_with_examples(), AlignedDirection.load(path)
    assert loaded.content_hash == original.content_hash == container.read(path)[0]["content_hash"]
    found = loaded.spaces["cross_attn"].harm
    assert found is not None
    for name in SHAPES:
        assert torch.equal(getattr(found, name), getattr(net(), name)), name
    states = long_batch()
    assert torch.equal(*(open_gate(states, one.spaces["cross_attn"]).scores for one in (original, loaded)))
    assert torch.equal(*(steer_conditioning({"cross_attn": states}, one).tensors["cross_attn"] for one in (original, loaded)))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_part_of_a_network_counts_for_the_hash(name: str) -> None:
    aligned = builders.aligned_with_examples()
    changed = replace(space(), harm=replace(net(), **{name: getattr(net(), name) + 1}))
    assert replace(aligned, spaces={"cross_attn": changed}).content_hash != aligned.content_hash


def test_an_alignment_without_networks_is_what_it_was_before_there_were_any(tmp_path: Path) -> None:
    builders.planted_aligned().save(tmp_path / "older.safetensors")
    document, tensors = container.read(tmp_path / "older.safetensors")
    assert "harm_nets" not in document
    assert not [name for name in tensors if "harm" in name]
    assert AlignedDirection.load(tmp_path / "older.safetensors").spaces["cross_attn"].harm is None


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held.pop(f"cross_attn.harm_{name}"))
    with pytest.raises(FileFormatError, match=f"'cross_attn.harm_{name}' is missing"):
        AlignedDirection.load(path)


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[None], lambda t: t[..., :-1], lambda t: t[:0]])
def test_a_tensor_of_another_dtype_or_shape_is_named(path: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    key = f"cross_attn.harm_{name}"
    forged.rewritten(path, tensors=lambda held: held.__setitem__(key, change(held[key]).contiguous()))
    with pytest.raises(FileFormatError, match=f"'{key}' should be"):
        AlignedDirection.load(path)


@pytest.mark.parametrize(
    ("name", "place", "value"), [("units", 1, 0.0), ("units", 3, -1.0), ("ordinary", 3, 1e6), ("hard", 0, 1e6)]
)
def test_networks_that_are_not_calibrated_are_refused(path: Path, name: str, place: int, value: float) -> None:
    forged.rewritten(path, tensors=lambda held: held[f"cross_attn.harm_{name}"].__setitem__(place, value))
    with pytest.raises(FileFormatError, match="not calibrated"):
        AlignedDirection.load(path)


@pytest.mark.parametrize("value", [None, True, 7, "cross_attn", {}, [], [1], ["absent"], ["cross_attn", "cross_attn"]])
def test_odd_names_of_spaces_with_networks_are_refused(path: Path, value: Any) -> None:
    forged.rewritten(path, document=lambda found: found.update(harm_nets=value))
    with pytest.raises(FileFormatError):
        AlignedDirection.load(path)


def test_networks_that_the_file_does_not_announce_are_refused(path: Path) -> None:
    forged.rewritten(path, document=lambda found: found.pop("harm_nets"))
    with pytest.raises(FileFormatError, match=r"Unexpected tensor 'cross_attn\.harm_"):
        AlignedDirection.load(path)


def test_announced_networks_that_are_not_there_are_named(tmp_path: Path) -> None:
    builders.planted_aligned().save(tmp_path / "older.safetensors")
    forged.rewritten(tmp_path / "older.safetensors", document=lambda found: found.update(harm_nets=["cross_attn"]))
    with pytest.raises(FileFormatError, match=r"'cross_attn\.harm_prompt_in' is missing"):
        AlignedDirection.load(tmp_path / "older.safetensors")
