"""Which pairs of the published sets are held out, for final figures or for tuning: told by their text, for everyone alike."""

from __future__ import annotations

from hashlib import sha256

SETS = ("safesteer", "coprov2", "overt")
SHARE = 0.15


def final(set_name: str, safe: str) -> bool:
    """Whether a pair, told by its set and the raw text of its safe side, is held out; nothing may be made from such pairs."""
    return _place(set_name, safe) >= 1 - SHARE


def tuning(set_name: str, safe: str) -> bool:
    """Whether a pair is among those that settings are chosen by; a direction they are measured with is made without them."""
    return 1 - 2 * SHARE <= _place(set_name, safe) < 1 - SHARE


def _place(set_name: str, safe: str) -> float:
    """Return where a pair lies from 0 to 1."""
    if set_name not in SETS:
        raise ValueError(f"there is no set '{set_name}', only {', '.join(SETS)}")
    return int(sha256((set_name + safe).encode()).hexdigest(), 16) % 10000 / 10000
