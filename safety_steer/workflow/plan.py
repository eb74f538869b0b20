"""What is to be done with every sampler of a workflow: steer it with the CLIP of its prompt, or leave it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import messages, reach
from .graph import BYPASSED, MUTED, Document, Graph, Json, Wire, inputs, is_kind, outputs
from .pack_nodes import APPLY, ON_CONDITIONING, ON_WAN_WRAPPER
from .packs import CHAIN, HIDDEN, OTHER_PROMPT, OWN_LOOP, OWN_MODEL, is_known_as
from .prompts import CONDITIONING, FromInside, FromOutside, Prompt, Source, distinct, read_prompt, used_with
from .reach import MODEL, WAN_TEXT, Place
from .samplers import GROUPED, GUIDER, Sampler, find_samplers
from .trace import Walker, is_pipe

STEER, STEERED, LEFT = "steer", "steered", "left alone"


@dataclass(frozen=True)
class Verdict:
    """One sampler and what becomes of it: `state`, the reason for people, and for STEER the source of its CLIP.

    `places` are where Apply goes; none for a sampler that takes on the model of another. `missed` says for people which prompts
    it reads that are not steered; empty when none.
    """

    sampler: Sampler
    state: str
    reason: str = ""
    source: Source | None = None
    walker: Walker | None = None
    places: tuple[Place, ...] = ()
    missed: str = ""


def plan(document: Document) -> list[Verdict]:
    """Judge everything that samples in a workflow, or may, in file order."""
    found = [_judge(document, sampler) for sampler in find_samplers(document)]
    return [_through(document, verdict, found) for verdict in found] + _group_nodes(document, found)


def _judge(document: Document, sampler: Sampler) -> Verdict:
    if (sampler.positive is None and sampler.pipe is None) or _is_foreign(sampler):
        return _judge_foreign(document, sampler)
    graph, walker = sampler.graph, Walker(document, live=False)
    fed = [(slot, wire) for slot in sampler.models if (wire := graph.source(sampler.socket(slot)))]
    pipe = graph.source(sampler.socket(sampler.pipe)) if sampler.pipe is not None else None
    if not fed and pipe is None:
        return Verdict(sampler, LEFT, reach.nothing_connected(sampler, next(iter(sampler.models), sampler.pipe or 0)))
    models = [wire for _, wire in fed] or [replace(pipe, member="model")] if pipe else [wire for _, wire in fed]
    steering = [_steering(document, graph, wire, MODEL, APPLY) for wire in models]
    positive = graph.source(sampler.socket(sampler.positive)) if sampler.positive is not None else None
    positive = positive or (replace(pipe, member="positive") if pipe else None)
    missed = reach.missed(document, sampler, models[0], positive) if positive else ""
    if all(steering):
        off = next(filter(_is_off, (node for nodes in steering for node in nodes)), None)
        reason = messages.switched_off(document, off) if off else messages.within(document, steering[0])
        return Verdict(sampler, STEERED, reason, missed=missed)
    if positive is None:
        return Verdict(sampler, LEFT, reach.nothing_connected(sampler, sampler.positive or 0))
    prompt = _steering(document, graph, positive, CONDITIONING, ON_CONDITIONING)
    if prompt and not any(map(_is_off, prompt)):
        return Verdict(sampler, STEERED, messages.within(document, prompt), missed=missed)
    if fed:
        places = tuple(Place(sampler.node, *one) for one, found in zip(fed, steering, strict=True) if not found)
    else:
        place = reach.supply(walker, sampler, models[0])
        if isinstance(place, str):
            return Verdict(sampler, LEFT, messages.TEXTS["in_pipe"].format(node=place))
        places = (place,)
    return _judge_prompt(document, Verdict(sampler, LEFT, places=places, missed=missed), positive)


def _judge_prompt(document: Document, verdict: Verdict, positive: Wire) -> Verdict:
    """Steer a sampler whose prompt has one CLIP; say why not for any other."""
    graph = verdict.sampler.graph
    for live in (True, False):
        walker = Walker(document, live)
        prompt = read_prompt(walker, graph, positive)
        sources = distinct(walker, graph, prompt.sources)
        reason = _obstacle(walker, graph, sources, prompt)
        if not reason:
            return replace(verdict, state=STEER, source=sources[0], walker=walker)
    return Verdict(verdict.sampler, LEFT, reason)


def _is_foreign(sampler: Sampler) -> bool:
    known = any(is_known_as(sampler.node["type"], kind) for kind in (OWN_LOOP, OWN_MODEL, OTHER_PROMPT, HIDDEN))
    return known or not (sampler.models or sampler.pipe is not None)


def _judge_foreign(document: Document, sampler: Sampler) -> Verdict:
    """Judge a sampler that a steered model does not reach: its prompts may be steered by hand."""
    graph = sampler.graph
    texts = [slot for slot, one in enumerate(inputs(sampler.node)) if is_kind(one, WAN_TEXT)]
    kind, type = (WAN_TEXT, ON_WAN_WRAPPER) if texts else (CONDITIONING, ON_CONDITIONING)
    wires = [graph.source(sampler.socket(slot)) for slot in texts or reach.prompt_inputs(sampler)]
    found = [_steering(document, graph, wire, kind, type) for wire in wires if wire]
    if found and all(nodes and not any(map(_is_off, nodes)) for nodes in found):
        return Verdict(sampler, STEERED, messages.within(document, found[0]))
    return Verdict(sampler, LEFT, reach.why_foreign(sampler))


def _through(document: Document, verdict: Verdict, found: list[Verdict]) -> Verdict:
    """Let a sampler be steered by the Apply that goes before another, where it takes that one's model on."""
    walker, graph = Walker(document, live=False), verdict.sampler.graph
    if is_guided(verdict.sampler):
        return _taken_over(walker, verdict, found, GUIDER)
    if verdict.state == STEERED or _is_foreign(verdict.sampler) or not verdict.sampler.models:
        return verdict
    if _is_chained(verdict.sampler):
        return _taken_over(walker, verdict, [one for one in found if not _is_chained(one.sampler)], "LATENT")
    places = [
        (other.sampler.graph, place)
        for other in found
        if other.state == STEER and other is not verdict
        for place in other.places
        if place.node is not verdict.sampler.node and any(is_kind(one, MODEL) or is_pipe(one) for one in outputs(place.node))
    ]
    wires = [wire for slot in verdict.sampler.models if (wire := graph.source(verdict.sampler.socket(slot)))]
    givers = [_giver(walker, verdict, wire, places) for wire in wires]
    if not givers or givers[0] is None or not all(givers):
        return verdict
    return Verdict(verdict.sampler, STEER, messages.through(givers[0]), missed=verdict.missed)


def _giver(walker: Walker, verdict: Verdict, wire: Wire, places: Sequence[tuple[Graph, Place]]) -> Json | None:
    """Return the node that an Apply goes before and a sampler's model comes through, by the very input the Apply leads to.

    None where there is no such node, or where its own model comes through the sampler: of a circle none would be steered.
    """
    for at, passed, node in walker.steps(verdict.sampler.graph, wire, MODEL) if places else ():
        here = [place for graph, place in places if graph is at and place.node is node]
        taken = [socket for socket, _ in walker.taken(at, passed, MODEL)] if here else []
        for place in here:
            is_taken = any(socket is inputs(node)[place.slot] for socket in taken) or walker.document.inside(node)
            if is_taken and all(one is not verdict.sampler.node for _, one in walker.upstream(at, place.wire, MODEL)):
                return node
    return None


def _is_chained(sampler: Sampler) -> bool:
    """Tell whether a sampler takes the model that is kept in the latent it is given."""
    fed = any(sampler.graph.is_fed(sampler.socket(slot)) for slot in sampler.models)
    return is_known_as(sampler.node["type"], CHAIN) and not fed


def is_guided(sampler: Sampler) -> bool:
    """Tell whether a sampler takes a guider, which has its model and its prompt, besides a model."""
    return sampler.positive is None and any(is_kind(one, GUIDER) and sampler.graph.is_fed(one) for one in inputs(sampler.node))


def _taken_over(walker: Walker, verdict: Verdict, found: list[Verdict], kind: str) -> Verdict:
    """Let a sampler be what another is, which it gets a latent or a guider from."""
    graph = verdict.sampler.graph
    wires = [wire for one in inputs(verdict.sampler.node) if is_kind(one, kind) and (wire := graph.source(one))]
    passed = [(at.key, node["id"]) for wire in wires for at, node in walker.upstream(graph, wire, kind)]
    first = {(one.sampler.graph.key, one.sampler.node["id"]): one for one in found}
    giver = next((first[place] for place in passed if place in first), None)
    if giver is None or giver.state == LEFT:
        return verdict
    return Verdict(verdict.sampler, giver.state, messages.through(giver.sampler.node), missed=giver.missed)


def _group_nodes(document: Document, found: Sequence[Verdict]) -> list[Verdict]:
    """Name the group nodes of older files that hold a sampler and its prompt: no Apply can be put into them."""
    extra = document.data.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    judged = {(verdict.sampler.graph.key, verdict.sampler.node["id"]) for verdict in found}
    named = []
    for graph in document.graphs.values() if isinstance(groups, dict) else ():
        for node in graph.nodes.values():
            kind, name = node["type"][: len(GROUPED[0])], node["type"][len(GROUPED[0]) :]
            held = (groups or {}).get(name) if kind in GROUPED else None
            nodes = held.get("nodes") if isinstance(held, dict) else None
            types = [one.get("type") for one in nodes if isinstance(one, dict)] if isinstance(nodes, list) else []
            samplers = [str(one) for one in types if any(word in str(one).lower() for word in ("sampler", "guider"))]
            if samplers and (graph.key, node["id"]) not in judged:
                text = messages.TEXTS["group_node"].format(nodes=", ".join(dict.fromkeys(samplers)))
                named.append(Verdict(Sampler(graph, node, (), None), LEFT, text))
    return named


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
    if not sources and prompt.hidden:
        return messages.TEXTS["prompt_in_pipe"].format(nodes=", ".join(dict.fromkeys(prompt.hidden)))
    if not sources and prompt.bare:
        return messages.TEXTS["no_clip"].format(nodes=", ".join(dict.fromkeys(prompt.bare)))
    if not sources:
        return messages.TEXTS["get_elsewhere"] if reach.reads_elsewhere(prompt.ends) else messages.no_text(prompt.ends)
    if len(sources) > 1:
        return messages.several_clips(len(sources))
    return _obstacle_within(walker, graph, sources[0])


def _obstacle_within(walker: Walker, graph: Graph, source: Source) -> str:
    """Look at every place a subgraph is used in, when its conditioning comes from outside."""
    if isinstance(source, FromInside):
        return _obstacle_within(walker, walker.document.graphs[source.graph], source.source)
    if not isinstance(source, FromOutside):
        return ""
    places = used_with(walker, graph, source)
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
