"""JSON from a stranger: read with a limit on how many values it has and how deep they lie.

Text of a few megabytes can stand for gigabytes of lists, and a thousand lists in each other can be read but not copied or
written again. Every JSON that comes from outside goes through here.
"""

from __future__ import annotations

import json
from typing import Any

MAX_VALUES = 4_000_000  # by hand: about 400 MB of the smallest values, and ten times the largest workflow that is read
MAX_DEPTH = 200  # by hand: what copying and writing reach in Python's 1,000 calls


def parse_json(text: str | bytes) -> Any:
    """Return the value that a JSON text says; raises ValueError for what is not JSON, has too many values or too deep ones."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    containers = text.count("[") + text.count("{")
    if (most := containers + text.count(",")) > MAX_VALUES:
        raise ValueError(f"it has {most:,} values; at most {MAX_VALUES:,} are read")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if containers > MAX_DEPTH and not _is_shallow(found):
        raise ValueError(_TOO_DEEP)
    return found


def is_text(value: object) -> bool:
    """Tell whether a value is a text that can be written: half of a letter that takes two, which JSON can say, cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_TOO_DEEP = f"its values lie more than {MAX_DEPTH} deep in each other"


def _is_shallow(found: Any) -> bool:
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False
