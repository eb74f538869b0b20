"""Damage at random: FileFormatError, or the very content that was signed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import builders, forged

from safety_steer.cli import main
from safety_steer.errors import FileFormatError
from safety_steer.storage import container

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def mutated(data: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    """Apply edits at relative places: flip, insert, drop, cut, copy or zero."""
    result = bytearray(data)
    for kind, where, value in edits:
        place = int(where * max(len(result) - 1, 0))
        if kind == "flip" and result:
            result[place] ^= value or 1
        elif kind == "insert":
            result[place:place] = bytes([value])
        elif kind == "drop":
            del result[place : place + value]
        elif kind == "cut":
            del result[place:]
        elif kind == "copy":
            result[place:place] = result[place : place + value]
        elif kind == "zero":
            result[place : place + 8] = bytes(len(result[place : place + 8]))
    return bytes(result)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "drop", "cut", "copy", "zero"]),
        st.one_of(st.floats(0, 1), st.floats(0, 0.02)),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


@cache
def saved(make: Callable[[], Any], path: Path) -> tuple[Any, bytes]:
    """Make a value once for all examples of a test, and the bytes of its file."""
    original = make()
    original.save(path)
    return original, path.read_bytes()


@pytest.mark.parametrize("make", [builders.small_direction, builders.small_aligned])
@given(edits=EDITS)
@FUZZ
def test_random_damage_is_refused_or_harmless(
    make: Callable[[], Any], edits: list[tuple[str, float, int]], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.safetensors"
    original, whole = saved(make, path)
    path.write_bytes(mutated(whole, edits))
    try:
        found = type(original).load(path)
    except FileFormatError:
        return
    assert found.content_hash == original.content_hash


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("make", [builders.small_direction, builders.small_aligned])
@given(data=st.data(), value=JSON)
@FUZZ
def test_a_signed_file_with_any_json_for_any_key_is_refused_or_describable(
    make: Callable[[], Any], data: st.DataObject, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "forged.safetensors"
    original, whole = saved(make, path)
    path.write_bytes(whole)
    key = data.draw(st.sampled_from(sorted(container.read(path)[0])))
    forged.rewritten(path, document=lambda found: found.__setitem__(key, value))
    try:
        type(original).load(path)
    except FileFormatError:
        assert main(["inspect", str(path)]) == 2
    else:
        assert main(["inspect", str(path)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_a_pointer_of_git_lfs_is_called_what_it_is(toy: Path) -> None:
    toy.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 538090408\n")
    with pytest.raises(FileFormatError, match=r"'toy\.safetensors' is a Git LFS pointer.*git lfs pull"):
        container.read(toy)
