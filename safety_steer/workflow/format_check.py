"""Is this JSON a workflow, and which kind? Everything the other modules take for granted is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from .graph import ENTRY, EXIT, LINK_FIELDS, Json, nested_definitions

EDITOR, API = "editor", "api"
VERSIONS = (0.4, 1)  # of ComfyUI's editor
STATE = ("lastNodeId", "lastLinkId")
MAX_NODES = 20_000  # by hand
MAX_NESTING = 32  # by hand
HINT = "Give a file that ComfyUI has saved or exported."


def kind_of(data: object) -> str:
    """Return EDITOR or API; raises DataError for anything that is not a workflow this version reads."""
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        _check_editor(data)
        return EDITOR
    if isinstance(data, dict) and data and all(map(is_api_node, data.values())):
        if len(data) > MAX_NODES:
            raise DataError(f"It has {len(data):,} nodes; at most {MAX_NODES:,} are read.")
        return API
    raise DataError(f"This is not a ComfyUI workflow. {HINT}")


def is_api_node(value: object) -> bool:
    """Tell whether an entry of a file is a node in the API format."""
    return isinstance(value, dict) and isinstance(value.get("class_type"), str) and isinstance(value.get("inputs"), dict)


def _check_editor(data: Json) -> None:
    if data.get("version", VERSIONS[0]) not in VERSIONS:
        raise DataError(
            f"It is saved in workflow version {str(data['version'])[:20]}, and this Safety Steer reads {VERSIONS[0]} and "
            f"{VERSIONS[1]}. Update Safety Steer."
        )
    graphs = [data, *_definitions(data)]
    if (count := sum(len(graph["nodes"]) for graph in graphs if isinstance(graph.get("nodes"), list))) > MAX_NODES:
        raise DataError(f"It has {count:,} nodes; at most {MAX_NODES:,} are read.")
    for graph in graphs:
        _check_graph(graph)
    _check_nesting(data, {graph["id"]: graph for graph in graphs[1:]})


def _definitions(data: Json) -> list[Json]:
    try:
        found = list(nested_definitions(data))
    except (AttributeError, TypeError) as error:
        raise DataError(f"Its subgraph definitions cannot be read. {HINT}") from error
    if not all(isinstance(graph.get("id"), str) and graph["id"] for graph in found):
        raise DataError(f"One of its subgraphs has no id. {HINT}")
    return found


def _check_graph(graph: Mapping[str, Any]) -> None:
    """Check nodes, links and sockets of one graph; what they say may still be wrong, and is judged where it matters."""
    for key in ("nodes", "links"):
        if not isinstance(graph.get(key), list):
            raise DataError(f"Its {key} cannot be read. {HINT}")
    seen: set[int | str] = set()
    for node in graph["nodes"]:
        if not isinstance(node, dict) or not _is_id(node.get("id")) or not isinstance(node.get("type"), str):
            raise DataError(f"One of its nodes has no id or no type. {HINT}")
        if node["id"] in seen:
            raise DataError(f"Two of its nodes have the id {node['id']}. Open it in ComfyUI and save it again.")
        if node["id"] in (ENTRY, EXIT):
            raise DataError(f"The id {node['id']} of one of its nodes stands for the edge of a subgraph. {HINT}")
        seen.add(node["id"])
        _check_sockets(node)
    _check_sockets(graph)
    _check_frame(graph)
    links: set[int] = set()
    for link in graph["links"]:
        if not _is_link(link):
            raise DataError(f"One of its links cannot be read: {str(link)[:60]}. Open it in ComfyUI and save it again.")
        number = link[0] if isinstance(link, list) else link["id"]
        if number in links:
            raise DataError(f"Two of its links have the id {number}. Open it in ComfyUI and save it again.")
        links.add(number)


def _check_frame(graph: Mapping[str, Any]) -> None:
    """Check what a graph has besides nodes and links: counters, groups and the boxes of a subgraph's ends."""
    state = graph.get("state") or {}
    counters = [graph.get(key) for key in ("last_node_id", "last_link_id")]
    if not isinstance(state, dict) or not all(map(_is_number, [*counters, *(state.get(key) for key in STATE)])):
        raise DataError(f"Its counters cannot be read. {HINT}")
    if not isinstance(graph.get("groups"), list | None):
        raise DataError(f"Its groups cannot be read. {HINT}")


def _check_sockets(owner: Mapping[str, Any]) -> None:
    for side, key in (("inputs", "links"), ("outputs", "links"), ("inputs", "linkIds"), ("outputs", "linkIds")):
        sockets = owner.get(side)
        if sockets is not None and not (isinstance(sockets, list) and all(_is_socket(one, key) for one in sockets)):
            raise DataError(f"The {side} of node {str(owner.get('id'))[:40]} cannot be read. {HINT}")


def _is_socket(value: object, key: str) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get(key), list | None)
        and all(map(_is_number, value.get(key) or []))
        and _is_number(value.get("link"))
        and isinstance(value.get("name"), str | None)
    )


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_link(link: object) -> bool:
    if isinstance(link, dict) and all(name in link for name in LINK_FIELDS):
        values = [link[name] for name in LINK_FIELDS]
    elif isinstance(link, list) and len(link) >= len(LINK_FIELDS):
        values = link[: len(LINK_FIELDS)]
    else:
        return False
    number, origin, origin_slot, target, target_slot, _ = values
    return all(type(one) is int for one in (number, origin_slot, target_slot)) and _is_id(origin) and _is_id(target)


def _check_nesting(data: Json, definitions: Mapping[str, Json]) -> None:
    """Walk into the subgraphs; one that holds itself would never end."""
    known: dict[str, int] = {}

    def depth(graph: Json, path: tuple[str, ...]) -> int:
        if len(path) > MAX_NESTING:
            raise DataError(f"Its subgraphs lie more than {MAX_NESTING} deep within each other.")
        deepest = 0
        for key in dict.fromkeys(node["type"] for node in graph["nodes"] if node["type"] in definitions):
            if key in path:
                name = definitions[key].get("name") or key
                raise DataError(f"Its subgraph '{str(name)[:60]}' holds itself. Open it in ComfyUI and fix it.")
            if key not in known:
                known[key] = depth(definitions[key], (*path, key))
            deepest = max(deepest, known[key] + 1)
        return deepest

    depth(data, ())
