"""Is a workflow sound? Ids, links, slots, counters and the lists of links that every socket keeps must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .editor.edit import listed
from .graph import EXIT, ROOT, Document, Graph, Json, Wire, inputs, outputs


def problems(data: Json) -> list[str]:
    """Return what is wrong with an editor workflow, one sentence each; none for a sound one."""
    document = Document(data)
    return [*wrong_wires(document), *_in_counters(document)]


def wrong_wires(document: Document) -> list[str]:
    """Return what is wrong with links, sockets and ids, counters left out."""
    return [f"{_where(graph)}{text}" for graph in document.graphs.values() for text in _in_graph(document, graph)]


def _where(graph: Graph) -> str:
    return "" if graph.key == ROOT else f"subgraph {graph.key}: "


def _in_graph(document: Document, graph: Graph) -> Iterator[str]:
    for link in graph.loose:
        yield f"link {link['id']} leads from or to a socket that is not there"
    for number in graph.links:
        yield from _in_link(graph, number)
    for node in graph.nodes.values():
        for slot, socket in enumerate(inputs(node)):
            end = graph.link(socket)
            if socket.get("link") is not None and (not end or (end["target_id"], end["target_slot"]) != (node["id"], slot)):
                yield f"input {slot} of node {node['id']} names link {socket['link']}, which does not end there"
        for slot, socket in enumerate(outputs(node)):
            for number in socket.get("links") or []:
                if number not in graph.links or (graph.links[number].wire != Wire(node["id"], slot)):
                    yield f"output {slot} of node {node['id']} lists link {number}, which does not start there"
        inner = document.inside(node)
        for sockets, own in ((inputs, "input"), (outputs, "output")):
            known = {socket.get("name") for socket in sockets(inner.data)} if inner else set()
            if inner and (extra := {socket.get("name") for socket in sockets(node)} - known):
                yield f"node {node['id']} has {own}s {sorted(map(str, extra))} that its subgraph lacks"


def _in_link(graph: Graph, number: int) -> Iterator[str]:
    """Compare one link with what the sockets at both of its ends say."""
    link = graph.links[number]
    if listed(graph, link.wire).count(number) != 1:
        yield f"link {number} is not listed where it starts, at slot {link['origin_slot']} of node {link['origin_id']}"
    target, slot = link["target_id"], link["target_slot"]
    ends = (
        (outputs(graph.data)[slot].get("linkIds") or []) if target == EXIT else [inputs(graph.nodes[target])[slot].get("link")]
    )
    if ends.count(number) != 1:
        yield f"link {number} is not listed where it ends, at slot {slot} of node {target}"


def _in_counters(document: Document) -> Iterator[str]:
    """Compare the highest ids with the counters new ids are counted up from."""
    for graph in document.graphs.values():
        state = graph.data.get("state") or {}
        nodes = graph.data.get("last_node_id", state.get("lastNodeId"))
        links = graph.data.get("last_link_id", state.get("lastLinkId"))
        for kind, counter, ids in (("node", nodes, list(graph.nodes)), ("link", links, list(graph.links))):
            highest = max((one for one in ids if isinstance(one, int)), default=0)
            if isinstance(counter, int) and counter < highest:
                yield f"{_where(graph)}the {kind} counter is {counter}, but there is {kind} {highest}"
    everywhere = Counter(one for graph in document.graphs.values() for one in graph.nodes)
    yield from (f"node id {one} is in {count} graphs" for one, count in everywhere.items() if count > 1)
