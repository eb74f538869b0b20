"""A sheet of nodes, wires and groups, and the workflow file it becomes."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .node_types import SEEDS, Input, node_type

Json = dict[str, Any]
MARGIN, TITLE = 14, 30
GREEN, BLUE, GREY, PURPLE = "#2a7", "#3f789e", "#888", "#a6c"
NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}


class Wire(NamedTuple):
    """The output of a node."""

    node: Node
    slot: int


@dataclass
class Node:
    """A node on a sheet: `node["MODEL"]` is the wire from its output of that name."""

    number: int
    kind: str
    title: str
    pos: tuple[int, int]
    size: tuple[int, int]
    values: Json = field(default_factory=dict)

    def __getitem__(self, name: str) -> Wire:
        """Return the wire from an output."""
        names = [one for one, _ in node_type(self.kind).outputs]
        return Wire(self, names.index(name))


class Sheet:
    """Nodes and groups of one workflow, in the order they are added."""

    def __init__(self, name: str) -> None:
        """Begin an empty sheet."""
        self.name = name
        self.nodes: list[Node] = []
        self.groups: list[Json] = []

    def add(self, kind: str, pos: tuple[int, int], size: tuple[int, int], title: str = "", **values: Any) -> Node:
        """Add a node; its values are wires into its sockets, and what differs from the defaults of its widgets.

        Raises ValueError for a value it has no input for, and for a wire of another kind or none where one is needed.
        """
        node = Node(len(self.nodes) + 1, kind, title, pos, size, values)
        inputs = {one.name: one for one in node_type(kind).inputs}
        if unknown := set(values) - set(inputs):
            raise ValueError(f"{kind} has no input {', '.join(sorted(unknown))}.")
        for one in inputs.values():
            _check(kind, one, values.get(one.name))
        self.nodes.append(node)
        return node

    def note(self, pos: tuple[int, int], size: tuple[int, int], *paragraphs: str, title: str = "Read me") -> Node:
        """Add a note."""
        node = Node(len(self.nodes) + 1, "Note", title, pos, size, {"text": "\n\n".join(paragraphs)})
        self.nodes.append(node)
        return node

    def group(self, title: str, colour: str, *nodes: Node) -> None:
        """Draw a titled frame around nodes."""
        left, top = (min(node.pos[side] for node in nodes) for side in (0, 1))
        right, bottom = (max(node.pos[side] + node.size[side] for node in nodes) for side in (0, 1))
        top -= 2 * TITLE + MARGIN // 2
        bounding = [left - MARGIN, top, right - left + 2 * MARGIN, bottom - top + MARGIN]
        number = len(self.groups) + 1
        self.groups.append({"id": number, "title": title, "bounding": bounding, "color": colour, "font_size": 24, "flags": {}})

    def workflow(self) -> Json:
        """Return the workflow as ComfyUI saves it, format 0.4."""
        links: list[list[Any]] = []
        nodes = [self._saved(node, links) for node in self.nodes]
        for number, origin, slot, *_ in links:
            nodes[origin - 1]["outputs"][slot]["links"].append(number)
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"safety-steer/example_workflows/{self.name}")),
            "revision": 0,
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": self.groups,
            "config": {},
            "extra": {"ds": {"scale": 0.6, "offset": [120, 160]}},
            "version": 0.4,
        }

    def text(self) -> str:
        """Return the workflow as the text of its file."""
        return json.dumps(self.workflow(), indent=2, ensure_ascii=False) + "\n"

    def _saved(self, node: Node, links: list[list[Any]]) -> Json:
        """Return a node as it is saved, and add the links into it."""
        place = {"id": node.number, "type": node.kind, "pos": list(node.pos), "size": list(node.size)}
        saved: Json = {**place, "flags": {}, "order": node.number - 1, "mode": 0, "inputs": [], "outputs": []}
        if node.title:
            saved["title"] = node.title
        if node.kind == "Note":
            return {**saved, "properties": {}, "widgets_values": [node.values["text"]], **NOTE_COLOURS}
        kind, values = node_type(node.kind), []
        # The front end lists sockets before widgets.
        for slot, one in enumerate(sorted(kind.inputs, key=lambda one: one.is_widget)):
            value, link = node.values.get(one.name, one.default), None
            if isinstance(value, Wire):
                link = len(links) + 1
                links.append([link, value.node.number, value.slot, node.number, slot, _kind(value)])
            socket: Json = {"name": one.name, "type": one.kind, "link": link}
            if one.is_widget:
                socket["widget"] = {"name": one.name}
                values += [one.default if isinstance(value, Wire) else value, *(["fixed"] if one.name in SEEDS else [])]
            saved["inputs"].append(socket)
        saved["outputs"] = [{"name": name, "type": made, "links": []} for name, made in kind.outputs]
        saved["properties"] = {"cnr_id": kind.pack, "Node name for S&R": node.kind}
        return {**saved, "widgets_values": values}


def _kind(wire: Wire) -> str:
    return node_type(wire.node.kind).outputs[wire.slot][1]


def _check(node: str, socket: Input, value: Any) -> None:
    """Raise ValueError where a wire is missing, or of another kind than its socket."""
    if isinstance(value, Wire):
        if socket.kind not in (_kind(value), "*"):
            raise ValueError(f"{node}.{socket.name} takes {socket.kind}, not {_kind(value)}.")
    elif not socket.is_widget and not socket.optional:
        raise ValueError(f"{node}.{socket.name} has no wire.")
