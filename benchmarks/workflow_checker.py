"""Which nodes of a workflow may sample, and does a steered model reach them? Read by socket types alone.

This shares no code with `safety_steer.workflow`, so that it can contradict it. A suspect takes a MODEL, a type that is called
a pipe, a context or a tuple, or a model of somebody's own, and gives what samplers give. An export has no types: they are
learned from saved workflows (`learn`), by the names of nodes and sockets.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

APPLY = "ApplySafetySteer"
GIVES = {
    "LATENT",
    "IMAGE",
    "GUIDER",
    "KSAMPLER",
    "KSAMPLER_ADVANCED",
    "UPSCALER",
    "PK_HOOK",
    "DETAILER_HOOK",
    "REGIONAL_PROMPTS",
}
"""What samplers, guiders and those that sample later give."""
CARRIER = re.compile(r"BASIC_PIPE|DETAILER_PIPE|PIPE_LINE|RGTHREE_CONTEXT|DATA_STREAM|SDXL_TUPLE")
DRAWS_NOTHING = re.compile(r"UPSCALE|SAM|VISION|STYLE|CONTROL|DEPTH|DETECT|SEGM|BBOX|CLIP|LLM|VLM|LLAVA|FLORENCE|CAPTION")
PROMPT = re.compile(r"PROMPT|COND|EMBED")
"""Types of what may be a prompt of a model of somebody's own."""
ANY = ("*", "COMFY_MATCHTYPE_V3", "None")
ENTRY, EXIT = -10, -20

Key = tuple[str, str]
"""A node: the graph's id, empty for the outermost, and the node's."""
Start = tuple[str, str, int]
"""An output: the graph, the node, the slot."""


@dataclass(frozen=True)
class Socket:
    """An input: its name, its type and where its wire starts."""

    name: str
    kind: str
    start: Start | None


@dataclass(frozen=True)
class Node:
    """A node with its sockets; `off` when it is muted or bypassed, `pack` as the file says where it is from."""

    type: str
    takes: tuple[Socket, ...]
    gives: tuple[tuple[str, str], ...]
    off: bool = False
    pack: str = ""
    values: tuple[str, ...] = ()


@dataclass
class Net:
    """All nodes of a workflow. `inner` are subgraphs in use by id: names of inputs, names of outputs, wires to each output.

    `idle` are the types of group nodes that hold nothing which takes a model or a guider and gives what samplers give.
    """

    nodes: dict[Key, Node] = field(default_factory=dict)
    inner: dict[str, tuple[list[str], list[str], dict[int, list[Start]]]] = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)


@dataclass
class Learned:
    """What saved workflows say of types of nodes: the types of inputs by name, of outputs by place, and the pack."""

    takes: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Counter)))
    gives: dict[str, dict[int, Counter[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Counter)))
    packs: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def see(self, net: Net) -> None:
        """Count what a saved workflow says."""
        for node in net.nodes.values():
            for socket in node.takes:
                self.takes[node.type][socket.name][socket.kind] += 1
            for place, (_, kind) in enumerate(node.gives):
                self.gives[node.type][place][kind] += 1
            if node.pack:
                self.packs[node.type][node.pack] += 1

    def pack(self, type: str) -> str:
        """Return the pack that most files name for a type of node; empty when none does."""
        return next((name for name, _ in self.packs[type].most_common(1)), "") if type in self.packs else ""


def saved(data: Mapping[str, Any]) -> Net:
    """Read a workflow as the editor saves it."""
    definitions = {str(one["id"]): one for one in _definitions(data)}
    net, waiting, seen = Net(idle=set(_idle(data))), [("", data)], {""}
    while waiting:
        key, graph = waiting.pop()
        links = dict(_links(key, graph))
        notes = _broadcast(key, graph)
        for node in graph["nodes"]:
            takes = tuple(
                Socket(
                    str(one.get("name")),
                    str(one.get("type")),
                    links.get(one.get("link")) or notes.get((str(node["id"]), place)),
                )
                for place, one in enumerate(node.get("inputs") or [])
            )
            gives = tuple((str(one.get("name")), str(one.get("type"))) for one in node.get("outputs") or [])
            told = node.get("properties") if isinstance(node.get("properties"), dict) else {}
            values = node.get("widgets_values") if isinstance(node.get("widgets_values"), list) else []
            net.nodes[key, str(node["id"])] = Node(
                node["type"],
                takes,
                gives,
                node.get("mode") in (2, 4),
                str(told.get("aux_id") or told.get("cnr_id") or ""),
                tuple(one for one in values if isinstance(one, str)),
            )
            if node["type"] in definitions and node["type"] not in seen:
                seen.add(node["type"])
                waiting.append((node["type"], definitions[node["type"]]))
        if key:
            ends: dict[int, list[Start]] = defaultdict(list)
            for link in graph["links"]:
                start, target, slot = _ends(link)
                if target == EXIT:
                    ends[slot].append((key, *start))
            net.inner[key] = (_names(graph.get("inputs")), _names(graph.get("outputs")), ends)
    return net


def exported(data: Mapping[str, Any], learned: Learned) -> Net:
    """Read a workflow in the API format; what is not learned has no type."""
    net = Net()
    for key, node in data.items():
        if not isinstance(node, dict) or "class_type" not in node:
            continue
        type = str(node["class_type"])
        known = learned.takes.get(type, {})
        takes = []
        for name, value in (node.get("inputs") or {}).items():
            kind = known[name].most_common(1)[0][0] if name in known else "*"
            wired = isinstance(value, list) and len(value) == 2 and isinstance(value[1], int) and str(value[0]) in data
            takes.append(Socket(name, kind, ("", str(value[0]), value[1]) if wired else None))
        gives = [("", kinds.most_common(1)[0][0]) for _, kinds in sorted(learned.gives.get(type, {}).items())]
        net.nodes["", key] = Node(type, tuple(takes), tuple(gives))
    return net


def suspects(net: Net) -> Iterator[tuple[Key, Node]]:
    """Yield what may sample: a model or what carries one comes in by a wire, and a latent, a picture or a guider goes out.

    A model of somebody's own may as well upscale or detect: who takes one is a suspect when a latent goes out or a prompt
    comes in.
    """
    for key, node in net.nodes.items():
        kinds = {part for _, kind in node.gives for part in kind.split(",")}
        fed = [one for one in node.takes if one.start is not None]
        if node.type in net.inner or node.type in net.idle or not kinds & GIVES or not any(map(_holds_model, fed)):
            continue
        if not is_foreign(node) or "LATENT" in kinds or any(PROMPT.search(one.kind.upper()) for one in fed):
            yield key, node


def is_foreign(node: Node) -> bool:
    """Tell whether a suspect has no model of ComfyUI's own: none of its inputs is one or a carrier."""
    return not any(one.kind.startswith("MODEL") or CARRIER.search(one.kind) for one in node.takes if one.start)


def unsteered(net: Net, node: Node) -> list[str]:
    """Return the names of the MODEL inputs of a node, or without any of its carriers, that no Apply lies before.

    A model that is called negative draws no positive prompt, and who takes a guider samples with the guider's model.
    """
    fed = [one for one in node.takes if one.start is not None]
    if guiders := [one for one in fed if one.kind == "GUIDER"]:
        fed = guiders
    models = [one for one in fed if "MODEL" in one.kind.split(",")] or guiders or [one for one in fed if _holds_model(one)]
    return [one.name for one in models if one.start and "negative" not in one.name and not _reaches(net, one.start)]


def _holds_model(socket: Socket) -> bool:
    parts = socket.kind.split(",")
    foreign = any(part.upper().endswith(("MODEL", "MODELS")) and not DRAWS_NOTHING.search(part.upper()) for part in parts)
    return "MODEL" in parts or foreign or CARRIER.search(socket.kind) is not None


def _reaches(net: Net, start: Start) -> bool:
    waiting, seen = [start], {start}
    while waiting:
        start = waiting.pop()
        node = net.nodes.get(start[:2])
        if node is not None and node.type == APPLY:
            return True
        for further in _back(net, start, node):
            if further not in seen:
                seen.add(further)
                waiting.append(further)
    return False


def _back(net: Net, start: Start, node: Node | None) -> Iterable[Start]:
    graph, number, slot = start
    if number == str(ENTRY):
        name = net.inner[graph][0][slot] if graph in net.inner and slot < len(net.inner[graph][0]) else None
        holders = [one for one in net.nodes.values() if one.type == graph]
        return [socket.start for one in holders for socket in one.takes if socket.name == name and socket.start]
    if node is None:
        return []
    if node.type in net.inner:
        _, names, ends = net.inner[node.type]
        name = node.gives[slot][0] if slot < len(node.gives) else None
        return [one for place, found in ends.items() if place < len(names) and names[place] == name for one in found]
    if not node.takes and node.values:
        holders = [one for one in net.nodes.values() if "set" in one.type.lower() and one.values[:1] == node.values[:1]]
        return [socket.start for one in holders for socket in one.takes if socket.start]
    carries = (one for one in node.takes if one.start and (_holds_model(one) or one.kind in ANY or one.kind == "LATENT"))
    return [one.start for one in carries if one.start]


def _definitions(data: Mapping[str, Any]) -> Iterator[Any]:
    for one in (data.get("definitions") or {}).get("subgraphs") or []:
        yield one
        yield from _definitions(one)


def _idle(data: Mapping[str, Any]) -> Iterator[str]:
    extra = data.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    for name, group in (groups if isinstance(groups, dict) else {}).items():
        held = group.get("nodes") if isinstance(group, dict) else None
        if isinstance(held, list) and not any(_may_draw(one) for one in held if isinstance(one, dict)):
            yield from (f"workflow>{name}", f"workflow/{name}")


def _may_draw(node: Mapping[str, Any]) -> bool:
    takes, gives = ([str(one.get("type")) for one in node.get(side) or []] for side in ("inputs", "outputs"))
    return bool(GIVES & set(gives)) and any(kind in ("MODEL", "GUIDER") for kind in takes)


def _links(key: str, graph: Mapping[str, Any]) -> Iterator[tuple[int, Start]]:
    for link in graph["links"]:
        number = link[0] if isinstance(link, list) else link["id"]
        yield number, (key, *_ends(link)[0])


def _ends(link: Any) -> tuple[tuple[str, int], Any, int]:
    if isinstance(link, list):
        return (str(link[1]), link[2]), link[3], link[4]
    return (str(link["origin_id"]), link["origin_slot"]), link["target_id"], link["target_slot"]


def _broadcast(key: str, graph: Mapping[str, Any]) -> dict[tuple[str, int], Start]:
    extra = graph.get("extra")
    notes = extra.get("ue_links") if isinstance(extra, dict) else None
    return {
        (str(one["downstream"]), one["downstream_slot"]): (key, str(one["upstream"]), one["upstream_slot"])
        for one in (notes if isinstance(notes, list) else [])
        if isinstance(one, dict)
        and isinstance(one.get("upstream_slot"), int)
        and {"upstream", "downstream", "downstream_slot"} <= set(one)
    }


def _names(sockets: Any) -> list[str]:
    return [str(one.get("name")) for one in sockets or []]
