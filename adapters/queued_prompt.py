"""Look up the queued graph: what comes before an input of a node, and which texts somebody typed there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
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


def same_inputs(graph: Graph, node: str) -> str:
    """Return a key that two nodes share when they do the same with the same inputs, whatever their ids."""
    known: dict[str, str] = {}
    waiting = [node]
    while waiting:
        name = waiting[-1]
        inputs = graph.get(name, {}).get("inputs", {})
        wires = {key: found for key, value in inputs.items() if (found := wire(value)) is not None}
        missing = [origin for origin, _ in wires.values() if origin not in known and origin not in waiting]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        told = [str(graph.get(name, {}).get("class_type"))]
        for key, value in sorted(inputs.items()):
            told += [key, f"{known.get(wires[key][0])} {wires[key][1]}" if key in wires else _told(value)]
        known[name] = sha256(json.dumps(told).encode()).hexdigest()
    return known[node]


def _told(value: Any) -> str:
    """Write down an input; nodes that put others into a graph give them values of any kind."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


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
