"""Decisions drawn from fuzzed bytes: numbers, odd JSON values, and edits of a JSON document.

A fuzzer that flips bytes of a signed file or of JSON text rarely gets past the first check. Here the bytes say what to change
in a document that is sound, so that every input reaches the code behind.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 256, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308),
    *("", "x", "global", "1", "-1", "MODEL", "CLIP", "CONDITIONING", "*", "positive"),
    *("\0", "\ud800", "傘", "a\nb", "²", "9" * 5000),
    *([], [0], [[]], [None], ["1", 0], [1, 2, 3], {}, {"id": 1}, {"name": "x"}, {"class_type": "KSampler", "inputs": {}}),
)  # fmt: skip
MOST_EDITS = 6
MOST_DEPTH = 5


@dataclass
class Stream:
    """Bytes read one after the other; zeros where they have ended."""

    data: bytes
    place: int = 0

    @property
    def ended(self) -> bool:
        """Whether all bytes are read."""
        return self.place >= len(self.data)

    def byte(self) -> int:
        """Return the next byte."""
        value = self.data[self.place] if self.place < len(self.data) else 0
        self.place += 1
        return value

    def below(self, limit: int) -> int:
        """Return a number from 0 to limit - 1; 0 for a limit of 0."""
        value = self.byte()
        if limit > 256:
            value = value << 8 | self.byte()
        return value % limit if limit > 0 else 0

    def take(self, count: int) -> bytes:
        """Return at most so many bytes."""
        found = self.data[self.place : self.place + count]
        self.place += count
        return found

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        return self.take(len(self.data))


def value(stream: Stream, depth: int = 0) -> Any:
    """Return a JSON value that the bytes describe: an odd one, a text, a number, or a container of such."""
    kind = stream.byte()
    if kind < 160 or depth >= MOST_DEPTH:
        return copy.deepcopy(ODD[kind % len(ODD)])
    if kind < 190:
        return stream.take(stream.below(24)).decode("utf-8", "surrogateescape" if kind % 2 else "replace") if kind < 175 else ""
    if kind < 220:
        return int.from_bytes(stream.take(1 + stream.below(9)), "little", signed=True)
    if kind < 238:
        return [value(stream, depth + 1) for _ in range(stream.below(5))]
    return {str(value(stream, MOST_DEPTH)): value(stream, depth + 1) for _ in range(stream.below(5))}


def nested(depth: int, step: Any) -> Any:
    """Return a value that lies `depth` lists or objects deep."""
    found: Any = 1
    for _ in range(depth):
        found = {step: found} if isinstance(step, str) else [found]
    return found


def edited(document: Any, stream: Stream) -> Any:
    """Return a copy of a JSON document with up to six edits: values replaced, taken out, doubled, moved or put in."""
    result = copy.deepcopy(document)
    for _ in range(1 + stream.below(MOST_EDITS)):
        places = list(_places(result))
        if not places or stream.ended:
            break
        if not _edit(places, stream):
            break
    return result


def _edit(places: list[tuple[Any, Any]], stream: Stream) -> bool:
    """Make one edit in the container at one of the places, given as container and key; False when it has to be the last."""
    holder, key = places[stream.below(len(places))]
    kind = stream.byte() % 8
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, name = places[stream.below(len(places))]
        holder[key] = copy.deepcopy(other[name])
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 3 and isinstance(holder, dict):
        holder[str(value(stream, MOST_DEPTH))] = holder.pop(key)
    elif kind == 4 and isinstance(holder, dict):
        holder[str(value(stream, MOST_DEPTH))] = value(stream)
    elif kind == 5:
        # Too deep to be copied, and slow to look through.
        holder[key] = nested(stream.below(1024), "subgraphs" if stream.byte() % 2 else 0)
        return False
    elif kind == 6 and type(holder[key]) is int:
        holder[key] += stream.byte() - 128
    else:
        holder[key] = value(stream)
    return True


def _places(document: Any) -> Any:
    """Yield the container and the key of everything in a document."""
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        if not isinstance(holder, dict | list):
            continue
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            waiting.append(holder[key])
