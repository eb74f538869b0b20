"""Is this JSON a workflow, and which kind? Everything the other modules take for granted is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from .graph import ENTRY, EXIT, LINK_FIELDS, Json, nested_definitions

EDITOR, API = "editor", "api"
VERSIONS = (0.4, 1)  # of ComfyUI's editor
STATE = ("lastNodeId", "lastLinkId")
COUNTERS = ("last_node_id", "last_link_id")
MAX_NODES = 20_000  # by hand
MAX_NESTING = 32  # by hand
MAX_USED = 100_000  # by hand; nodes, those of a subgraph counted wherever it is used, as ComfyUI does it to run them
MAX_LINKS = 200_000  # by hand
HINT = "Give a file that ComfyUI has saved or exported."


def kind_of(data: object) -> str:
    """Return EDITOR or API; raises DataError for anything that is not a workflow this version reads."""
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        _check_editor(data)
        return EDITOR
    if isinstance(data, dict) and any(map(is_api_node, data.values())):
        _check_api(data)
        return API
    raise DataError(f"This is not a ComfyUI workflow. {HINT}")


def looks_like_workflow(data: object) -> bool:
    """Tell whether JSON is meant as a workflow, sound or not."""
    return isinstance(data, dict) and (isinstance(data.get("nodes"), list) or any(map(is_api_node, data.values())))


def is_api_node(value: object) -> bool:
    """Tell whether an entry of a file is a node in the API format."""
    return isinstance(value, dict) and isinstance(value.get("class_type"), str) and isinstance(value.get("inputs"), dict)


def api_nodes(data: Json) -> dict[str, Json]:
    """Return the nodes of a workflow in the API format, without what people keep beside them, such as `_meta` or `version`."""
    return {key: value for key, value in data.items() if isinstance(value, dict) and "class_type" in value}


def _check_api(data: Json) -> None:
    if (count := len(api_nodes(data))) > MAX_NODES:
        raise DataError(f"It has {count:,} nodes; at most {MAX_NODES:,} are read.")
    for key, value in data.items():
        node = value if isinstance(value, dict) else {}
        meant = key.replace(":", "").isdecimal() or (isinstance(node.get("inputs"), dict) and not key.startswith("_"))
        if "class_type" in node or meant:
            if not isinstance(node.get("class_type"), str):
                raise DataError(f"Its node '{key[:40]}' has no class_type that is a text. {HINT}")
            if not isinstance(node.get("inputs"), dict | None):
                raise DataError(f"The inputs of its node '{key[:40]}' cannot be read. {HINT}")


def _check_editor(data: Json) -> None:
    if data.get("version", VERSIONS[0]) not in VERSIONS:
        raise DataError(
            f"It is saved in workflow version {str(data['version'])[:20]}, and this Safety Steer reads {VERSIONS[0]} and "
            f"{VERSIONS[1]}. Update Safety Steer."
        )
    graphs = [data, *_definitions(data)]
    if (count := sum(len(graph["nodes"]) for graph in graphs if isinstance(graph.get("nodes"), list))) > MAX_NODES:
        raise DataError(f"It has {count:,} nodes; at most {MAX_NODES:,} are read.")
    if (count := sum(len(graph["links"]) for graph in graphs if isinstance(graph.get("links"), list))) > MAX_LINKS:
        raise DataError(f"It has {count:,} links; at most {MAX_LINKS:,} are read.")
    for graph in graphs:
        _check_graph(graph)
    _check_nesting(data, {graph["id"]: graph for graph in graphs[1:]})


def _definitions(data: Json) -> list[Json]:
    try:
        found = list(nested_definitions(data))
    except (AttributeError, TypeError) as error:
        raise DataError(f"Its subgraph definitions (the key 'definitions') cannot be read. {HINT}") from error
    for place, graph in enumerate(found):
        if not isinstance(graph.get("id"), str) or not graph["id"]:
            raise DataError(f"One of its subgraphs has no id: {_named(graph, place)}. {HINT}")
    return found


def _check_graph(graph: Mapping[str, Any]) -> None:
    """Check nodes, links and sockets of one graph; what they say may still be wrong, and is judged where it matters."""
    for key in ("nodes", "links"):
        if not isinstance(graph.get(key), list):
            raise DataError(
                f"Its {key} cannot be read: the key '{key}' {'is no list' if key in graph else 'is missing'}. {HINT}"
            )
    seen: set[int | str] = set()
    for place, node in enumerate(graph["nodes"]):
        if not isinstance(node, dict) or not _is_id(node.get("id")) or not isinstance(node.get("type"), str):
            raise DataError(f"One of its nodes has no id or no type: {_named(node, place)}. {HINT}")
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
    counters = {key: graph.get(key) for key in COUNTERS}
    counters |= {key: state.get(key) for key in STATE} if isinstance(state, dict) else {"state": state}
    for key, value in counters.items():
        if not _is_number(value):
            raise DataError(f"Its counters cannot be read: the key '{key}' is {str(value)[:40]}. {HINT}")
    if not isinstance(graph.get("groups"), list | None):
        raise DataError(f"Its groups cannot be read: the key 'groups' is no list. {HINT}")


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


def _named(item: object, place: int) -> str:
    """Say which node or subgraph is meant, by what it says of itself."""
    said = (
        [f"{key} {str(item[key])[:40]}" for key in ("id", "type", "name", "title") if item.get(key)]
        if isinstance(item, dict)
        else []
    )
    return ", ".join([f"number {place + 1} in the file", *said])


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
    """Walk into the subgraphs: one that holds itself would never end, and some that hold each other twice not soon."""
    known: dict[str, int] = {}

    def used(graph: Json, path: tuple[str, ...]) -> int:
        if len(path) > MAX_NESTING:
            raise DataError(f"Its subgraphs lie more than {MAX_NESTING} deep within each other.")
        count = len(graph["nodes"])
        for key in (node["type"] for node in graph["nodes"] if node["type"] in definitions):
            if key in path:
                name = definitions[key].get("name") or key
                raise DataError(f"Its subgraph '{str(name)[:60]}' holds itself. Open it in ComfyUI and fix it.")
            if key not in known:
                known[key] = used(definitions[key], (*path, key))
            count += known[key]
        return count

    if (count := used(data, ())) > MAX_USED:
        raise DataError(
            f"It has {count:,} nodes, those of subgraphs counted wherever they are used; at most {MAX_USED:,} are read."
        )
