"""Keys as files: secret ones for their owner alone, public ones read or refused, and which are trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safety_steer.errors import DataError
from safety_steer.storage import keys


def test_a_secret_key_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    secret, public, made = keys.new_key(tmp_path / "mine", "  Ada \t Example ")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (made.name, keys.read_secret(secret).name) == ("Ada Example", "Ada Example")
    assert keys.read_secret(secret).hex not in public.read_text()
    for gone in (secret, public):
        kept = (tmp_path / "mine.pub").read_bytes() if gone is secret else secret.read_bytes()
        gone.unlink()
        with pytest.raises(DataError, match="never overwritten"):
            keys.new_key(tmp_path / "mine", "Ada")
        assert kept in [path.read_bytes() for path in tmp_path.iterdir()]
        gone.write_bytes(kept)


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_a_secret_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret, _, _ = keys.new_key(tmp_path / "mine", "Ada")
    secret.chmod(0o640)
    with pytest.raises(DataError, match="chmod 600"):
        keys.read_secret(secret)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b"])
def test_unusable_names_make_no_key(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected a name of 1 to 100"):
        keys.new_key(tmp_path / "mine", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        f"{keys.PUBLIC} rsa {'a' * 64} Ada",
        f"{keys.PUBLIC} ed25519 {'a' * 63} Ada",
        f"{keys.PUBLIC} ed25519 {'A' * 64} Ada",
        f"{keys.PUBLIC} ed25519 {'a' * 64}",
        f"{keys.SECRET} ed25519 {'a' * 64} Ada",
        f"{keys.PUBLIC} ed25519 {'a' * 64} A\nB",
        "x" * 2000,
    ],
)
def test_what_is_no_public_key_is_refused_and_its_content_not_told(line: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.pub"
    path.write_text(line)
    with pytest.raises(DataError) as raised:
        keys.read_public(path)
    assert "a" * 63 not in str(raised.value)
    trusted, complaints = keys.read_trusted(tmp_path)
    assert trusted == {}
    assert complaints == [str(raised.value)]


def test_trusted_keys_are_those_in_the_folder(tmp_path: Path) -> None:
    one, two = (keys.new_key(tmp_path / name, name)[2] for name in ("one", "two"))
    assert keys.read_trusted(tmp_path) == ({one.hex: "one", two.hex: "two"}, [])
    assert keys.read_trusted(tmp_path / "absent") == ({}, [])
