"""Workflows within other objects: a request to the server, both formats side by side, an answer of somebody's program."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import DataError
from ..format_check import EDITOR, kind_of, looks_like_workflow
from ..graph import Json

Place = tuple[str, ...]
"""The keys that lead to a workflow; none where the whole JSON is one."""
MAX_DEPTH = 4  # a request to the server has its saved workflow at extra_data, extra_pnginfo, workflow


def find_workflows(data: object) -> dict[Place, str]:
    """Return where the workflows in some JSON are, and their kinds: one, or one of each kind, which say the same.

    Raises DataError for JSON without any, for several of one kind, and for one that cannot be read, by its key.
    """
    if looks_like_workflow(data):
        return {(): kind_of(data)}
    places = list(_meant(data, ())) if isinstance(data, dict) else []
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
    return f"'{'.'.join(key[:40] for key in place)}'"


def at(data: Any, place: Place) -> Json:
    """Return the workflow at a place."""
    for key in place:
        data = data[key]
    found: Json = data
    return found


def replaced(data: Json, parts: Mapping[Place, Json]) -> Json:
    """Return JSON with other workflows at these places; nothing that came in is written to."""
    if () in parts:
        return parts[()]
    result = copy.deepcopy(data)
    for place, part in parts.items():
        at(result, place[:-1])[place[-1]] = part
    return result


def main_kind(kinds: Mapping[Place, str]) -> str:
    """Return the kind to call a file by: the editor's, where it is there."""
    return EDITOR if EDITOR in kinds.values() else next(iter(kinds.values()))


def _meant(data: Json, place: Place) -> Iterator[Place]:
    """Yield the places of what is meant as a workflow, those within another one left out."""
    for key, value in data.items():
        if looks_like_workflow(value):
            yield (*place, key)
        elif isinstance(value, dict) and len(place) + 1 < MAX_DEPTH:
            yield from _meant(value, (*place, key))
