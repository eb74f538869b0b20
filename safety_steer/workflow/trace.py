"""Walking a workflow's wires backwards: through reroutes, switches, bypassed nodes and the edges of subgraphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .graph import BYPASSED, ENTRY, EXIT, MUTED, Document, Graph, Json, NodeId, Wire, inputs, is_kind, is_untold, named, outputs

GET, SET = "GetNode", "SetNode"
PASSING = ("Reroute", GET, SET)
"""Nodes that give what they get."""
PAIR = ("positive", "negative")


@dataclass(frozen=True)
class Walker:
    """Knows how a wire is continued behind a node. With `live`, muted nodes end a wire and bypassed ones pass it on."""

    document: Document
    live: bool = True

    def node(self, graph: Graph, wire: Wire) -> Json | None:
        """Return the node a wire starts at; None for the subgraph's own inputs, and for a node that is not there."""
        return graph.nodes.get(wire.origin)

    def off(self, node: Json) -> bool:
        """Tell whether a node does nothing: muted or bypassed."""
        return self.live and node.get("mode") in (MUTED, BYPASSED)

    def behind(self, graph: Graph, wire: Wire, kind: str) -> list[Wire]:
        """Return the wires of a type that go into the node a wire starts at, as far as they can become it."""
        node = self.node(graph, wire)
        if node is None or (self.live and node.get("mode") == MUTED):
            return []
        if self.live and node.get("mode") == BYPASSED:
            sockets = _passed_on(node, wire.slot, kind)
        elif node["type"] == GET:
            sockets = _set_sockets(graph, node)
        else:
            sockets = _feeding(graph, node, wire.slot, kind)
        return [source for source in map(graph.source, sockets) if source]

    def plain(self, graph: Graph, wire: Wire, kind: str, passing: Sequence[str] = PASSING) -> Wire:
        """Follow a wire to where it really starts within its graph: past bypassed nodes and those of the types `passing`."""
        seen = {wire}
        while (node := self.node(graph, wire)) and (self.off(node) or node["type"] in passing):
            further = self.behind(graph, wire, kind)
            if not further or further[0] in seen:
                return wire
            wire = further[0]
            seen.add(wire)
        return wire

    def outside(self, inner: Graph, slot: int, node: Json, outer: Graph) -> Wire | None:
        """Return what is connected to a subgraph's input, at one of the nodes that stand for it."""
        if not 0 <= slot < len(inputs(inner.data)):
            return None
        index = named(inputs(node), inputs(inner.data)[slot].get("name"))
        return outer.source(inputs(node)[index]) if index is not None else None

    def inner_wires(self, inner: Graph, node: Json, slot: int) -> list[Wire]:
        """Return what leads, inside a subgraph, to an output of the node that stands for it."""
        if not 0 <= slot < len(outputs(node)):
            return []
        index = named(outputs(inner.data), outputs(node)[slot].get("name"))
        return [link.wire for link in inner.links.values() if link["target_id"] == EXIT and link["target_slot"] == index]

    def upstream(self, graph: Graph, wire: Wire, kind: str) -> Iterator[tuple[Graph, Json]]:
        """Yield every node a wire of a type comes through, in all graphs."""
        waiting, seen = [(graph, wire)], set()
        while waiting:
            graph, wire = waiting.pop(0)
            if (graph.key, wire) in seen:
                continue
            seen.add((graph.key, wire))
            if wire.origin == ENTRY:
                sources = ((outer, self.outside(graph, wire.slot, node, outer)) for outer, node in self.document.places(graph))
                waiting += [(outer, source) for outer, source in sources if source]
                continue
            node = self.node(graph, wire)
            if node is None:
                continue
            yield graph, node
            inner = self.document.inside(node)
            if inner and not self.off(node):
                waiting += [(inner, source) for source in self.inner_wires(inner, node, wire.slot)]
            else:
                waiting += [(graph, source) for source in self.behind(graph, wire, kind)]


def _passed_on(node: Json, slot: int, kind: str) -> list[Json]:
    """Return the input that a bypassed node passes on: the one at the same place if it is of that type, or the first."""
    sockets = inputs(node)
    same = [socket for socket in sockets[slot : slot + 1] if is_kind(socket, kind)]
    return same or [socket for socket in sockets if is_kind(socket, kind)][:1]


def _feeding(graph: Graph, node: Json, slot: int, kind: str) -> list[Json]:
    """Return the linked inputs that an output is made from, positive from positive and negative from negative."""
    linked = [socket for socket in inputs(node) if socket.get("link") is not None]
    found = [socket for socket in linked if is_kind(socket, kind)]
    found = found or [socket for socket in linked if _open(graph, socket, kind)]
    sides = {one: [socket for socket in found if _half(socket) == one] for one in PAIR}
    return sides[_side(node, slot)] if kind == "CONDITIONING" and all(sides.values()) else found


def _side(node: Json, slot: int) -> str:
    """Say which of "positive" and "negative" an output belongs to, by its name or else its place."""
    sockets = outputs(node)
    by_name = [half for half in map(_half, sockets[slot : slot + 1]) if half]
    return by_name[0] if by_name else PAIR[sum(is_kind(socket, "CONDITIONING") for socket in sockets[:slot]) == 1]


def _half(socket: Json) -> str | None:
    """Return "positive" for a name such as "positive_pose" or "positive_A", "negative" likewise, and None for any other."""
    name = str(socket.get("name", "")).lower()
    return next((half for half in PAIR if name.startswith(half)), None)


def _open(graph: Graph, socket: Json, kind: str) -> bool:
    """Tell whether an input that takes any type has a wire of this type, or of an unknown one."""
    link = graph.link(socket)
    return link is not None and (link["type"] == kind or (is_untold(socket.get("type")) and is_untold(link["type"])))


def _set_sockets(graph: Graph, node: Json) -> list[Json]:
    """Return the inputs of the Set nodes that a Get node takes its value from, by the name both hold."""
    return [
        socket
        for other in graph.nodes.values()
        if other["type"] == SET and _key(other) is not None and _key(other) == _key(node)
        for socket in inputs(other)[:1]
    ]


def _key(node: Json) -> NodeId | None:
    values = node.get("widgets_values")
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else None
