"""Signatures: who vouches for a file, and whether what was signed is what is there.

A signed file has one more text in its header: a statement, a public key, and an Ed25519 signature (RFC 8032) over the
statement, which names the content hash of the file's document and tensors. It lies outside of what that hash covers, so a
signed direction is the same direction: fits of it stay valid, and versions that know of no signatures read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import DataError
from ..version import __version__
from .container import Contents
from .keys import ALGORITHM, MAX_NAME, Key, public_half

FIELD = "safety_steer_signature"
# What is signed begins with this, so that no signature made for something else counts here.
CONTEXT = b"safety-steer signature 1\n"
MAX_TEXT = 8192  # by hand; characters of a signature in a file
CHANGED = "the file was changed after it was signed"


class State(Enum):
    """What can be said of a file's signature."""

    UNSIGNED = "unsigned"
    TRUSTED = "trusted"
    UNKNOWN = "unknown key"
    UNCHECKED = "not checked"
    BROKEN = "broken"


@dataclass(frozen=True)
class Verdict:
    """What a file's signature says and whether it holds.

    `by` is the name in the trusted key or else the one the file gives itself, `key` the public key in hexadecimal digits,
    `version` the Safety Steer that signed, `pairs` the hash of the pairs of prompts that a signature which holds names, and
    `reason` why one is broken.
    """

    state: State
    by: str = ""
    key: str = ""
    version: str = ""
    pairs: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """The verdict in one line for people."""
        short = f"key {self.key[:16]}"
        if self.state is State.TRUSTED:
            return f"signed by {self.by} ({short}, which you trust)"
        if self.state is State.UNKNOWN:
            return f"signed by '{self.by}', a key you have not marked as trusted ({short})"
        if self.state is State.UNCHECKED:
            return f"signature of '{self.by}' ({short}) not checked: cryptography is not installed"
        if self.state is State.BROKEN:
            return f"BROKEN SIGNATURE: {self.reason}. Get the file again from whoever made it"
        return "not signed"


def sign(contents: Contents, secret: Key, pairs: str = "") -> str:
    """Sign what a file holds: the text that belongs under FIELD in its header.

    `pairs` is the hash of the pairs of prompts, where the document does not say it. Raises DataError without cryptography.
    """
    seed = bytes.fromhex(secret.hex)
    public = public_half(seed)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    statement = {"by": secret.name, "content": contents.content_hash, "version": __version__}
    statement |= {"pairs": pairs} if pairs else {}
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_message(statement)).hex()
    return json.dumps({"algorithm": ALGORITHM, "key": public, "signature": signature, "statement": statement}, sort_keys=True)


def judge(contents: Contents, trusted: Mapping[str, str]) -> Verdict:
    """Say what a file's signature is worth; `trusted` are names of public keys by their hexadecimal digits.

    Never raises: what is no signature is a broken one. Content that was changed is noticed without cryptography.
    """
    text = contents.beside.get(FIELD)
    if text is None:
        return Verdict(State.UNSIGNED)
    try:
        statement, key, signature = _parse(text)
        by, version, pairs = (_text(statement, name, MAX_NAME) for name in ("by", "version", "pairs"))
        message = _message(statement)
    except (DataError, ValueError, RecursionError) as error:
        return Verdict(State.BROKEN, reason=f"it cannot be read ({' '.join(str(error).split())[:100]})")
    said = {"by": by, "key": key, "version": version}
    if statement.get("content") != contents.content_hash:
        return Verdict(State.BROKEN, **said, reason=CHANGED)
    strange = sorted(set(contents.beside) - {FIELD})
    if strange:
        return Verdict(State.BROKEN, **said, reason=f"the header holds {strange[0][:40]!a}, which was not signed")
    holds = _holds(key, signature, message)
    if holds is None:
        return Verdict(State.UNCHECKED, **said)
    if not holds:
        return Verdict(State.BROKEN, **said, reason="it was not made with the key it names")
    if key in trusted:
        return Verdict(State.TRUSTED, trusted[key], key, version, pairs)
    return Verdict(State.UNKNOWN, by, key, version, pairs)


def _message(statement: Mapping[str, Any]) -> bytes:
    return CONTEXT + json.dumps(statement, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()


def _parse(text: str) -> tuple[dict[str, Any], str, str]:
    """Return statement, key and signature; raises DataError or ValueError for anything that is not exactly a signature."""
    if len(text) > MAX_TEXT:
        raise DataError(f"{len(text):,} characters, at most {MAX_TEXT:,} expected")
    block = json.loads(text)
    if not isinstance(block, dict) or not isinstance(block.get("statement"), dict):
        raise DataError("no statement")
    if block.get("algorithm") != ALGORITHM:
        raise DataError(f"algorithm {ascii(block.get('algorithm'))[:20]}, expected {ALGORITHM}")
    for name, digits in (("key", 64), ("signature", 128)):
        if not isinstance(block.get(name), str) or not re.fullmatch(rf"[0-9a-f]{{{digits}}}", block[name]):
            raise DataError(f"{name} is not {digits} hexadecimal digits")
    return block["statement"], block["key"], block["signature"]


def _text(statement: Mapping[str, Any], name: str, limit: int) -> str:
    value = statement.get(name, "")
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise DataError(f"{name} is no short text")
    return value


def _holds(key: str, signature: str, message: bytes) -> bool | None:
    """Say whether a signature was made with a key for a message; None where the package cryptography is not installed."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
