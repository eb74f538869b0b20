"""What the window's scripts and `safety-steer add` make of a workflow, written down alike, so that both can be compared."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from safety_steer.workflow.graph import Graph
from safety_steer.workflow.pack_nodes import OWN_NODES, saved_node
from safety_steer.workflow.plan import STEER, Verdict
from safety_steer.workflow.prompts import FromInside, FromOutside, OwnClip, Source, clip_start
from safety_steer.workflow.trace import Walker

from ..workflows.sketch import Wiring

Json = dict[str, Any]


def new_nodes() -> str:
    """Return the JSON of a new node of each of the pack's types, which the stand-in for the editor makes nodes from."""
    return json.dumps({type: saved_node(type, 0, (0, 0), 0) for type in OWN_NODES})


def source_key(walker: Walker, graph: Graph, source: Source) -> str:
    """Name a source as the window's script does."""
    if isinstance(source, OwnClip):
        start = clip_start(walker, graph, source.wire)
        return f"clip {start.origin}.{start.slot}" + (f".{start.member}" if start.member else "")
    if isinstance(source, FromOutside):
        return f"outside {source.slot}" + (f".{source.member}" if source.member else "")
    assert isinstance(source, FromInside)
    return f"inside {source.node} {source_key(walker, walker.document.graphs[source.graph], source.source)}"


def written(verdict: Verdict) -> Json:
    """Write a verdict as the script does."""
    found = ""
    if verdict.source and verdict.walker:
        found = source_key(verdict.walker, verdict.sampler.graph, verdict.source)
    places = [f"{place.node['id']} {place.slot}" for place in verdict.places] if verdict.state == STEER else []
    return {
        "sampler": verdict.sampler.node["id"],
        "state": verdict.state,
        "reason": verdict.reason,
        "missed": verdict.missed,
        "source": found,
        "places": places,
    }


def outline(data: Json) -> Json:
    """Describe a workflow but for the ids and places of the pack's nodes: its sockets, and where every input comes from."""
    wiring = Wiring(data)

    def called(path: str) -> str:
        item = wiring.node(path)
        within = path.rpartition("/")[0]
        return f"{within}/{item['type']}({sources(path)})" if item["type"] in OWN_NODES else path

    def sources(path: str) -> str:
        found = {one["name"]: wiring.source(path, one["name"]) for one in wiring.node(path)["inputs"]}
        return ", ".join(f"{name}: {called(start[0])}.{start[1]}" for name, start in found.items() if start)

    holders = [
        (f"{path}{item['id']}", [one["name"] for one in item["inputs"]], [one["name"] for one in item["outputs"]])
        for path, (graph, _) in wiring.graphs.items()
        for item in graph["nodes"]
        if item["type"] in wiring.definitions
    ]
    return {
        "nodes": Counter(f"{called(path)}: {sources(path)}" for path, _ in wiring.nodes()),
        "holders": holders,
        "sockets": {
            path: [[(one["name"], one["type"]) for one in graph.get(end) or []] for end in ("inputs", "outputs")]
            for path, (graph, _) in wiring.graphs.items()
        },
    }
