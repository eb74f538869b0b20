"""Look up the queued graph: what comes before an input of a node, and which texts somebody typed there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..safety_steer.api_wires import wire

Graph = Mapping[str, Mapping[str, Any]]

TEXT_INPUTS = ("text", "prompt", "string", "value", "positive")


def before(graph: Graph, node: str | None, inputs: tuple[str, ...]) -> list[str]:
    """Return the nodes that lead to some inputs of a node, the nearest first; none for inputs without a wire."""
    start = graph.get(node or "", {}).get("inputs", {})
    waiting = [wire(start[name]) for name in inputs if name in start]
    found: dict[str, None] = {}
    while waiting:
        origin, waiting = waiting[0], waiting[1:]
        if origin is None or origin[0] in found or origin[0] not in graph:
            continue
        found[origin[0]] = None
        waiting += [wire(value) for value in graph[origin[0]].get("inputs", {}).values()]
    return list(found)


def typed_texts(graph: Graph, nodes: list[str]) -> list[str]:
    """Return the texts typed on some nodes, those in inputs that usually hold a prompt first; each once."""
    found = sorted(_typed(graph, nodes), key=lambda pair: not pair[0])
    return list(dict.fromkeys(text for _, text in found))


def typed_prompts(graph: Graph, nodes: list[str]) -> list[str]:
    """Return the texts typed on some nodes in inputs that usually hold a prompt; each once, none that is empty."""
    return list(dict.fromkeys(text for likely, text in _typed(graph, nodes) if likely and text.strip()))


def _typed(graph: Graph, nodes: list[str]) -> Iterator[tuple[bool, str]]:
    """Yield every text typed on some nodes, and whether its input usually holds a prompt."""
    for name in nodes:
        for key, value in graph[name].get("inputs", {}).items():
            if isinstance(value, str):
                yield any(word in key.lower() for word in TEXT_INPUTS), value
