"""What steering reaches: where a model that comes in a pipe is put into it, and which prompts a steered model does not read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import messages
from .graph import Document, Graph, Json, Wire, inputs, is_kind, outputs
from .pack_nodes import PACK_NODES
from .packs import BROADCASTS, GETS, HIDDEN, NO_PROMPT, OWN_MODEL, PROMPT_BESIDE, PROMPT_IN_MODEL, is_known_as, member
from .samplers import NEGATIVE, REFINER, Sampler
from .trace import Walker, is_pipe

MODEL, CONDITIONING = "MODEL", "CONDITIONING"
WAN_TEXT = "WANVIDEOTEXTEMBEDS"


@dataclass(frozen=True)
class Place:
    """An input that Apply goes before, and the wire that leads to it, or will."""

    node: Json
    slot: int
    wire: Wire


def supply(walker: Walker, sampler: Sampler, pipe: Wire) -> Place | str:
    """Return where a model is put into the pipe that a sampler takes; the type of the node that hides it, if there is no place.

    A loader that makes the pipe of a model it loads also gives that model: then the place is the sampler's own model input.
    """
    graph, wire = sampler.graph, replace(pipe, member="model")
    seen: set[Wire] = set()
    while wire not in seen:
        seen.add(wire)
        node = walker.node(graph, wire)
        if node is None:
            return graph.name or "it"
        further = walker.behind(graph, wire, MODEL)
        if not further:
            given = [slot for slot, socket in enumerate(outputs(node)) if is_kind(socket, MODEL)]
            return (
                Place(sampler.node, sampler.models[0], Wire(node["id"], given[0])) if given and sampler.models else node["type"]
            )
        if not further[0].member:
            slot = next(
                slot for slot, one in enumerate(inputs(node)) if is_kind(one, MODEL) and graph.source(one) == further[0]
            )
            return Place(node, slot, further[0])
        wire = further[0]
    return graph.name or "it"


def prompt_inputs(sampler: Sampler) -> list[int]:
    """Return the slots of conditioning that a sampler is given and that is not negative by its name."""
    return [
        slot
        for slot, one in enumerate(inputs(sampler.node))
        if is_kind(one, CONDITIONING)
        and sampler.graph.is_fed(one)
        and not member(one.get("name")).startswith(NEGATIVE)
        and not member(one.get("name")).endswith(NEGATIVE)
    ]


def why_foreign(sampler: Sampler) -> str:
    """Say why a sampler of the table is not steered by its model, and what can be done."""
    if any(is_kind(one, MODEL) for one in inputs(sampler.node)) and not is_known_as(sampler.node["type"], OWN_MODEL):
        return messages.prompt_elsewhere([messages.name_of(sampler.socket(slot)) for slot in prompt_inputs(sampler)])
    if any(is_kind(one, WAN_TEXT) for one in inputs(sampler.node)):
        return messages.TEXTS["own_model_wan"]
    if is_known_as(sampler.node["type"], HIDDEN):
        return messages.TEXTS["hidden"]
    return messages.TEXTS["own_model_conditioning" if prompt_inputs(sampler) else "own_model"]


def missed(document: Document, sampler: Sampler, model: Wire, prompt: Wire) -> str:
    """Say which prompts go to a sampler past its steered one; empty when none does."""
    walker = Walker(document)
    inside = [
        node["type"] for graph, node in walker.upstream(sampler.graph, model, MODEL) if _holds_prompt(walker, graph, node)
    ]
    beside = [
        node["type"]
        for _, node in walker.upstream(sampler.graph, prompt, CONDITIONING)
        if is_known_as(node["type"], PROMPT_BESIDE) and not walker.off(node)
    ]
    found = [sampler.socket(slot) for slot in prompt_inputs(sampler) if slot != sampler.positive]
    pipes = [one for one in inputs(sampler.node) if is_pipe(one) and sampler.graph.is_fed(one)]
    refiners = _refiners(walker, sampler.graph, model) if model.member else []
    refiners += [one for one in inputs(sampler.node) if is_kind(one, MODEL) and _is_refiner(one) and sampler.graph.is_fed(one)]
    names = [messages.name_of(one) for one in (*found, *pipes[1:], *refiners, *_other_models(document, sampler, model))]
    return messages.missed(inside, beside, names)


def _refiners(walker: Walker, graph: Graph, pipe: Wire) -> list[Json]:
    """Return the inputs by which a refiner's pipe comes into one that a sampler takes."""
    found = [(at, one) for at, node in walker.upstream(graph, pipe, MODEL) for one in inputs(node)]
    return [one for at, one in found if is_pipe(one) and at.is_fed(one) and _is_refiner(one)]


def _is_refiner(socket: Json) -> bool:
    return REFINER in str(socket.get("name"))


def _other_models(document: Document, sampler: Sampler, model: Wire) -> list[Json]:
    """Return the inputs by which models besides the steered one come into the pipe that a sampler takes."""
    place = supply(Walker(document, live=False), sampler, model) if model.member else ""
    if isinstance(place, str):
        return []
    return [
        one
        for slot, one in enumerate(inputs(place.node))
        if is_kind(one, MODEL) and sampler.graph.is_fed(one) and slot != place.slot
    ]


def _holds_prompt(walker: Walker, graph: Graph, node: Json) -> bool:
    """Tell whether a node takes a prompt and gives only a model: the prompt is in it."""
    if walker.off(node) or walker.document.inside(node) or node["type"] in PACK_NODES or is_known_as(node["type"], NO_PROMPT):
        return False
    takes = any(is_kind(one, CONDITIONING) and graph.is_fed(one) for one in inputs(node))
    kinds = [one.get("type") for one in outputs(node)]
    return is_known_as(node["type"], PROMPT_IN_MODEL) or (takes and bool(kinds) and all(kind == MODEL for kind in kinds))


def nothing_connected(sampler: Sampler, slot: int) -> str:
    """Say why an input has no wire: none is drawn, the file lacks it, or a node fills it only when the workflow runs."""
    socket = sampler.socket(slot)
    sources = [node["type"] for node in sampler.graph.nodes.values() if is_known_as(node["type"], BROADCASTS)]
    if socket.get("link") is None and sources:
        return messages.TEXTS["broadcast"].format(name=messages.name_of(socket), nodes=", ".join(dict.fromkeys(sources)))
    return messages.nothing_connected(socket)


def reads_elsewhere(ends: list[str]) -> bool:
    """Tell whether a prompt ends at nodes that read from another graph."""
    return bool(ends) and all(is_known_as(end, GETS) for end in ends)
