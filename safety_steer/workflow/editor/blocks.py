"""Blocks: subgraphs that hold steering and nothing else, such as the one in subgraphs/, whole or changed by a user."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Document, Graph, Json, inputs
from ..pack_nodes import REPORTING, SCORING, STEERING, SUPPLYING

NOTES = ("Note", "MarkdownNote", "Reroute")
"""What a block may hold besides steering: nodes that do nothing by themselves."""


def is_block(document: Document, graph: Graph) -> bool:
    """Tell whether a subgraph holds the pack's steering nodes and nothing else; blocks within it count as steering."""
    if graph is document.root:
        return False
    nodes = [node for node in graph.nodes.values() if node["type"] not in NOTES]
    return bool(nodes) and all(_steers(document, node) for node in nodes)


def _steers(document: Document, node: Json) -> bool:
    inner = document.inside(node)
    return is_block(document, inner) if inner else node["type"] in (*STEERING, *SUPPLYING)


def blocks(document: Document) -> Iterator[tuple[Graph, Json]]:
    """Yield every node that stands for a block, with the graph it lies in; blocks within blocks are part of those."""
    for graph in document.graphs.values():
        if not is_block(document, graph):
            for node in graph.nodes.values():
                inner = document.inside(node)
                if inner and is_block(document, inner):
                    yield graph, node


def reports_on_block(document: Document, graph: Graph, node: Json) -> bool:
    """Tell whether a node is a report or a score of what a block does."""
    if node["type"] not in (REPORTING, SCORING):
        return False
    origins = [graph.nodes.get(wire.origin) for socket in inputs(node) if (wire := graph.source(socket))]
    inner = [document.inside(origin) for origin in origins if origin]
    return any(is_block(document, one) for one in inner if one)
