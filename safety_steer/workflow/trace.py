"""Walking a workflow's wires backwards: through reroutes, switches, bypassed nodes and the edges of subgraphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .graph import BYPASSED, ENTRY, EXIT, MUTED, Document, Graph, Json, Wire, inputs, is_kind, is_untold, named, outputs
from .packs import CARRIERS, FIRST, FROM_AROUND, GETS, LAST, PASSES, PIPE, SETS, TABLE, TEXTS, is_known_as, member

PASSING = ("Reroute", *(name for pack in TABLE["packs"] for kind in (GETS, SETS) for name in pack["nodes"].get(kind, ())))
"""Nodes that give what they get."""
PAIR = ("positive", "negative")
MEMBERS = {"MODEL": "model", "CLIP": "clip", "CONDITIONING": "positive"}
"""What a pipe is asked for where the name of an output does not tell."""


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
        sockets, node = self.taken(graph, wire, kind), self.node(graph, wire)
        if not sockets and node is not None and not self.off(node) and is_known_as(node["type"], GETS):
            if (name := _key(node)) is not None and self._is_set_around(graph, node, name):
                return [replace(graph.borrow(name), member=wire.member)]
        return [replace(source, member=asked) for socket, asked in sockets if (source := graph.source(socket))]

    def taken(self, graph: Graph, wire: Wire, kind: str) -> list[tuple[Json, str]]:
        """Return the inputs that become a wire, of the node it starts at or of those that keep it, and what each is asked."""
        node = self.node(graph, wire)
        if node is None or (self.live and node.get("mode") == MUTED):
            return []
        if self.live and node.get("mode") == BYPASSED:
            carried = outputs(node)[wire.slot].get("type") if wire.member and wire.slot < len(outputs(node)) else kind
            return [(socket, wire.member) for socket in _passed_on(node, wire.slot, str(carried))]
        if is_known_as(node["type"], GETS):
            return [(socket, wire.member) for socket in set_sockets(graph, _key(node))]
        return list(_feeding(graph, node, wire, kind))

    def plain(self, graph: Graph, wire: Wire, kind: str, passing: Sequence[str] = PASSING) -> Wire:
        """Follow a wire to where it really starts within its graph: past bypassed nodes and those of the types `passing`."""
        seen = {wire}
        while (node := self.node(graph, wire)) and (
            wire.member or self.off(node) or node["type"] in passing or passes_on(graph, node, wire.slot, kind)
        ):
            further = self.behind(graph, wire, kind)
            if not further or further[0] in seen:
                return wire
            wire = further[0]
            seen.add(wire)
        return wire

    def outside(self, inner: Graph, slot: int, node: Json, outer: Graph) -> Wire | None:
        """Return what is connected to a subgraph's input, at one of the nodes that stand for it."""
        if -len(inner.borrowed) <= slot < 0:
            return self._from_around(outer, inner.borrowed[-1 - slot])
        if not 0 <= slot < len(inputs(inner.data)):
            return None
        index = named(inputs(node), inputs(inner.data)[slot].get("name"))
        return outer.source(inputs(node)[index]) if index is not None else None

    def _from_around(self, graph: Graph, name: str) -> Wire | None:
        """Return what is kept under a name in a graph, or else in those around it."""
        if sockets := set_sockets(graph, name):
            return graph.source(sockets[0])
        return graph.borrow(name) if self.document.places(graph) else None

    def _is_set_around(self, graph: Graph, node: Json, name: str) -> bool:
        """Tell whether a Get of this type finds a name in a graph around its own."""
        places = self.document.places(graph) if is_known_as(node["type"], FROM_AROUND) else []
        outer = {one.key: one for one, _ in places}
        return any(set_sockets(one, name) or self._is_set_around(one, node, name) for one in outer.values())

    def inner_wires(self, inner: Graph, node: Json, slot: int) -> list[Wire]:
        """Return what leads, inside a subgraph, to an output of the node that stands for it."""
        if not 0 <= slot < len(outputs(node)):
            return []
        index = named(outputs(inner.data), outputs(node)[slot].get("name"))
        return [link.wire for link in inner.links.values() if link["target_id"] == EXIT and link["target_slot"] == index]

    def upstream(self, graph: Graph, wire: Wire, kind: str) -> Iterator[tuple[Graph, Json]]:
        """Yield every node a wire of a type comes through, in all graphs."""
        return ((at, node) for at, _, node in self.steps(graph, wire, kind))

    def steps(self, graph: Graph, wire: Wire, kind: str) -> Iterator[tuple[Graph, Wire, Json]]:
        """Yield every node a wire of a type comes through, in all graphs, with the wire that it comes out by."""
        waiting, seen = [(graph, wire)], set()
        while waiting:
            graph, wire = waiting.pop(0)
            if (graph.key, wire) in seen:
                continue
            seen.add((graph.key, wire))
            if wire.origin == ENTRY:
                sources = ((outer, self.outside(graph, wire.slot, node, outer)) for outer, node in self.document.places(graph))
                waiting += [(outer, replace(source, member=wire.member)) for outer, source in sources if source]
                continue
            node = self.node(graph, wire)
            if node is None:
                continue
            yield graph, wire, node
            inner = self.document.inside(node)
            if inner and not self.off(node):
                found = self.inner_wires(inner, node, wire.slot)
                waiting += [(inner, replace(source, member=wire.member)) for source in found]
            else:
                waiting += [(graph, source) for source in self.behind(graph, wire, kind)]


def _passed_on(node: Json, slot: int, kind: str) -> list[Json]:
    """Return the input that a bypassed node passes on: the one at the same place if it is of that type, or the first."""
    sockets = inputs(node)
    same = [socket for socket in sockets[slot : slot + 1] if is_kind(socket, kind)]
    return same or [socket for socket in sockets if is_kind(socket, kind)][:1]


def _feeding(graph: Graph, node: Json, wire: Wire, kind: str) -> Iterator[tuple[Json, str]]:
    """Yield the linked inputs that an output is made from, and what is asked of each that is a pipe.

    Positive is made from positive and negative from negative; what leaves a pipe from the input of its name, or from a pipe.
    """
    linked = [socket for socket in inputs(node) if graph.is_fed(socket)]
    pipes = _pipes_given(
        graph, node, [socket for socket in linked if is_pipe(socket)], wire.member or _asked(node, wire.slot, kind)
    )
    found = [socket for socket in linked if is_kind(socket, kind)]
    if kind == "CONDITIONING" and not found and not wire.member:
        found = [socket for socket in linked if any(is_kind(socket, one) for one in TEXTS)]
    if wire.member:
        named_so = [socket for socket in found if member(socket.get("name")) == wire.member]
        if named_so or not pipes:
            open_ends = [socket for socket in linked if is_untold(socket.get("type"))]
            yield from ((socket, "") for socket in named_so or (found[:1] if wire.member in MEMBERS.values() else []))
            yield from ((socket, wire.member) for socket in open_ends if not found)
            return
    elif found or not pipes:
        yield from ((socket, "") for socket in _of_side(node, wire.slot, kind, found or _open_inputs(graph, node, wire, kind)))
        return
    yield from ((socket, wire.member or _asked(node, wire.slot, kind)) for socket in pipes)


def _pipes_given(graph: Graph, node: Json, pipes: list[Json], asked: str) -> list[Json]:
    """Return the pipes that a node gives: of a switch the first, of a merge the last one that has what is asked of it.

    A refiner's pipe is never given beside another.
    """
    base = [socket for socket in pipes if "refiner" not in str(socket.get("name"))] or pipes
    if is_known_as(node["type"], LAST):
        return [socket for socket in reversed(base) if _has(graph, graph.source(socket), asked)][:1] or base[-1:]
    return base[:1] if is_known_as(node["type"], FIRST) else base


def _has(graph: Graph, wire: Wire | None, asked: str) -> bool:
    """Tell whether a pipe has a value of a name: put in by a node, or, where no pipe comes into the node, made there."""
    waiting, seen = [wire], set()
    while waiting:
        if (at := waiting.pop()) is None:
            continue
        if (node := graph.nodes.get(at.origin)) is None:
            return True
        if node["id"] in seen:
            continue
        seen.add(node["id"])
        linked = [socket for socket in inputs(node) if graph.is_fed(socket)]
        pipes = [socket for socket in linked if is_pipe(socket)]
        if any(member(socket.get("name")) == asked for socket in linked) or not (pipes or is_known_as(node["type"], PIPE)):
            return True
        waiting += [graph.source(socket) for socket in pipes]
    return False


def _open_inputs(graph: Graph, node: Json, wire: Wire, kind: str) -> list[Json]:
    """Return the inputs of any type that can become an output of a type; of a node that passes on each by name, that one."""
    found = [socket for socket in inputs(node) if graph.is_fed(socket) and _open(graph, socket, kind)]
    if is_known_as(node["type"], PASSES):
        names = [socket.get("name") for socket in outputs(node)[wire.slot : wire.slot + 1]]
        return [socket for socket in found if socket.get("name") in names]
    return found[:1] if is_known_as(node["type"], FIRST) else found


def _of_side(node: Json, slot: int, kind: str, found: list[Json]) -> list[Json]:
    sides = {one: [socket for socket in found if _half(socket) == one] for one in PAIR}
    return sides[_side(node, slot)] if kind == "CONDITIONING" and all(sides.values()) else found


def is_pipe(socket: Json) -> bool:
    """Tell whether a socket takes or gives a pipe or a context, which carries a model and a prompt."""
    return any(is_kind(socket, carrier) for carrier in CARRIERS)


def passes_on(graph: Graph, node: Json, slot: int, kind: str) -> bool:
    """Tell whether a node gives what is in a pipe that comes into it, or one of the inputs that it passes on by name."""
    given = [socket for socket in outputs(node)[slot : slot + 1] if is_kind(socket, kind) or is_untold(socket.get("type"))]
    linked = [socket for socket in inputs(node) if graph.is_fed(socket)]
    if is_known_as(node["type"], PASSES) or is_known_as(node["type"], FIRST):
        return bool(given)
    return bool(given) and any(map(is_pipe, linked)) and not any(is_kind(socket, kind) for socket in linked)


def _asked(node: Json, slot: int, kind: str) -> str:
    """Return what an output asks of a pipe: what it is called, or else what its type is for."""
    names = [member(socket.get("name")) for socket in outputs(node)[slot : slot + 1]]
    return names[0] if names and names[0] not in ("", kind.lower()) else MEMBERS.get(kind, kind.lower())


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
    if link is None:
        return (wire := graph.source(socket)) is not None and (is_untold(given := _type_at(graph, wire)) or given == kind)
    told = _type_at(graph, link.wire) if is_untold(link["type"]) else link["type"]
    return told == kind or (is_untold(socket.get("type")) and is_untold(told))


def _type_at(graph: Graph, wire: Wire) -> object:
    """Return the type of the output that a wire starts at."""
    sockets = inputs(graph.data) if wire.origin == ENTRY else outputs(graph.nodes.get(wire.origin, {}))
    return sockets[wire.slot].get("type") if wire.slot in range(len(sockets)) else None


def set_sockets(graph: Graph, name: str | None) -> list[Json]:
    """Return the inputs of the Set nodes that keep something under a name."""
    return [
        socket
        for other in graph.nodes.values()
        if name is not None and is_known_as(other["type"], SETS) and _key(other) == name
        for socket in inputs(other)[:1]
    ]


def _key(node: Json) -> str | None:
    values = node.get("widgets_values")
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else None
