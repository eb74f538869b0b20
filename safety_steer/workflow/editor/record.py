"""What was changed in a workflow, kept in it: enough to take every change back, and to see whether it still can be.

A record is a list of places. Each has a `path` of keys and indexes, the value there `now`, and what it `was`; without
`was` the key was not there; a list with `length` has grown and had that many items. `digest` stands for the whole workflow
as `add` left it: as long as it fits, nothing else was changed.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..files.json_text import same
from ..graph import Json

KEY = "safety_steer"
VERSION = 1  # of the record's form; another is not taken back


def changes(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> Iterator[Json]:
    """Yield every place where `after` differs from `before`, the later ones of a list first."""
    if isinstance(before, dict) and isinstance(after, dict) and list(before) == list(after)[: len(before)]:
        for key in reversed(after):
            if key not in before:
                yield {"path": [*path, key], "now": copy.deepcopy(after[key])} if not path else {"path": [*path, key]}
            else:
                yield from changes(before[key], after[key], (*path, key))
    elif _holds_items(before) and _holds_items(after) and len(before) <= len(after):
        if len(before) < len(after):
            yield {"path": list(path), "length": len(before), "now": len(after)}
        for index, value in enumerate(before):
            yield from changes(value, after[index], (*path, index))
    elif not same(before, after):
        yield {"path": list(path), "was": copy.deepcopy(before), "now": copy.deepcopy(after)}


def take_back(data: Json, undo: Sequence[Any]) -> Json | None:
    """Return a copy with the recorded changes undone; None when a place is not as the record left it."""
    result: Json = copy.deepcopy(data)
    try:
        for change in undo:
            *path, last = change["path"]
            holder: Any = result
            for step in path:
                holder = holder[step]
            value = holder[last]
            if "length" in change and len(value) == change["now"]:
                del value[change["length"] :]
            elif "length" in change or ("now" in change and not _alike(value, change["now"])):
                return None
            elif "was" in change:
                holder[last] = copy.deepcopy(change["was"])
            else:
                del holder[last]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return result


def split(data: Json) -> tuple[Json, list[Any]]:
    """Return a copy of a workflow without its record, and the changes the record names; none when it has no record."""
    result: Json = copy.deepcopy(data)
    extra = result.get("extra")
    found = extra.pop(KEY, None) if isinstance(extra, dict) else None
    undo = found.get("undo") if isinstance(found, dict) and found.get("version") == VERSION else None
    return result, undo if isinstance(undo, list) else []


def is_untouched(data: Json) -> bool:
    """Tell whether a workflow with a record is as `add` left it, in every key and value."""
    extra = data.get("extra")
    found = extra.get(KEY) if isinstance(extra, dict) else None
    return isinstance(found, dict) and found.get("digest") == _digest(split(data)[0])


def keep(data: Json, before: Json, earlier: Sequence[Any]) -> None:
    """Put the record of all changes since `before` into a workflow, in front of those recorded earlier."""
    if not isinstance(data.get("extra"), dict):
        data["extra"] = {}
    undo = [*changes(before, data), *earlier]
    data["extra"][KEY] = {"version": VERSION, "undo": undo, "digest": _digest(data)}


def _digest(data: Json) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()


def _alike(one: object, other: object) -> bool:
    """Tell whether two values are equal; the editor writes 1.0 as 1, and NaN equals nothing."""
    return one == other or same(one, other)


def _holds_items(value: object) -> bool:
    """Tell whether a value is a list of objects or lists, which is compared item by item."""
    return isinstance(value, list) and (not value or any(isinstance(item, dict | list) for item in value))
