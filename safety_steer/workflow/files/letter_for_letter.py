"""What makes `remove` give back a file letter for letter: the text is edited, and what that alone would lose is kept in it.

Most files need nothing: what `add` puts in goes out again as it came. Where letters would differ, such as the spaces in a
list that an item is taken from, they are kept in the file as one piece of text, with a hash of the whole.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ..adding import Change
from ..format_check import api_nodes
from ..graph import Json
from ..pack_nodes import APPLY
from ..removing import Removal, remove
from .json_text import parse, rewrite, same
from .wrapped import at, find_workflows, replaced

KEY, LETTERS = "safety_steer", "letters"


def text_with_steering(text: str, data: Json, change: Change) -> str:
    """Return the text of a workflow that steering was put in, made of the text it came from."""
    added = rewrite(text, data, change.data)
    removal = remove(change.data) if change.changed else None
    if removal is None or not same(removal.data, data):
        return added
    plain = rewrite(added, change.data, removal.data)
    if plain == text:
        return added
    return rewrite(text, data, _noted(change.data, _difference(plain, text)))


def text_without_steering(text: str, data: Json, removal: Removal) -> str:
    """Return the text of a workflow that steering was taken out of; the very text from before `add` where that is known."""
    plain = rewrite(text, data, removal.data)
    for holder in _holders(data):
        letters = holder.get(LETTERS)
        found = _restored(plain, letters) if isinstance(letters, dict) else None
        if found is not None and same(parse(found), removal.data):
            return found
    return plain


def _noted(data: Json, letters: Json) -> Json:
    """Return a copy of a file that keeps letters, in the first place that can; without any, all stays."""
    for place in find_workflows(data):
        workflow = copy.deepcopy(at(data, place))
        for holder in _notes(workflow, make=True):
            holder[LETTERS] = letters
            return replaced(data, {place: workflow})
    return data


def _holders(data: Json) -> Iterator[Json]:
    """Yield what the workflows of a file keep of steering."""
    return (note for place in find_workflows(data) for note in _notes(at(data, place)))


def _notes(workflow: Json, make: bool = False) -> Iterator[Json]:
    """Yield where a workflow can keep letters: the record of an editor's, or what steering nodes say of themselves."""
    notes = [workflow.get("extra")]
    notes += [node.get("_meta") for node in api_nodes(workflow).values() if node["class_type"] == APPLY]
    for note in notes:
        if make and isinstance(note, dict) and note is not notes[0]:
            note.setdefault(KEY, {})
        if isinstance(note, dict) and isinstance(note.get(KEY), dict):
            yield note[KEY]


def _difference(plain: str, text: str) -> Json:
    """Return what turns one text into the other: where they begin and cease to differ, and what stands there."""
    start = _shared(plain, text)
    end = min(_shared(plain[::-1], text[::-1]), min(len(plain), len(text)) - start)
    return {"start": start, "end": end, "text": text[start : len(text) - end], "hash": _hash(text)}


def _shared(one: str, other: str) -> int:
    """Count the letters that two texts begin with alike."""
    both = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(both) if a != b), min(len(one), len(other)))


def _restored(plain: str, letters: Mapping[str, Any]) -> str | None:
    """Return the text that was kept; None when the file was changed since."""
    start, end, text = (letters.get(key) for key in ("start", "end", "text"))
    if type(start) is not int or type(end) is not int or not isinstance(text, str) or start < 0 or end < 0:
        return None
    found = plain[:start] + text + plain[max(len(plain) - end, 0) :]
    return found if _hash(found) == letters.get("hash") else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
