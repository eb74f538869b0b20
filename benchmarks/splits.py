"""Which pairs of the published sets are held out for the final figures: decided by their text, the same for everyone."""

from __future__ import annotations

from hashlib import sha256

SETS = ("safesteer", "coprov2", "overt")
SHARE = 0.15


def final(set_name: str, safe: str) -> bool:
    """Whether a pair, told by its set and the raw text of its safe side, is held out; nothing may be made from such pairs."""
    if set_name not in SETS:
        raise ValueError(f"there is no set '{set_name}', only {', '.join(SETS)}")
    return int(sha256((set_name + safe).encode()).hexdigest(), 16) % 10000 / 10000 >= 1 - SHARE
