"""Key files for signatures: a secret one that only its owner can read, a public one to give away, a folder of trusted ones.

A key file is one line: `safety-steer-public-key ed25519 64-HEX-DIGITS NAME`. It can be read, compared and mailed as it is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, SafetySteerError
from .text_files import read_text, write_bytes

ALGORITHM = "ed25519"
SECRET, PUBLIC = "safety-steer-secret-key", "safety-steer-public-key"
MAX_KEY_FILE = 1024  # by hand; bytes
MAX_NAME = 100  # by hand; characters
INSTALL = "pip install cryptography"


@dataclass(frozen=True)
class Key:
    """A key's 32 bytes in hexadecimal digits, and the name of who has it."""

    hex: str
    name: str

    def line(self, kind: str) -> str:
        """Return the line of a key file."""
        return f"{kind} {ALGORITHM} {self.hex} {self.name}\n"


def new_key(path: str | os.PathLike[str], name: str) -> tuple[Path, Path, Key]:
    """Make a key pair, and write `path`.key, which only its owner can read, and `path`.pub; returns both, and the public key.

    Raises DataError for an unusable name, a file that is there already, or without the package cryptography.
    """
    target = Path(path)
    secret, public = (target.with_name(f"{target.name}{end}") for end in (".key", ".pub"))
    name = checked_name(name)
    if not target.parent.is_dir():
        raise DataError(f"The folder '{target.parent}' does not exist. Create it or choose another one.")
    for taken in (secret, public):
        if os.path.lexists(taken):
            raise DataError(f"There is a file '{taken}' already, and a key is never overwritten. Choose another name.")
    seed = os.urandom(32)
    made = Key(public_half(seed), name)
    write_bytes(secret, Key(seed.hex(), name).line(SECRET).encode(), mode=0o600)
    write_bytes(public, made.line(PUBLIC).encode())
    return secret, public, made


def public_half(seed: bytes) -> str:
    """Return the public key of a secret one, both 32 bytes, in hexadecimal digits; raises DataError without cryptography."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise DataError(
            f"Signing needs the package cryptography, which is not installed. Install it with: {INSTALL}"
        ) from error
    return bytes(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()).hex()


def read_secret(path: str | os.PathLike[str]) -> Key:
    """Read a secret key; raises DataError for one that others on this computer can read, as well as for no key."""
    key = _read(path, SECRET)
    if os.name == "posix" and os.stat(path).st_mode & 0o077:
        raise DataError(f"Others on this computer can read the secret key '{Path(path).name}'. Run: chmod 600 {path}")
    return key


def read_public(path: str | os.PathLike[str]) -> Key:
    """Read a public key; raises DataError for anything else."""
    return _read(path, PUBLIC)


def read_trusted(folder: str | os.PathLike[str]) -> tuple[dict[str, str], list[str]]:
    """Return the names of all public keys (.pub) in a folder by their digits, and what is wrong with those that are none.

    A folder that does not exist holds none.
    """
    root, trusted, complaints = Path(folder), {}, []
    for path in sorted(root.glob("*.pub")) if root.is_dir() else []:
        try:
            key = read_public(path)
            trusted[key.hex] = key.name
        except (SafetySteerError, OSError) as error:
            complaints.append(str(error))
    return trusted, complaints


def checked_name(name: str) -> str:
    """Return a name in one line; raises DataError for an empty, long or unprintable one."""
    tidy = " ".join(name.split())
    if not 0 < len(tidy) <= MAX_NAME or not tidy.isprintable():
        raise DataError(f"Expected a name of 1 to {MAX_NAME} printable characters, but got {name[:MAX_NAME]!r}. Change it.")
    return tidy


def _read(path: str | os.PathLike[str], kind: str) -> Key:
    source, text = read_text(path, MAX_KEY_FILE)
    found = re.fullmatch(rf"{kind} {ALGORITHM} ([0-9a-f]{{64}}) (.+)\n?", text)
    if found is None:
        # What is in it is not told: it may be a secret.
        raise DataError(f"'{source.name}' is no {kind.replace('-', ' ')}. Expected one line: {kind} {ALGORITHM} DIGITS NAME.")
    return Key(found[1], checked_name(found[2]))
