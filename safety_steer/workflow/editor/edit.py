"""Changes to a workflow's graphs: new nodes, links and subgraph sockets, kept sound and counted up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from ...errors import DataError
from ..graph import ENTRY, EXIT, LINK_FIELDS, ROOT, Document, Graph, Json, Link, NodeId, Wire, inputs, outputs
from ..pack_nodes import saved_node

MAX_ID = 2**52  # by hand, below 2**53
"""The highest id of a node or a link that new ones are counted on from: the editor counts in floats."""
# The height of a socket on the canvas, in pixels: litegraph's own.
ROW = 20


@dataclass
class Editor:
    """Makes changes in a document. New ids are above all others, in the root and in every subgraph."""

    document: Document

    def __post_init__(self) -> None:
        """Find the highest ids."""
        graphs = [Graph(key, data) for key, data in self.document.definitions.items()] + [self.document.root]
        self.last_node = max(max(_numbers(graph.nodes), default=0) for graph in graphs)
        self.last_link = max(max(_numbers(graph.links), default=0) for graph in graphs)
        for graph in graphs:
            self.last_node = max(self.last_node, _counter(graph, "node"))
            self.last_link = max(self.last_link, _counter(graph, "link"), *(link["id"] for link in graph.loose))

    def add_node(self, graph: Graph, type: str, position: tuple[int, int]) -> Json:
        """Put a new node of the pack into a graph; raises DataError where ids end."""
        self.last_node = _next(self.last_node)
        order = 1 + max(_numbers(node.get("order") for node in graph.nodes.values()), default=-1)
        node = saved_node(type, self.last_node, position, order)
        graph.data["nodes"].append(node)
        graph.nodes[node["id"]] = node
        for one in (graph, self.document.root):
            _count(one, "node", self.last_node)
        return node

    def connect(self, graph: Graph, wire: Wire, target: NodeId, slot: int, kind: str) -> Link:
        """Lead a wire to an input of a node, or to an output of the subgraph (`EXIT`); raises DataError where ids end."""
        self.last_link = _next(self.last_link)
        values = (self.last_link, wire.origin, wire.slot, target, slot, kind)
        link = Link(dict(zip(LINK_FIELDS, values, strict=True)) if self._objects(graph) else list(values))
        graph.data["links"].append(link.item)
        graph.links[self.last_link] = link
        self._list_at_origin(graph, link)
        if target == EXIT:
            outputs(graph.data)[slot].setdefault("linkIds", []).append(self.last_link)
        else:
            inputs(graph.nodes[target])[slot]["link"] = self.last_link
        _count(graph, "link", self.last_link)
        return link

    def move_end(self, graph: Graph, link: Link, target: NodeId, slot: int) -> None:
        """Let a link end at another node's input."""
        link["target_id"], link["target_slot"] = target, slot
        inputs(graph.nodes[target])[slot]["link"] = link["id"]

    def move_start(self, graph: Graph, link: Link, wire: Wire) -> None:
        """Let a link start at another output."""
        kept = listed(graph, link.wire)
        if link["id"] in kept:
            kept.remove(link["id"])
        link["origin_id"], link["origin_slot"] = wire.origin, wire.slot
        self._list_at_origin(graph, link)

    def add_input(self, graph: Graph, name: str, kind: str) -> int:
        """Give a subgraph one more input, and the nodes that stand for it too; return its slot in the definition."""
        name = _unused(name, inputs(graph.data))
        sockets = graph.data.setdefault("inputs", [])
        sockets.append(_subgraph_socket(graph, "input", name, kind, sockets))
        for _, node in self.document.places(graph):
            node.setdefault("inputs", []).append({"name": name, "type": kind, "link": None})
        return len(sockets) - 1

    def add_output(self, graph: Graph, name: str, kind: str) -> int:
        """Give a subgraph one more output, and the nodes that stand for it too; return its slot in the definition."""
        name = _unused(name, outputs(graph.data))
        sockets = graph.data.setdefault("outputs", [])
        sockets.append(_subgraph_socket(graph, "output", name, kind, sockets))
        for _, node in self.document.places(graph):
            node.setdefault("outputs", []).append({"name": name, "type": kind, "links": None})
        return len(sockets) - 1

    def _objects(self, graph: Graph) -> bool:
        """Tell how links are written in a graph: as objects in subgraphs and version 1, as lists in older roots."""
        first = next(iter(graph.data["links"]), None)
        return isinstance(first, dict) if first is not None else graph.key != ROOT or self.document.data.get("version") == 1

    def _list_at_origin(self, graph: Graph, link: Link) -> None:
        wire = link.wire
        socket = inputs(graph.data)[wire.slot] if wire.origin == ENTRY else outputs(graph.nodes[wire.origin])[wire.slot]
        key = "linkIds" if wire.origin == ENTRY else "links"
        if socket.get(key) is None:
            socket[key] = []
        socket[key].append(link["id"])


def listed(graph: Graph, wire: Wire) -> list[int]:
    """Return the list of links that an output keeps; an empty one when there is none."""
    if wire.origin == ENTRY:
        return inputs(graph.data)[wire.slot].get("linkIds") or []
    return outputs(graph.nodes[wire.origin])[wire.slot].get("links") or []


def _next(number: int) -> int:
    """Return the id after one; the editor, which counts in floats, could not tell higher ones apart."""
    if number >= MAX_ID:
        raise DataError(f"It has a node or a link with an id of {MAX_ID:,} or more, after which ComfyUI cannot count on.")
    return number + 1


def _subgraph_socket(graph: Graph, side: str, name: str, kind: str, others: list[Json]) -> Json:
    number = uuid.uuid5(uuid.NAMESPACE_OID, f"{graph.key} {side} {name}")
    socket: Json = {"id": str(number), "name": name, "type": kind, "linkIds": []}
    place = others[-1].get("pos") if others else None
    if isinstance(place, list) and len(place) == 2 and isinstance(place[1], int | float):
        socket["pos"] = [place[0], place[1] + ROW]
    end = graph.data.get(f"{side}Node")
    bounding = end.get("bounding") if isinstance(end, dict) else None
    if isinstance(bounding, list) and len(bounding) == 4 and isinstance(bounding[3], int | float):
        bounding[3] += ROW
    return socket


def _unused(name: str, sockets: list[Json]) -> str:
    taken = {socket.get("name") for socket in sockets}
    return next(one for number in range(1, len(taken) + 2) if (one := name if number == 1 else f"{name}_{number}") not in taken)


def _numbers(values: object) -> list[int]:
    return [one for one in values if isinstance(one, int)]  # type: ignore[attr-defined]


def _counter(graph: Graph, kind: str) -> int:
    state = graph.data.get("state")
    found = (graph.data.get(f"last_{kind}_id"), state.get(f"last{kind.title()}Id") if isinstance(state, dict) else None)
    return max(_numbers(found), default=0)


def _count(graph: Graph, kind: str, number: int) -> None:
    """Raise the counter of a graph to an id in use, wherever the graph keeps it."""
    if isinstance(graph.data.get("state"), dict):
        key = f"last{kind.title()}Id"
        graph.data["state"][key] = max(number, graph.data["state"].get(key) or 0)
    if f"last_{kind}_id" in graph.data:
        graph.data[f"last_{kind}_id"] = max(number, graph.data[f"last_{kind}_id"] or 0)
