"""The nodes that are put into workflows, as a saved workflow describes them. A test compares them with the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..storage.bundled import SOURCE
from .graph import Json, NodeId, inputs

DIRECTION, ALIGNED, REPORT = "SAFETY_DIRECTION", "ALIGNED_DIRECTION", "SAFETY_REPORT"
LOAD, ALIGN, APPLY = "LoadSafetyDirection", "AlignSafetyDirection", "ApplySafetySteer"
MIXER, ON_CONDITIONING, ON_WAN_WRAPPER = "SafetyCategoryMixer", "ApplySafetySteerConditioning", "ApplySafetySteerWanVideo"
REPORTING, SCORING = "SafetyReport", "SafetyScore"


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
}
"""Nodes that are taken out. The wire that passed through is reconnected around them; what else they gave is given no more."""
SUPPLYING = (LOAD, ALIGN, MIXER)
"""Nodes that only serve steering."""
PACK = "safety-steer"


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
    """One of the pack's nodes: its inputs and outputs in order, and the size it needs on the canvas."""

    type: str
    title: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    size: tuple[int, int]

    def slot(self, name: str) -> int:
        """Return the index of an input."""
        return [item.name for item in self.inputs].index(name)


OWN_NODES = {
    node.type: node
    for node in (
        OwnNode(
            LOAD,
            "Load Safety Direction",
            (Input("direction_name", "COMBO", SOURCE),),
            (("direction", DIRECTION),),
            (385, 130),
        ),
        OwnNode(
            ALIGN,
            "Align Direction",
            (
                Input("direction", DIRECTION, widget=False),
                Input("clip", "CLIP", widget=False),
                Input("map", "COMBO", "ridge"),
                Input("max_anchors", "INT", 3072),
                Input("anchors", "STRING", "", optional=True),
                Input("thresholds", "COMBO", "all", optional=True),
            ),
            (("direction", ALIGNED),),
            (385, 260),
        ),
        OwnNode(
            MIXER,
            "Category Mixer",
            (
                Input("direction", ALIGNED, widget=False),
                Input("global", "FLOAT", 1.0),
                Input("hate", "FLOAT", 0.0),
                Input("sexual", "FLOAT", 0.0),
                Input("violence", "FLOAT", 0.0),
                Input("humiliation", "FLOAT", 0.0),
                Input("illegal_activity", "FLOAT", 0.0),
                Input("disturbing", "FLOAT", 0.0),
                Input("self_harm", "FLOAT", 0.0, optional=True),
                Input("privacy", "FLOAT", 0.0, optional=True),
                Input("copyright", "FLOAT", 0.0, optional=True),
            ),
            (("direction", ALIGNED),),
            (320, 345),
        ),
        OwnNode(
            APPLY,
            "Apply Safety Steer",
            (
                Input("model", "MODEL", widget=False),
                Input("direction", ALIGNED, widget=False),
                Input("strength", "FLOAT", 1.0),
                Input("operator", "COMBO", "erase"),
                Input("gate", "COMBO", "hard"),
                Input("start_percent", "FLOAT", 0.0),
                Input("end_percent", "FLOAT", 1.0),
                Input("preserve_norm", "BOOLEAN", False),
                Input("site", "COMBO", "conditioning", optional=True),
                Input("fade", "FLOAT", 0.0, optional=True),
                Input("blocks", "STRING", "", optional=True),
                Input("preset", "COMBO", "as set", optional=True),
            ),
            (("model", "MODEL"), ("report", REPORT)),
            (420, 410),
        ),
    )
}


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
    values = {item.name: item.value if item.widget else wires[item.name] for item in node.inputs}
    return {"inputs": values, "class_type": type, "_meta": {"title": node.title}}


def check_version(node: Mapping[str, Any]) -> None:
    """Raise DataError for a saved node of the pack that lacks a socket this version's node has."""
    own = OWN_NODES.get(node["type"])
    sockets = {socket.get("name") for socket in inputs(node)}
    wires = [item.name for item in own.inputs if not item.widget] if own else []
    missing = [name for name in wires if name not in sockets]
    if missing:
        raise DataError(
            f"Node {node['id']} ({node['type']}) has no input '{missing[0]}': it was saved by another version of Safety Steer. "
            "Take it out with --remove, and add again."
        )
