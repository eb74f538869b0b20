"""A workflow as ComfyUI's editor saves it, seen as graphs: nodes, links, subgraphs and where those are used.

The view reads and changes the JSON it was made from, so that everything it does not know survives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
NodeId = int | str

# The ids that links use for a subgraph's own inputs and outputs: ComfyUI's own.
ENTRY, EXIT = -10, -20
ROOT = ""
MUTED, BYPASSED = 2, 4  # the modes of litegraph and of ComfyUI
UNTOLD = ("*", "COMFY_MATCHTYPE_V3", None)
"""Types of what takes and gives anything, the second one where ComfyUI has not found out yet what it is."""
LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


@dataclass(frozen=True)
class Wire:
    """An output that links start at: a slot of a node, or of the subgraph's own inputs (`ENTRY`), within one graph.

    Where the output is a pipe, `member` says what is asked of it, such as "model" or "positive".
    """

    origin: NodeId
    slot: int
    member: str = ""


@dataclass(frozen=True)
class Link:
    """One link, whichever way it is written in the file: `item` is a list in older files, an object in newer ones."""

    item: Any

    def __getitem__(self, name: str) -> Any:
        """Return the field of that name, such as "origin_id"."""
        return self.item[LINK_FIELDS.index(name)] if isinstance(self.item, list) else self.item[name]

    def __setitem__(self, name: str, value: object) -> None:
        """Change the field in the file's JSON."""
        self.item[LINK_FIELDS.index(name) if isinstance(self.item, list) else name] = value

    @property
    def wire(self) -> Wire:
        """Where the link starts."""
        return Wire(self["origin_id"], self["origin_slot"])


@dataclass
class Graph:
    """One layer of a workflow: the root, or a subgraph's definition. `key` is the subgraph's id.

    `links` are those with a socket at both ends; `loose` are the others, which files can have and ComfyUI ignores.
    `broadcast` are the wires that Use Everywhere draws when the workflow runs, by the identity of the socket they end at.
    `borrowed` are the names of what Get nodes read from the graphs around: each is an input that no socket is drawn for.
    """

    key: str
    data: Json
    nodes: dict[NodeId, Json] = field(init=False)
    links: dict[int, Link] = field(init=False)
    loose: list[Link] = field(init=False)
    broadcast: dict[int, Wire] = field(init=False)
    borrowed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Index nodes and links by id."""
        self.nodes = {node["id"]: node for node in self.data["nodes"]}
        links = [Link(item) for item in self.data["links"]]
        self.links = {link["id"]: link for link in links if self._origin(link) and self._target(link)}
        self.loose = [link for link in links if link["id"] not in self.links]
        self.broadcast = dict(self._broadcast())

    def _broadcast(self) -> Iterator[tuple[int, Wire]]:
        """Read `extra.ue_links`, which notes a wire for an input that is not connected; notes that fit nothing are left out."""
        extra = self.data.get("extra")
        notes = extra.get("ue_links") if isinstance(extra, dict) else None
        by_name = {str(number): node for number, node in self.nodes.items()}
        for note in notes if isinstance(notes, list) else []:
            if not isinstance(note, dict):
                continue
            start, end = (by_name.get(str(note.get(side))) for side in ("upstream", "downstream"))
            origin, target = note.get("upstream_slot"), note.get("downstream_slot")
            if start is None or end is None or not isinstance(origin, int) or not isinstance(target, int):
                continue
            if origin in range(len(outputs(start))) and target in range(len(inputs(end))):
                socket = inputs(end)[target]
                if self.link(socket) is None:
                    yield id(socket), Wire(start["id"], origin)

    def _origin(self, link: Link) -> bool:
        within = self.key != ROOT and link["origin_id"] == ENTRY
        owner = self.data if within else self.nodes.get(link["origin_id"], {})
        return link["origin_slot"] in range(len((inputs if within else outputs)(owner)))

    def _target(self, link: Link) -> bool:
        within = self.key != ROOT and link["target_id"] == EXIT
        owner = self.data if within else self.nodes.get(link["target_id"], {})
        return link["target_slot"] in range(len((outputs if within else inputs)(owner)))

    @property
    def name(self) -> str:
        """The subgraph's name for people; empty for the root, and where a file gives a name that is no text."""
        name = self.data.get("name") or self.key
        return name if self.key != ROOT and isinstance(name, str) else ""

    def source(self, socket: Mapping[str, Any]) -> Wire | None:
        """Return where the link into an input (of a node, or of a subgraph's output) starts; None without a link."""
        link = self.link(socket)
        return link.wire if link else self.broadcast.get(id(socket))

    def is_fed(self, socket: Mapping[str, Any]) -> bool:
        """Tell whether a wire is drawn or broadcast into an input; a drawn one may still be broken."""
        return socket.get("link") is not None or id(socket) in self.broadcast

    def link(self, socket: Mapping[str, Any]) -> Link | None:
        """Return the link into an input."""
        number = socket.get("link")
        return self.links.get(number) if number is not None else None

    def into(self, node: Mapping[str, Any], name: str) -> Wire | None:
        """Return where the link into a node's input of that name starts."""
        slot = named(inputs(node), name)
        return self.source(inputs(node)[slot]) if slot is not None else None

    def borrow(self, name: str) -> Wire:
        """Return the wire of what is read by a name from the graphs around: its slots count down from -1."""
        if name not in self.borrowed:
            self.borrowed.append(name)
        return Wire(ENTRY, -1 - self.borrowed.index(name))

    def leaving(self, origin: NodeId) -> list[Link]:
        """Return the links that start at a node, in file order."""
        return [link for link in self.links.values() if link["origin_id"] == origin]


@dataclass
class Document:
    """A whole workflow: the root and every subgraph that is used, and the places each of those is used in."""

    data: Json
    graphs: dict[str, Graph] = field(init=False)
    definitions: dict[str, Json] = field(init=False)

    def __post_init__(self) -> None:
        """Index the definitions and the graphs that can be reached from the root."""
        self.definitions = {item["id"]: item for item in nested_definitions(self.data)}
        self.graphs = {ROOT: Graph(ROOT, self.data)}
        waiting = [self.graphs[ROOT]]
        while waiting:
            for node in waiting.pop(0).nodes.values():
                key = node["type"]
                if key in self.definitions and key not in self.graphs:
                    self.graphs[key] = Graph(key, self.definitions[key])
                    waiting.append(self.graphs[key])

    @property
    def root(self) -> Graph:
        """The graph that is seen first."""
        return self.graphs[ROOT]

    def inside(self, node: Mapping[str, Any]) -> Graph | None:
        """Return the graph behind a node that stands for a subgraph; None for any other node."""
        return self.graphs.get(node["type"]) if node["type"] != ROOT else None

    def places(self, graph: Graph) -> list[tuple[Graph, Json]]:
        """Return every node that stands for a subgraph, with the graph it lies in."""
        return [(outer, node) for outer in self.graphs.values() for node in outer.nodes.values() if node["type"] == graph.key]


def nested_definitions(data: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the subgraph definitions of a workflow, also those kept inside other definitions."""
    for item in (data.get("definitions") or {}).get("subgraphs") or []:
        yield item
        yield from nested_definitions(item)


def inputs(node: Mapping[str, Any]) -> list[Json]:
    """Return a node's or subgraph's inputs."""
    return node.get("inputs") or []


def outputs(node: Mapping[str, Any]) -> list[Json]:
    """Return a node's or subgraph's outputs."""
    return node.get("outputs") or []


def named(sockets: list[Json], name: object) -> int | None:
    """Return the index of the socket of that name: how a subgraph's sockets and those of its nodes belong together."""
    return next((index for index, socket in enumerate(sockets) if socket.get("name") == name), None)


def is_kind(socket: Mapping[str, Any], kind: str) -> bool:
    """Tell whether a socket is of a type such as "MODEL"; some sockets name several."""
    return kind in str(socket.get("type")).split(",")


def is_untold(kind: object) -> bool:
    """Tell whether the type of a socket or a wire says nothing: switches, lists and loops take and give anything."""
    return kind in UNTOLD
