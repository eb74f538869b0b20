"""JSON changed in its own text: what stays keeps every letter, and only what is new is written.

A container is seen as its items with the text in front of each, called glue: comma, spaces and line ends. Items that stay
keep theirs, so that what is put in behind others and taken out again leaves the very same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from ...storage.json_values import parse_json

BOM = "\ufeff"
SPACE = re.compile(r"[ \t\n\r]*")
DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Style:
    """How a text is written: the indentation of one level (None on one line), its separators, and letters as escapes."""

    indent: str | None
    comma: str
    colon: str
    escaped: bool

    def write(self, value: Any, glue: str) -> str:
        """Return a value's text, over several lines where the glue in front of it begins one."""
        line_end, newline, margin = _line_start(glue)
        indent = self.indent if newline else None
        separators = (self.comma if indent is None else ",", self.colon)
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=self.escaped)
        return text.replace("\n", line_end + margin)


@dataclass(frozen=True)
class Item:
    """One item of a container: the text in front of it, its key as it is written (empty in lists), and its value's place."""

    glue: str
    head: str
    start: int
    end: int
    key: str = ""


def parse(text: str) -> Any:
    """Return what a text says, with or without a byte order mark; raises ValueError like `parse_json`."""
    return parse_json(text.removeprefix(BOM))


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are written alike: NaN is NaN, 1 is not 1.0, and the order of keys counts."""
    return one is other or json.dumps(one) == json.dumps(other)


def rewrite(text: str, before: Any, after: Any) -> str:
    """Return a text that says `after`, made of one that says `before`; what they share keeps its letters."""
    if same(before, after):
        return text
    start = _skip(text, len(BOM) if text.startswith(BOM) else 0)
    end = DECODER.raw_decode(text, start)[1]
    return text[:start] + _Rewriter(text, style_of(text)).value(start, end, before, after, "\n") + text[end:]


def style_of(text: str) -> Style:
    """Find how a JSON object is written by how it begins."""
    indented = re.match(r"\ufeff?\s*[{\[]\r?\n([ \t]+)", text)
    spaced = indented or re.match(r'\ufeff?\s*\{\s*"[^"]*"\s*:\s', text)
    # Half of a letter that takes two can stand in JSON as an escape, but not in UTF-8.
    escaped = text.removeprefix(BOM).isascii() or re.search(r"\\u[dD][89a-fA-F]", text) is not None
    return Style(indented.group(1) if indented else None, ", " if spaced else ",", ": " if spaced else ":", escaped)


@dataclass(frozen=True)
class _Rewriter:
    text: str
    style: Style

    def value(self, start: int, end: int, before: Any, after: Any, glue: str) -> str:
        """Return the text of a value that was `before`, between two places, and has become `after`."""
        if same(before, after):
            return self.text[start:end]
        if isinstance(before, dict) and isinstance(after, dict):
            return self._object(start, before, after)
        if isinstance(before, list) and isinstance(after, list):
            return self._list(start, before, after)
        return self.style.write(after, glue)

    def _object(self, start: int, before: dict[str, Any], after: dict[str, Any]) -> str:
        items, tail = _items(self.text, start)
        last = {item.key: place for place, item in enumerate(items)}
        kept = [key for key in before if key in after]
        if kept != [key for key in after if key in before]:
            items, last, kept = [], {}, []
        parts: list[tuple[int | None, str]] = []
        first = {item.key: place for place, item in reversed(list(enumerate(items)))}
        glue, colon = self._glue(items), items[0].head[len(_quoted(items[0].head)) :] if items else self.style.colon
        waiting = [place for place, item in enumerate(items) if item.key in after]
        for key, value in after.items():
            if key not in last:
                parts.append((None, self._quote(key) + colon + self.style.write(value, glue)))
                continue
            while waiting and waiting[0] <= first[key]:
                parts.append(
                    (waiting[0], self._kept(items[waiting[0]], waiting[0] == last[items[waiting[0]].key], before, after))
                )
                waiting.pop(0)
        parts += [(place, self._kept(items[place], place == last[items[place].key], before, after)) for place in waiting]
        return "{" + self._joined(parts, items, glue) + tail + "}"

    def _kept(self, item: Item, counts: bool, before: dict[str, Any], after: dict[str, Any]) -> str:
        """Write an item whose key stays; of a key that is there twice only the last one counts."""
        if not counts:
            return item.head + self.text[item.start : item.end]
        return item.head + self.value(item.start, item.end, before[item.key], after[item.key], item.glue)

    def _list(self, start: int, before: list[Any], after: list[Any]) -> str:
        items, tail = _items(self.text, start)
        glue = self._glue(items)
        parts: list[tuple[int | None, str]] = []
        for place, index in _aligned(before, after):
            if place is None:
                parts.append((None, self.style.write(after[index], glue)))
            else:
                item = items[place]
                parts.append((place, self.value(item.start, item.end, before[place], after[index], item.glue)))
        return "[" + self._joined(parts, items, glue) + tail + "]"

    def _glue(self, items: Sequence[Item]) -> str:
        """Return the text to put in front of a new item that is not the first."""
        if len(items) > 1:
            return items[-1].glue
        return "," + (items[0].glue or self.style.comma[1:]) if items else self.style.comma

    def _joined(self, parts: Sequence[tuple[int | None, str]], items: Sequence[Item], glue: str) -> str:
        """Join items, each as its old place (None for a new one) and its text."""
        found = []
        for number, (place, text) in enumerate(parts):
            if number == 0:
                found.append(items[0].glue if items else "")
            else:
                found.append(items[place].glue if place else glue)
            found.append(text)
        return "".join(found)

    def _quote(self, key: str) -> str:
        return json.dumps(key, ensure_ascii=self.style.escaped)


def _aligned(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int | None, int]]:
    """Return for every item of `after` its place there, with its place in `before` in front; None for a new item."""
    if len(before) == len(after):
        return [(place, place) for place in range(len(after))]
    matcher = SequenceMatcher(None, [_name(one) for one in before], [_name(one) for one in after], autojunk=False)
    found: list[tuple[int | None, int]] = []
    for kind, start, _, new_start, new_end in matcher.get_opcodes():
        found += [(start + step if kind == "equal" else None, new_start + step) for step in range(new_end - new_start)]
    return found


def _name(item: Any) -> str:
    """Return what an item of a list is known by: the id of a node or a link, else what it is."""
    if isinstance(item, dict) and "id" in item:
        return json.dumps(item["id"])
    return json.dumps(item[0] if isinstance(item, list) and item and not isinstance(item[0], list | dict) else item)


def _items(text: str, start: int) -> tuple[list[Item], str]:
    """Return the items of the container that begins at a place, and the text behind the last one."""
    keyed, position = text[start] == "{", start + 1
    found: list[Item] = []
    while True:
        begin = position
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)
        elif text[position] in "]}":
            return found, text[begin:position]
        glue, head, key = text[begin:position], "", ""
        if keyed:
            key, after_key = DECODER.raw_decode(text, position)
            value = _skip(text, _skip(text, after_key) + 1)
            head, position = text[position:value], value
        end = DECODER.raw_decode(text, position)[1]
        found.append(Item(glue, head, position, end, key))
        position = end


def _quoted(head: str) -> str:
    """Return the key at the beginning of a text, as it is written."""
    return head[: DECODER.raw_decode(head)[1]]


def _skip(text: str, position: int) -> int:
    found = SPACE.match(text, position)
    return found.end() if found else position


def _line_start(glue: str) -> tuple[str, bool, str]:
    """Return the line end in a glue, whether there is one, and the spaces after it."""
    found = re.search(r"(\r?\n)[ \t]*$", glue)
    return (found.group(1), True, glue[found.end(1) :]) if found else ("\n", False, "")
