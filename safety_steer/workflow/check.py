"""Is a workflow sound? Ids, links, slots, counters and the lists of links that every socket keeps must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .graph import ENTRY, EXIT, ROOT, Document, Graph, Json, Wire, inputs, outputs


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
    for kind, ids in (
        ("node", [node["id"] for node in graph.data["nodes"]]),
        ("link", [link["id"] for link in graph.links.values()]),
    ):
        yield from (f"{kind} id {one} is used {count} times" for one, count in Counter(ids).items() if count > 1)
    if len(graph.links) != len(graph.data["links"]):
        yield "a link id is used twice"
    for link in graph.links.values():
        yield from _in_link(graph, link["id"])
    for node in graph.nodes.values():
        for slot, socket in enumerate(inputs(node)):
            number = socket.get("link")
            link = graph.links.get(number)
            if number is not None and (link is None or (link["target_id"], link["target_slot"]) != (node["id"], slot)):
                yield f"input {slot} of node {node['id']} names link {number}, which does not end there"
        for slot, socket in enumerate(outputs(node)):
            for number in socket.get("links") or []:
                if number not in graph.links or (graph.links[number].wire != Wire(node["id"], slot)):
                    yield f"output {slot} of node {node['id']} lists link {number}, which does not start there"
        inner = document.inside(node)
        for sockets, own in ((inputs, "input"), (outputs, "output")):
            known = {socket["name"] for socket in sockets(inner.data)} if inner else set()
            if inner and (extra := {socket["name"] for socket in sockets(node)} - known):
                yield f"node {node['id']} has {own}s {sorted(extra)} that its subgraph lacks"


def _in_link(graph: Graph, number: int) -> Iterator[str]:
    """Compare one link with the sockets at both of its ends."""
    link = graph.links[number]
    for end, other in (("origin", outputs), ("target", inputs)):
        owner, slot = link[f"{end}_id"], link[f"{end}_slot"]
        if owner in (ENTRY, EXIT) and graph.key != ROOT:
            sockets = inputs(graph.data) if owner == ENTRY else outputs(graph.data)
        elif owner in graph.nodes:
            sockets = other(graph.nodes[owner])
        else:
            yield f"the {end} of link {number} is node {owner}, which is not there"
            continue
        if not 0 <= slot < len(sockets):
            yield f"the {end} of link {number} is slot {slot} of node {owner}, which is not there"
            continue
        socket = sockets[slot]
        listed = socket.get("linkIds") if owner in (ENTRY, EXIT) else socket.get("links") if end == "origin" else [socket["link"]]
        if list(listed or []).count(number) != 1:
            yield f"link {number} is not in the list of its {end}, slot {slot} of node {owner}"


def _in_counters(document: Document) -> Iterator[str]:
    """Compare the highest ids with the counters new ids are counted up from."""
    for graph in document.graphs.values():
        state = graph.data.get("state") or {}
        nodes = graph.data.get("last_node_id", state.get("lastNodeId"))
        links = graph.data.get("last_link_id", state.get("lastLinkId"))
        for kind, counter, ids in (("node", nodes, graph.nodes), ("link", links, graph.links)):
            highest = max((one for one in ids if isinstance(one, int)), default=0)
            if isinstance(counter, int) and counter < highest:
                yield f"{_where(graph)}the {kind} counter is {counter}, but there is {kind} {highest}"
    ids = Counter(one for graph in document.graphs.values() for one in graph.nodes)
    yield from (f"node id {one} is in {count} graphs" for one, count in ids.items() if count > 1)
