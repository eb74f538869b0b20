"""What is to be done with every sampler of a workflow: steer it with the CLIP of its prompt, or leave it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import messages
from .graph import BYPASSED, MUTED, Document, Graph, Json, Wire
from .pack_nodes import APPLY, ON_CONDITIONING
from .prompts import CONDITIONING, FromInside, FromOutside, Prompt, Source, distinct, read_prompt, used_with
from .samplers import Sampler, find_samplers
from .trace import Walker

STEER, STEERED, LEFT = "steer", "steered", "left alone"


@dataclass(frozen=True)
class Verdict:
    """One sampler and what becomes of it: `state`, the reason for people, and for STEER the source of its CLIP."""

    sampler: Sampler
    state: str
    reason: str = ""
    source: Source | None = None
    walker: Walker | None = None


def plan(document: Document) -> list[Verdict]:
    """Judge every sampler of a workflow, in file order."""
    return [_judge(document, sampler) for sampler in find_samplers(document)]


def _judge(document: Document, sampler: Sampler) -> Verdict:
    model, positive = (sampler.graph.source(sampler.socket(slot)) for slot in (sampler.model, sampler.positive))
    if model is None:
        return Verdict(sampler, LEFT, messages.nothing_connected(sampler.socket(sampler.model)))
    if steering := _steering(document, sampler.graph, model, "MODEL", APPLY):
        off = next(filter(_is_off, steering), None)
        return Verdict(sampler, STEERED, messages.switched_off(document, off) if off else messages.within(document, steering))
    if positive is None:
        return Verdict(sampler, LEFT, messages.nothing_connected(sampler.socket(sampler.positive)))
    steering = _steering(document, sampler.graph, positive, CONDITIONING, ON_CONDITIONING)
    if steering and not any(map(_is_off, steering)):
        return Verdict(sampler, STEERED, messages.within(document, steering))
    for live in (True, False):
        walker = Walker(document, live)
        prompt = read_prompt(walker, sampler.graph, positive)
        sources = distinct(walker, sampler.graph, prompt.sources)
        reason = _obstacle(walker, sampler.graph, sources, prompt)
        if not reason:
            return Verdict(sampler, STEER, source=sources[0], walker=walker)
    return Verdict(sampler, LEFT, reason)


def _steering(document: Document, graph: Graph, wire: Wire, kind: str, type: str) -> Sequence[Json]:
    """Return the steering node a wire comes through, and the subgraphs on the way to it, from the inside out.

    One that is switched on is preferred. Without any the result is empty.
    """
    passed = list(Walker(document, live=False).upstream(graph, wire, kind))
    found = [[node, *_around(document, passed, within)] for within, node in passed if node["type"] == type]
    return min(found, key=lambda nodes: any(map(_is_off, nodes)), default=())


def _around(document: Document, passed: Sequence[tuple[Graph, Json]], within: Graph) -> list[Json]:
    """Return the nodes that stand for a graph and for those around it, among the nodes that a wire comes through."""
    found: list[Json] = []
    while holders := [(graph, node) for graph, node in passed if document.inside(node) is within]:
        within, node = min(holders, key=lambda holder: _is_off(holder[1]))
        found.append(node)
    return found


def _is_off(node: Json) -> bool:
    return node.get("mode") in (MUTED, BYPASSED)


def _obstacle(walker: Walker, graph: Graph, sources: list[Source], prompt: Prompt) -> str:
    """Say why a prompt's CLIP cannot be used; empty when it can."""
    if not sources:
        return messages.no_text(prompt.ends)
    if len(sources) > 1:
        return messages.several_clips(len(sources))
    return _obstacle_within(walker, graph, sources[0])


def _obstacle_within(walker: Walker, graph: Graph, source: Source) -> str:
    """Look at every place a subgraph is used in, when its conditioning comes from outside."""
    if isinstance(source, FromInside):
        return _obstacle_within(walker, walker.document.graphs[source.graph], source.source)
    if not isinstance(source, FromOutside):
        return ""
    places = used_with(walker, graph, source.slot)
    for outer, _, sources in places:
        if not sources:
            return messages.no_text_outside(graph) if len(places) > 1 else messages.no_text(_ends(walker, graph, source.slot))
        if len(sources) > 1:
            return messages.several_clips(len(sources))
        if reason := _obstacle_within(walker, outer, sources[0]):
            return reason
    return ""


def _ends(walker: Walker, graph: Graph, slot: int) -> list[str]:
    """Return where the conditioning that comes into a subgraph starts, for the message that it is no text."""
    return [
        node["type"]
        for outer, place in walker.document.places(graph)
        if (wire := walker.outside(graph, slot, place, outer))
        for _, node in walker.upstream(outer, wire, CONDITIONING)
    ][-1:]
