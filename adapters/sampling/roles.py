"""The roles of a guider's conditions: which are positive prompts, and which of the others are named as left alone.

CFGGuider has "positive" and "negative". Guiders of packs have more: a second positive under another name is steered like the
first. A negative is never touched, since a prompt to keep away from is to stay as unsafe as it is. DualCFGGuider's "middle"
is neither: it draws the picture toward itself against the negative and away from itself against the positive, so that it is
left alone and said so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .step_windows import Entry

POSITIVE = re.compile(r"(^|_)pos(itive)?(_|\d|$)")
NEGATIVE = ("neg", "uncond", "empty", "null")
OURS = "safety_steer"
FIRST = "positive"


def positive(conds: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Return the roles that are positive prompts by their names, the usual one first."""
    found = [role for role in conds if POSITIVE.search(role) and not _is_negative(role)]
    return sorted(found, key=lambda role: role != FIRST)


def unknown(conds: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Return the roles with text that are neither positive nor negative by their names."""
    return [
        role
        for role, entries in conds.items()
        if not (POSITIVE.search(role) or _is_negative(role) or role.startswith(OURS)) and any(map(_has_text, entries))
    ]


def left_alone(guider: Any, conds: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Say which prompts of a guider are not steered, though they are no negatives; one line each."""
    return [
        f"only partly reached: {type(guider).__name__} also samples with '{role}', a prompt that stays as it is. To steer it "
        "too, put Apply Safety Steer (Conditioning) on its wire"
        for role in unknown(conds)
    ]


def _is_negative(role: str) -> bool:
    return any(part in role.lower() for part in NEGATIVE)


def _has_text(entry: Entry) -> bool:
    return entry.get("cross_attn") is not None
