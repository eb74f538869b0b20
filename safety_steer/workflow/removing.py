"""Take safety steering out of a workflow: to the file it was added to, or, after other edits, by reconnecting the wires."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DataError
from . import api_format, messages
from .consistency import wrong_wires
from .editor import record
from .editor.blocks import blocks, is_block, reports_on_block
from .editor.edit import Editor, listed
from .files.wrapped import at, find_workflows, replaced
from .format_check import EDITOR, kind_of
from .graph import ENTRY, EXIT, Document, Graph, Json, Link, NodeId, Wire, inputs, named, outputs
from .pack_nodes import ALIGNED, DIRECTION, DRAWN, STEERING, SUPPLYING

OWN_TYPES = (*STEERING, *SUPPLYING)
ORIGIN, TARGET = ("origin_id", "origin_slot"), ("target_id", "target_slot")


@dataclass(frozen=True)
class Removal:
    """A workflow without steering, how many nodes went, and whether it is exactly the file from before `add`.

    `left` says for people which blocks stay in it; empty when none does.
    """

    data: Json
    nodes: int
    exact: bool
    left: str = ""


def remove(data: Json) -> Removal:
    """Return a workflow without the pack's steering nodes; `data` itself stays as it is.

    Where the record that `add` left still fits, the result is the original in every key. Otherwise each steering node
    is taken off its wire and what only served it goes too. A block stays whole: `add` makes none, so a user has placed it.
    Raises DataError for JSON that holds no workflow.
    """
    found = {place: _remove(at(data, place), kind) for place, kind in find_workflows(data).items()}
    return Removal(
        replaced(data, {place: one.data for place, one in found.items()}),
        sum(one.nodes for one in found.values()),
        all(one.exact for one in found.values()),
        "; ".join(one.left for one in found.values() if one.left),
    )


def _remove(data: Json, kind: str) -> Removal:
    """Take steering out of one workflow of a kind."""
    if kind != EDITOR:
        result, count = api_format.remove(data)
        return Removal(result, count, exact=True)
    original = Document(data)
    before, left = count_own(original), messages.blocks_stay(original, [node for _, node in blocks(original)])
    stripped, undo = record.split(data)
    restored = record.take_back(stripped, undo) if undo else None
    if restored is not None and _is_clean(restored, data):
        return Removal(restored, before, exact=True, left=left)
    document = Document(stripped)
    _Remover(document, Editor(document)).remove_all()
    return Removal(stripped, before - count_own(document), exact=False, left=left)


def count_own(document: Document) -> int:
    """Count the pack's steering nodes in a workflow, without blocks and what reports on them."""
    return sum(
        node["type"] in OWN_TYPES and not reports_on_block(document, graph, node)
        for graph in document.graphs.values()
        if not is_block(document, graph)
        for node in graph.nodes.values()
    )


def _is_clean(restored: Json, data: Json) -> bool:
    """Tell whether a restored workflow is without steering and sound, as a record can be from before other edits.

    Where there were none, the original comes back as it was, with the faults it had.
    """
    try:
        if kind_of(restored) != EDITOR:
            return False
    except DataError:
        return False
    document = Document(restored)
    return not count_own(document) and (
        record.is_untouched(data) or set(wrong_wires(document)) <= set(wrong_wires(Document(data)))
    )


@dataclass
class _Remover:
    """Takes nodes out of graphs and reconnects the wires around them."""

    document: Document
    editor: Editor

    def remove_all(self) -> None:
        """Take all steering out, one round after the other: what goes in one graph can leave something spare in another."""
        left = None
        while (now := self._left()) != left:
            left = now
            for graph in self.document.graphs.values():
                self._remove_from(graph)

    def _left(self) -> int:
        """Count the nodes and the sockets of subgraphs that there still are."""
        return sum(
            len(graph.nodes) + len(inputs(graph.data)) + len(outputs(graph.data)) for graph in self.document.graphs.values()
        )

    def _remove_from(self, graph: Graph) -> None:
        """Take steering out of one graph, as far as nothing outside of it needs it."""
        if is_block(self.document, graph):
            return
        steering = [node for node in graph.nodes.values() if node["type"] in STEERING]
        for node in [node for node in steering if not reports_on_block(self.document, graph, node)]:
            self._reconnect_around(graph, node)
            self._drop(graph, node)
        while spare := next((node for node in graph.nodes.values() if self._is_unused(graph, node)), None):
            self._drop(graph, spare)
        self._drop_spare_sockets(graph)

    def _reconnect_around(self, graph: Graph, node: Json) -> None:
        """Let the wire into a steering node end where the output it passed through led."""
        through = STEERING[node["type"]]
        slot_in = named(inputs(node), through.input)
        incoming = graph.link(inputs(node)[slot_in]) if slot_in is not None else None
        onward = [
            link for link in graph.leaving(node["id"]) if link["origin_slot"] == through.output and not _is_drawn(node, link)
        ]
        for link in sorted(onward, key=lambda link: -link["id"]):
            target, slot = link["target_id"], link["target_slot"]
            if incoming is not None and incoming["target_id"] == node["id"] and target != EXIT:
                self._cut(graph, link)
                inputs(node)[slot_in or 0]["link"] = None
                self.editor.move_end(graph, incoming, target, slot)
            elif incoming is not None:
                self._start_at(graph, link, incoming.wire)

    def _start_at(self, graph: Graph, link: Link, wire: Wire) -> None:
        """Let a link start at another wire. ComfyUI runs no link straight through a subgraph: its wires are led around it."""
        if wire.origin != ENTRY or link["target_id"] != EXIT:
            self.editor.move_start(graph, link, wire)
            return
        name = outputs(graph.data)[link["target_slot"]].get("name")
        for outer, node in self.document.places(graph):
            around = outer.into(node, str(inputs(graph.data)[wire.slot].get("name")))
            if around is None:
                continue
            slot = named(outputs(node), name)
            for onward in [one for one in outer.leaving(node["id"]) if one["origin_slot"] == slot]:
                self._start_at(outer, onward, around)
        self._cut(graph, link)

    def _is_unused(self, graph: Graph, node: Json) -> bool:
        """Tell whether a node only served steering: nothing takes what it gives."""
        passes = node["type"] == "Reroute" and any(socket.get("type") in (DIRECTION, ALIGNED) for socket in outputs(node))
        return (node["type"] in SUPPLYING or passes) and not graph.leaving(node["id"])

    def _drop(self, graph: Graph, node: Json) -> None:
        """Delete a node with its links, and the inputs of the subgraph that led to nothing else."""
        fed = [link["origin_slot"] for link in self._entering(graph, node["id"]) if link["origin_id"] == ENTRY]
        for link in [*self._entering(graph, node["id"]), *graph.leaving(node["id"])]:
            self._cut(graph, link)
        graph.data["nodes"].remove(node)
        del graph.nodes[node["id"]]
        for slot in sorted(set(fed), reverse=True):
            if not any(link["origin_id"] == ENTRY and link["origin_slot"] == slot for link in graph.links.values()):
                self._drop_socket(graph, "inputs", slot)
        for _, place in self.document.places(graph):
            proxies = (place.get("properties") or {}).get("proxyWidgets")
            if isinstance(proxies, list):
                proxies[:] = [one for one in proxies if not (isinstance(one, list) and one[:1] == [str(node["id"])])]

    def _drop_spare_sockets(self, graph: Graph) -> None:
        """Delete the sockets of a subgraph that carry a direction nobody takes."""
        for slot in _direction_slots(graph, "inputs"):
            if not any(link.wire == Wire(ENTRY, slot) for link in graph.links.values()):
                self._drop_socket(graph, "inputs", slot)
        for slot in _direction_slots(graph, "outputs"):
            name = outputs(graph.data)[slot].get("name")
            ends = [(outer, Wire(node["id"], named(outputs(node), name) or 0)) for outer, node in self.document.places(graph)]
            if not any(link.wire == wire for outer, wire in ends for link in outer.links.values()):
                for link in [one for one in self._entering(graph, EXIT) if one["target_slot"] == slot]:
                    self._cut(graph, link)
                self._drop_socket(graph, "outputs", slot)

    def _drop_socket(self, graph: Graph, side: str, slot: int) -> None:
        """Delete a socket of a subgraph, where it is used too, and move the links of later sockets up."""
        name = graph.data[side].pop(slot).get("name")
        within, around = (ORIGIN, TARGET) if side == "inputs" else (TARGET, ORIGIN)
        _move_up(graph, within, ENTRY if side == "inputs" else EXIT, slot)
        for outer, node in self.document.places(graph):
            index = named(node.get(side) or [], name)
            if index is None:
                continue
            for link in [one for one in outer.links.values() if (one[around[0]], one[around[1]]) == (node["id"], index)]:
                self._cut(outer, link)
            node[side].pop(index)
            _move_up(outer, around, node["id"], index)

    def _entering(self, graph: Graph, target: NodeId) -> list[Link]:
        return [link for link in graph.links.values() if link["target_id"] == target]

    def _cut(self, graph: Graph, link: Link) -> None:
        """Delete a link and every mention of it at its ends."""
        kept = listed(graph, link.wire)
        if link["id"] in kept:
            kept.remove(link["id"])
        if link["target_id"] == EXIT:
            (outputs(graph.data)[link["target_slot"]].get("linkIds") or []).remove(link["id"])
        elif link["target_id"] in graph.nodes:
            inputs(graph.nodes[link["target_id"]])[link["target_slot"]]["link"] = None
        graph.data["links"].remove(link.item)
        del graph.links[link["id"]]


def _is_drawn(node: Json, link: Link) -> bool:
    """Tell whether a steering node notes that the input its wire leads to had none before."""
    properties = node.get("properties")
    drawn = properties.get(DRAWN) if isinstance(properties, dict) else None
    return isinstance(drawn, list) and [link["target_id"], link["target_slot"]] in drawn


def _direction_slots(graph: Graph, side: str) -> list[int]:
    """Return the slots of a subgraph's sockets that carry a direction, the last first."""
    sockets = graph.data.get(side) or []
    return [slot for slot in reversed(range(len(sockets))) if sockets[slot].get("type") in (DIRECTION, ALIGNED)]


def _move_up(graph: Graph, end: tuple[str, str], owner: NodeId, slot: int) -> None:
    """Number the links of the sockets after a deleted one anew."""
    for link in graph.links.values():
        if link[end[0]] == owner and link[end[1]] > slot:
            link[end[1]] = link[end[1]] - 1
