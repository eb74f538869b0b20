"""Put steering into an editor workflow: Apply before every sampler, Load and Align where the CLIP of its prompt is."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..graph import ENTRY, EXIT, Document, Graph, Json, NodeId, Wire, inputs, is_kind, named, outputs
from ..pack_nodes import ALIGN, ALIGNED, APPLY, DIRECTION, DRAWN, LOAD, OWN_NODES
from ..plan import STEER, Verdict
from ..prompts import CLIP, FromInside, FromOutside, OwnClip, Source, clip_start, used_with
from ..reach import Place
from ..trace import Walker
from . import layout
from .edit import Editor

SOCKET = "safety_direction"
MODEL = "MODEL"


@dataclass
class Inserter:
    """Puts nodes into a document, one Load for each graph, one Align for each CLIP in it, one Apply for each model wire."""

    document: Document
    editor: Editor = field(init=False)
    loads: dict[str, Wire] = field(default_factory=dict)
    aligned: dict[tuple[str, object], Wire] = field(default_factory=dict)
    applied: dict[tuple[str, Wire, Wire], Json] = field(default_factory=dict)
    boxes: dict[str, list[layout.Box]] = field(default_factory=dict)
    done: set[tuple[str, NodeId, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start counting ids, and take over what a user has put in already."""
        self.editor = Editor(self.document)
        walker = Walker(self.document)
        for graph in self.document.graphs.values():
            for node in graph.nodes.values():
                if not any(is_kind(socket, kind) for socket in outputs(node)[:1] for kind in (DIRECTION, ALIGNED)):
                    continue  # a file can leave out what a node gives
                clip = graph.into(node, "clip") if node["type"] == ALIGN and graph.into(node, "direction") else None
                if node["type"] == LOAD and not walker.off(node):
                    self.loads.setdefault(graph.key, Wire(node["id"], 0))
                elif clip and not walker.off(node):
                    self.aligned.setdefault((graph.key, clip_start(walker, graph, clip)), Wire(node["id"], 0))

    def insert(self, verdict: Verdict) -> None:
        """Steer one sampler."""
        if verdict.state != STEER or verdict.source is None or verdict.walker is None:
            return
        for place in verdict.places:
            if (verdict.sampler.graph.key, place.node["id"], place.slot) not in self.done:
                self.done.add((verdict.sampler.graph.key, place.node["id"], place.slot))
                self._apply(verdict.sampler.graph, place, self._aligned(verdict.walker, verdict.sampler.graph, verdict.source))

    def _apply(self, graph: Graph, place: Place, direction: Wire) -> None:
        """Lead the model of one input over Apply; one Apply serves all inputs of the same model and direction."""
        link = graph.link(inputs(place.node)[place.slot])
        key = (graph.key, place.wire, direction)
        apply = self.applied.get(key)
        if apply is not None and (link is None or not _drawn_over_reroutes(graph, link["id"], link.item)):
            if link is None:
                self._draw(graph, apply, place)
            else:
                self.editor.move_start(graph, link, Wire(apply["id"], 0))
            return
        apply = self._node(graph, APPLY, layout.left_of(place.node, OWN_NODES[APPLY].size), place.node)
        self.applied.setdefault(key, apply)
        model = OWN_NODES[APPLY].slot("model")
        if link is None:
            self.editor.connect(graph, place.wire, apply["id"], model, MODEL)
        else:
            # The old link, with what the editor knows of it, now ends at the new node: nothing changes where it starts.
            self.editor.move_end(graph, link, apply["id"], model)
        if link is None:
            self._draw(graph, apply, place)
        else:
            self.editor.connect(graph, Wire(apply["id"], 0), place.node["id"], place.slot, MODEL)
        self.editor.connect(graph, direction, apply["id"], OWN_NODES[APPLY].slot("direction"), ALIGNED)

    def _draw(self, graph: Graph, apply: Json, place: Place) -> None:
        """Lead Apply to an input that no wire was drawn into, and note that, so that none stays when Apply goes."""
        apply["properties"].setdefault(DRAWN, []).append([place.node["id"], place.slot])
        self.editor.connect(graph, Wire(apply["id"], 0), place.node["id"], place.slot, MODEL)

    def _aligned(self, walker: Walker, graph: Graph, source: Source) -> Wire:
        """Return the wire of the aligned direction for a CLIP in a graph; make what it needs."""
        key = (graph.key, clip_start(walker, graph, source.wire) if isinstance(source, OwnClip) else source)
        if key not in self.aligned:
            if isinstance(source, FromOutside):
                self.aligned[key] = self._brought_in(walker, graph, source)
            elif isinstance(source, FromInside):
                self.aligned[key] = self._brought_out(walker, graph, source)
            else:
                self.aligned[key] = self._fitted(graph, source.wire)
        return self.aligned[key]

    def _fitted(self, graph: Graph, clip: Wire) -> Wire:
        """Put Align, and Load if the graph has none yet, near the CLIP."""
        origin = graph.nodes.get(clip.origin)
        wanted = layout.below(origin) if origin else layout.right_of_entry(graph)
        (width, load_height), (_, height) = OWN_NODES[LOAD].size, OWN_NODES[ALIGN].size
        down = load_height + layout.TITLE + layout.GAP
        if graph.key not in self.loads:
            left, top = self._room(graph, wanted, (width, down + height), origin)
            load = self._put(graph, LOAD, (left, top))
            self.loads[graph.key] = Wire(load["id"], 0)
            align = self._put(graph, ALIGN, (left, top + down))
        else:
            align = self._node(graph, ALIGN, wanted, origin)
        slot = OWN_NODES[ALIGN].slot
        self.editor.connect(graph, self.loads[graph.key], align["id"], slot("direction"), DIRECTION)
        self.editor.connect(graph, clip, align["id"], slot("clip"), CLIP)
        return Wire(align["id"], 0)

    def _brought_in(self, walker: Walker, graph: Graph, source: FromOutside) -> Wire:
        """Give the subgraph an input for the direction, and feed it everywhere the subgraph is used."""
        places = used_with(walker, graph, source)
        slot = self.editor.add_input(graph, SOCKET, ALIGNED)
        name = inputs(graph.data)[slot]["name"]
        for outer, node, sources in places:
            wire = self._aligned(walker, outer, sources[0])
            index = named(inputs(node), name)
            if index is not None:
                self.editor.connect(outer, wire, node["id"], index, ALIGNED)
        return Wire(ENTRY, slot)

    def _brought_out(self, walker: Walker, graph: Graph, source: FromInside) -> Wire:
        """Give the subgraph that holds the CLIP an output for the direction."""
        inner = self.document.graphs[source.graph]
        wire = self._aligned(walker, inner, source.source)
        key = (inner.key, ("output", wire))
        if key not in self.aligned:
            slot = self.editor.add_output(inner, SOCKET, ALIGNED)
            self.editor.connect(inner, wire, EXIT, slot, ALIGNED)
            self.aligned[key] = Wire(EXIT, slot)
        name = outputs(inner.data)[self.aligned[key].slot]["name"]
        return Wire(source.node, named(outputs(graph.nodes[source.node]), name) or 0)

    def _node(self, graph: Graph, type: str, wanted: tuple[float, float], beside: Json | None) -> Json:
        return self._put(graph, type, self._room(graph, wanted, OWN_NODES[type].size, beside))

    def _room(self, graph: Graph, wanted: tuple[float, float], size: tuple[int, int], beside: Json | None) -> tuple[int, int]:
        """Find room in a graph whose nodes are measured once, since only those put in here are new to it."""
        if graph.key not in self.boxes:
            self.boxes[graph.key] = layout.boxes(graph)
        return layout.find_room(graph, wanted, size, beside, self.boxes[graph.key])

    def _put(self, graph: Graph, type: str, position: tuple[int, int]) -> Json:
        node = self.editor.add_node(graph, type, position)
        self.boxes[graph.key].append(layout.node_box(node))
        return node


def _drawn_over_reroutes(graph: Graph, number: int, item: object) -> bool:
    """Tell whether a link is drawn over the canvas's own reroute points, which belong to where it starts."""
    extensions = graph.data.get("extra") or {}
    listed = extensions.get("linkExtensions") if isinstance(extensions, dict) else None
    return (isinstance(item, dict) and item.get("parentId") is not None) or any(
        isinstance(one, dict) and one.get("id") == number for one in listed or []
    )
