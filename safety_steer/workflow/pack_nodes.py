"""The pack's nodes as a saved workflow describes them, and what each of them is to one that steers.

Inputs, outputs and titles are in pack_nodes.json, which `python -m tools.docs.write_pack_nodes` writes from the nodes' locked
schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from .graph import Json, NodeId, inputs

DIRECTION, ALIGNED, REPORT = "SAFETY_DIRECTION", "ALIGNED_DIRECTION", "SAFETY_REPORT"
LOAD, ALIGN, APPLY = "LoadSafetyDirection", "AlignSafetyDirection", "ApplySafetySteer"
MIXER, ON_CONDITIONING, ON_WAN_WRAPPER = "SafetyCategoryMixer", "ApplySafetySteerConditioning", "ApplySafetySteerWanVideo"
REPORTING, SCORING, REFUSING = "SafetyReport", "SafetyScore", "RefuseUnsafePrompt"
LOAD_ALIGNED = "LoadAlignedDirection"


@dataclass(frozen=True)
class PassThrough:
    """The input by which a wire of the workflow comes into a node, and the output by which it goes on."""

    input: str
    output: int = 0


STEERING = {
    APPLY: PassThrough("model"),
    ON_CONDITIONING: PassThrough("conditioning"),
    ON_WAN_WRAPPER: PassThrough("text_embeds"),
    REPORTING: PassThrough("after", 3),
    SCORING: PassThrough("conditioning", -1),
    REFUSING: PassThrough("conditioning"),
}
"""Nodes that are taken out. The wire that passed through is reconnected around them; what else they gave is given no more."""
SUPPLYING = (LOAD, ALIGN, MIXER, LOAD_ALIGNED)
"""Nodes that only serve steering."""
SIZES = {LOAD: (385, 130), ALIGN: (385, 260), MIXER: (320, 345), APPLY: (420, 410)}
"""The nodes that are put into workflows, and the size each needs on the canvas."""
PACK = "safety-steer"
DRAWN = "safety_steer_drawn"
"""The property by which a steering node knows inputs that no wire was drawn into before: their nodes and slots."""


@dataclass(frozen=True)
class Input:
    """An input of a node: a socket for a wire, or a widget with its value in a new node."""

    name: str
    kind: str
    value: Any = None
    widget: bool = True
    optional: bool = False


@dataclass(frozen=True)
class OwnNode:
    """One of the pack's nodes: its inputs and outputs in order, and for one that is put in the size it needs on the canvas."""

    type: str
    title: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    size: tuple[int, int] = (0, 0)

    def slot(self, name: str) -> int:
        """Return the index of an input."""
        return [item.name for item in self.inputs].index(name)


def _described() -> dict[str, OwnNode]:
    """Read pack_nodes.json: every node of the pack by its type."""
    found = json.loads(Path(__file__).with_name("pack_nodes.json").read_text(encoding="utf-8"))
    return {
        type: OwnNode(
            type,
            node["title"],
            tuple(Input(one["name"], one["type"], one.get("value"), "value" in one, one["optional"]) for one in node["inputs"]),
            tuple((name, kind) for name, kind in node["outputs"]),
        )
        for type, node in found.items()
    }


PACK_NODES = _described()
"""All nodes of the pack."""
OWN_NODES = {type: replace(PACK_NODES[type], size=size) for type, size in SIZES.items()}
"""The nodes that are put into workflows."""


def saved_node(type: str, number: NodeId, position: tuple[int, int], order: int) -> Json:
    """Return a new node as the editor saves one, without links."""
    node = OWN_NODES[type]
    return {
        "id": number,
        "type": type,
        "pos": list(position),
        "size": list(node.size),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [_saved_input(item) for item in node.inputs],
        "outputs": [{"name": name, "type": kind, "links": None} for name, kind in node.outputs],
        "properties": {"cnr_id": PACK, "Node name for S&R": type},
        "widgets_values": [item.value for item in node.inputs if item.widget],
    }


def _saved_input(item: Input) -> Json:
    saved: Json = {"name": item.name, "type": item.kind, "link": None}
    if item.optional:
        saved["shape"] = 7
    if item.widget:
        saved["widget"] = {"name": item.name}
    return saved


def api_node(type: str, wires: Mapping[str, Any]) -> Json:
    """Return a new node as the API format holds one, with the wires into its sockets by name."""
    node = OWN_NODES[type]
    given = [item for item in node.inputs if item.widget or item.name in wires or not item.optional]
    values = {item.name: item.value if item.widget else wires[item.name] for item in given}
    return {"inputs": values, "class_type": type, "_meta": {"title": node.title}}


def check_version(node: Mapping[str, Any]) -> None:
    """Raise DataError for a saved node of the pack that lacks a socket this version's node cannot do without."""
    own = OWN_NODES.get(node["type"])
    sockets = {socket.get("name") for socket in inputs(node)}
    wires = [item.name for item in own.inputs if not item.widget and not item.optional] if own else []
    missing = [name for name in wires if name not in sockets]
    if missing:
        raise DataError(
            f"Node {node['id']} ({node['type']}) has no input '{missing[0]}': it was saved by another version of Safety Steer. "
            "Take it out with --remove, and add again."
        )
