"""Where does a sampler's prompt get its CLIP? Every CLIP wire behind a conditioning, seen from the graph it is needed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ..errors import DataError
from .editor.blocks import NOTES
from .format_check import EDITOR, kind_of
from .graph import ENTRY, MUTED, Document, Graph, Json, NodeId, Wire, inputs, is_kind, is_untold, outputs
from .pack_nodes import STEERING, SUPPLYING
from .packs import GETS, TEXTS, is_known_as
from .trace import PASSING, Walker, is_pipe

CONDITIONING, CLIP, POSITIVE = "CONDITIONING", "CLIP", "positive"
COMPONENT_END = "ComponentOutput"
"""What leads out of a component of the pack Workflow Component."""
MAX_DEPTH = 32  # subgraphs in each other, by hand
WRITES_MUSIC = ("YuE2GenerateMusic", "MiniMaxMusic3TextEncode")
"""Nodes whose conditioning is music that a language model has written: it holds no text that could be steered."""
NO_TEXT = (*WRITES_MUSIC, *NOTES, *STEERING, *SUPPLYING)
"""Nodes that no text is encoded in, whatever their sockets are called in a file."""
SAME_CLIP = (*PASSING, "SelectCLIPDevice")
"""Nodes that give a CLIP that says what the one they get says. Those that change it are not among them: CLIPSetLastLayer,
T5TokenizerOptions, LoRAs, merges, hooks."""


@dataclass(frozen=True)
class OwnClip:
    """A CLIP wire of the graph itself."""

    wire: Wire


@dataclass(frozen=True)
class FromOutside:
    """The conditioning comes in through this input of the subgraph, so the CLIP is wherever the subgraph is used."""

    slot: int
    member: str = ""


@dataclass(frozen=True)
class FromInside:
    """The CLIP is known only within the subgraph that a node stands for."""

    node: NodeId
    graph: str
    source: Source


Source = OwnClip | FromOutside | FromInside


Known: TypeAlias = "dict[tuple[str, Wire], Prompt]"


@dataclass
class Prompt:
    """What lies behind a conditioning: sources of CLIP in order, and the types of nodes it starts at that hold no text.

    `encoders` are the ids of the nodes of the graph itself that encode text; `hidden` types of nodes that hold it in a pipe,
    `bare` of those whose CLIP is not connected.
    """

    sources: list[Source] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    encoders: list[NodeId] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)


def read_prompt(walker: Walker, graph: Graph, wire: Wire, depth: int = 0, known: Known | None = None) -> Prompt:
    """Follow a conditioning back to the nodes that encode text, and find the wires of their CLIP.

    `known` is what was read within subgraphs on the way: each of their wires is read once, however often it is used.
    """
    known = {} if known is None else known
    found = Prompt()
    waiting, seen = [wire], set()
    while waiting:
        wire = waiting.pop(0)
        if wire in seen:
            continue
        seen.add(wire)
        if wire.origin == ENTRY:
            found.sources.append(FromOutside(wire.slot, wire.member))
            continue
        node = walker.node(graph, wire)
        if node is None or (walker.live and node.get("mode") == MUTED):
            continue
        off, inner = walker.off(node), walker.document.inside(node)
        if not off and inner and depth < MAX_DEPTH:
            waiting += _within(walker, graph, node, inner, wire, found, depth, known)
            continue
        clips = [] if off or node["type"] in NO_TEXT else _clips(graph, node, wire)
        further = walker.behind(graph, wire, CONDITIONING)
        found.sources += [OwnClip(clip) for clip in clips]
        found.encoders += [node["id"]] if clips and node["id"] not in found.encoders else []
        waiting += further
        if not clips and not further:
            if wire.member == POSITIVE and not off and (shown := _shown_clip(walker, graph, wire)):
                found.sources.append(OwnClip(shown))
                continue
            bare = not off and any(is_kind(socket, CLIP) and not graph.is_fed(socket) for socket in inputs(node))
            if node["type"] not in PASSING or is_known_as(node["type"], GETS):
                (found.hidden if wire.member else found.bare if bare else found.ends).append(node["type"])
    found.sources = list(dict.fromkeys(found.sources))
    found.ends, found.hidden, found.bare = (list(dict.fromkeys(types)) for types in (found.ends, found.hidden, found.bare))
    return found


def _shown_clip(walker: Walker, graph: Graph, wire: Wire) -> Wire | None:
    """Return where the CLIP of a pipe is shown in a graph, if the component that makes the pipe encodes its prompt by it."""
    if not _keeps_its_clip(walker.document, graph.nodes[wire.origin]):
        return None
    asked = replace(wire, member=CLIP.lower())
    shown = (
        Wire(node["id"], slot)
        for node in graph.nodes.values()
        for slot, socket in enumerate(outputs(node))
        if is_kind(socket, CLIP)
    )
    return next((one for one in shown if walker.plain(graph, one, CLIP) == asked), None)


def _keeps_its_clip(document: Document, node: Json) -> bool:
    """Tell whether a component, which files keep under `components`, gives a pipe whose prompt its own CLIP encodes."""
    components = document.data.get("components")
    inside: Any = components.get(node["type"]) if isinstance(components, dict) else None
    try:
        if kind_of(inside) != EDITOR:
            return False
    except DataError:
        return False
    walker = Walker(Document(inside), live=False)
    graph = walker.document.root
    ends = [socket for one in graph.nodes.values() if one["type"] == COMPONENT_END for socket in inputs(one)]
    pipes = [source for socket in ends if is_pipe(socket) and (source := graph.source(socket))]
    if len(pipes) != 1:
        return False
    sources = read_prompt(walker, graph, replace(pipes[0], member=POSITIVE)).sources
    kept = walker.plain(graph, replace(pipes[0], member=CLIP.lower()), CLIP, SAME_CLIP)
    return bool(sources) and all(isinstance(one, OwnClip) and clip_start(walker, graph, one.wire) == kept for one in sources)


def _clips(graph: Graph, node: Json, wire: Wire) -> list[Wire]:
    """Return the CLIP wires into a node that makes conditioning, or something untold that becomes conditioning further on.

    A loader that encodes a prompt of its own gives the CLIP it does it with.
    """
    gives, slot = outputs(node), wire.slot
    becomes = any(
        is_untold(socket.get("type")) or any(is_kind(socket, one) for one in TEXTS) for socket in gives[slot : slot + 1]
    )
    if not becomes and not wire.member and not any(is_kind(socket, CONDITIONING) for socket in gives):
        return []
    fed = [socket for socket in inputs(node) if graph.is_fed(socket)]
    if (wire.member and any(map(is_pipe, fed))) or (wire.member and any(is_kind(socket, CONDITIONING) for socket in fed)):
        return []
    if not any(is_kind(socket, CONDITIONING) or is_kind(socket, CLIP) or is_pipe(socket) for socket in fed):
        return [Wire(node["id"], place) for place, socket in enumerate(gives) if is_kind(socket, CLIP)][:1]
    clips = _of_part([socket for socket in fed if is_kind(socket, CLIP)], gives[slot : slot + 1])
    return [source for socket in clips if (source := graph.source(socket))]


def _of_part(clips: list[Json], given: list[Json]) -> list[Json]:
    """Return, of several CLIPs, the one called after the same part as what is given, such as base or refiner."""
    parts = [str(socket.get("name")).partition("_")[0] for socket in given]
    return [socket for socket in clips if str(socket.get("name")).partition("_")[0] in parts] or clips


def _within(
    walker: Walker, graph: Graph, node: Json, inner: Graph, at: Wire, found: Prompt, depth: int, known: Known
) -> list[Wire]:
    """Read the prompt inside a subgraph and bring what it found out; return the wires of this graph to go on with."""
    waiting = []
    for wire in dict.fromkeys(replace(one, member=at.member) for one in walker.inner_wires(inner, node, at.slot)):
        place = (inner.key, wire)
        prompt = known[place] = known.get(place) or read_prompt(walker, inner, wire, depth + 1, known)
        found.ends += prompt.ends
        found.hidden += prompt.hidden
        found.bare += prompt.bare
        for source in prompt.sources:
            outer = _brought_out(walker, graph, node, inner, source)
            if isinstance(source, FromOutside):
                waiting += [outer] if outer else []
            else:
                found.sources.append(OwnClip(outer) if outer else FromInside(node["id"], inner.key, source))
    return waiting


def _brought_out(walker: Walker, graph: Graph, node: Json, inner: Graph, source: Source) -> Wire | None:
    """Return the wire of the outer graph that a source inside a subgraph is, if it comes in from there."""
    if isinstance(source, FromOutside):
        wire = walker.outside(inner, source.slot, node, graph)
        return replace(wire, member=source.member) if wire else None
    if isinstance(source, OwnClip):
        start = walker.plain(inner, source.wire, CLIP)
        return walker.outside(inner, start.slot, node, graph) if start.origin == ENTRY and not start.member else None
    return None


def clip_start(walker: Walker, graph: Graph, wire: Wire) -> Wire:
    """Return where within its graph it was last decided what a CLIP says: two wires from there are one CLIP."""
    return walker.plain(graph, wire, CLIP, SAME_CLIP)


def origins(walker: Walker, graph: Graph, source: Source) -> frozenset[tuple[str, Wire]]:
    """Return where a source's CLIP really comes from: graph and wire, several when the subgraph is used several times.

    Each way is gone once: ways that cross, or lead back, would else be more than can be counted.
    """
    found: set[tuple[str, Wire]] = set()
    seen: set[tuple[str, Source]] = set()
    waiting = [(graph, source)]
    while waiting:
        at, one = waiting.pop()
        if (at.key, one) in seen:
            continue
        seen.add((at.key, one))
        further = _before(walker, at, one)
        if isinstance(further, Wire):
            found.add((at.key, further))
        else:
            waiting += further
    return frozenset(found)


def _before(walker: Walker, graph: Graph, source: Source) -> list[tuple[Graph, Source]] | Wire:
    """Return where a source's CLIP comes from in the graphs around or within; its wire where it starts in this graph."""
    if isinstance(source, FromInside):
        return [(walker.document.graphs[source.graph], source.source)]
    if isinstance(source, FromOutside):
        return [(outer, one) for outer, _, inner_source in used_with(walker, graph, source) for one in inner_source]
    wire = clip_start(walker, graph, source.wire)
    if wire.origin == ENTRY:
        places = ((outer, walker.outside(graph, wire.slot, node, outer)) for outer, node in walker.document.places(graph))
        return [(outer, OwnClip(replace(one, member=wire.member))) for outer, one in places if one]
    node = graph.nodes.get(wire.origin)
    inner = walker.document.inside(node) if node else None
    if inner and node and not walker.off(node):
        return [(inner, OwnClip(replace(one, member=wire.member))) for one in walker.inner_wires(inner, node, wire.slot)]
    return wire


def used_with(walker: Walker, graph: Graph, source: FromOutside) -> list[tuple[Graph, Json, Sequence[Source]]]:
    """Return, for every node that stands for a subgraph, the sources of CLIP of the conditioning that goes into it."""
    found: list[tuple[Graph, Json, Sequence[Source]]] = []
    for outer, node in walker.document.places(graph):
        wire = walker.outside(graph, source.slot, node, outer)
        wire = replace(wire, member=source.member) if wire else None
        found.append((outer, node, distinct(walker, outer, read_prompt(walker, outer, wire).sources) if wire else ()))
    return found


def distinct(walker: Walker, graph: Graph, sources: Sequence[Source]) -> list[Source]:
    """Leave out sources that are the same CLIP as one before; a CLIP of the graph itself stands for the others."""
    ordered = sorted(sources, key=lambda source: not isinstance(source, OwnClip))
    plain: dict[object, Source] = {}
    for source in ordered:
        start: object = clip_start(walker, graph, source.wire) if isinstance(source, OwnClip) else source
        plain.setdefault(start, source)
    if len(plain) < 2:
        return list(plain.values())
    kept: dict[object, Source] = {}
    for source in plain.values():
        kept.setdefault(origins(walker, graph, source) or source, source)
    return list(kept.values())
