"""Workflows within other JSON: a request to the server, both formats side by side, a list of jobs, a text that is JSON."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import DataError
from ..format_check import EDITOR, kind_of, looks_like_workflow
from ..graph import Json
from .json_text import parse, rewrite

Place = tuple[str | int, ...]
"""The keys and places in lists that lead to a workflow; none where the whole JSON is one."""
WRITTEN = -1  # no place in a list
"""Stands in a place for the step from a text to the JSON that is written in it."""
WORDS = ('"nodes"', '"class_type"')
"""What a text holds that may be a workflow."""
MAX_DEPTH = 4  # a request to the server has its saved workflow at extra_data, extra_pnginfo, workflow


def find_workflows(data: object) -> dict[Place, str]:
    """Return where the workflows in some JSON are, and their kinds: one, or one of each kind, which say the same.

    Raises DataError for JSON without any, for several of one kind, and for one that cannot be read, by its key.
    """
    if looks_like_workflow(data):
        return {(): kind_of(data)}
    places = list(_meant(data, ()))
    if not places:
        kind_of(data)
    found: dict[Place, str] = {}
    for place in places:
        try:
            found[place] = kind_of(at(data, place))
        except DataError as error:
            raise DataError(f"Under the key {named(place)}: {error}") from error
    for kind in found.values():
        several = [named(place) for place in found if found[place] == kind]
        if len(several) > 1:
            raise DataError(
                f"It holds several workflows, under the keys {', '.join(several)}. Save the one you mean in a file of its own."
            )
    return found


def named(place: Place) -> str:
    """Write a place for people, such as 'extra_data.workflow'."""
    return f"'{'.'.join(str(key)[:40] for key in place if key != WRITTEN)}'"


def at(data: Any, place: Place) -> Json:
    """Return the workflow at a place; of one that is written in a text, a copy."""
    for key in place:
        data = parse(data) if key == WRITTEN else data[key]
    found: Json = data
    return found


def replaced(data: Json, parts: Mapping[Place, Json]) -> Json:
    """Return JSON with other workflows at these places; nothing that came in is written to."""
    result = copy.deepcopy(data)
    for place, part in parts.items():
        result = _put(result, place, part)
    return result


def _put(data: Any, place: Place, part: Json) -> Any:
    """Put a workflow into a place of some JSON, which is changed; return it, or what stands for it."""
    if not place:
        return part
    if place[0] == WRITTEN:
        return rewrite(data, parse(data), _put(parse(data), place[1:], part))
    data[place[0]] = _put(data[place[0]], place[1:], part)
    return data


def main_kind(kinds: Mapping[Place, str]) -> str:
    """Return the kind to call a file by: the editor's, where it is there."""
    return EDITOR if EDITOR in kinds.values() else next(iter(kinds.values()))


def _meant(data: object, place: Place) -> Iterator[Place]:
    """Yield the places of what is meant as a workflow, those within another one left out."""
    steps = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in steps:
        inner, where = value, (*place, key)
        if isinstance(value, str) and (said := _said(value)) is not None:
            inner, where = said, (*where, WRITTEN)
        if looks_like_workflow(inner):
            yield where
        elif isinstance(inner, dict | list) and sum(step != WRITTEN for step in where) < MAX_DEPTH:
            yield from _meant(inner, where)


def _said(text: str) -> Any:
    """Return the JSON that is written in a text, if it may hold a workflow; None for any other text."""
    if text.lstrip()[:1] not in ("{", "[") or not any(word in text for word in WORDS):
        return None
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return None
