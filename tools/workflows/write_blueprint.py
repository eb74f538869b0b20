"""Write subgraphs/Safety Steer.json, the steering nodes as one block: `python -m tools.workflows.write_blueprint`.

ComfyUI offers the file among its subgraph blueprints, under the file's name. Nodes, values and their order come from the
table of the pack's nodes; a test holds the file to what this makes.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from safety_steer.workflow.editor.edit import Editor
from safety_steer.workflow.graph import ENTRY, EXIT, Document, Json, Wire
from safety_steer.workflow.pack_nodes import ALIGN, APPLY, LOAD, MIXER, OWN_NODES, PACK, Input

NAME = "Safety Steer"
TARGET = Path(__file__).parents[2] / "subgraphs" / f"{NAME}.json"
KEY = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK}/{TARGET.name}"))
SIZE = (490, 395)
PLACES = {LOAD: (0, 0), ALIGN: (0, 190), MIXER: (465, 0), APPLY: (865, 0)}
WIRES = ((LOAD, ALIGN, "direction"), (ALIGN, MIXER, "direction"), (MIXER, APPLY, "direction"))
SOCKETS = ((APPLY, "model"), (ALIGN, "clip"))
WIDGETS = (
    (LOAD, "direction_name"),
    (APPLY, "strength"),
    (APPLY, "preset"),
    *((MIXER, item.name) for item in OWN_NODES[MIXER].inputs if item.widget),
)
LABELS = {"direction_name": "direction file", "preset": "preset (replaces strength)", "global": "everything unsafe"}
DESCRIPTION = (
    "Safety steering as one block. Connect MODEL last before the sampler, and the CLIP that encodes your prompts. 'strength' "
    "steers all of it; the sliders below say how much of each kind of unsafe content, 0 is off. 'strength' counts while "
    "'preset' is 'as set': any other preset takes its place, and the sliders still count. Connect 'report' to Safety Report to "
    "see what was done. Open the block for all settings, such as your own harmless prompts in Align Direction."
)
SEARCH = ["safety", "nsfw", "sfw", "safe", "censor", "filter", "moderation", "guard", "nudity"]


def blueprint() -> Json:
    """Return the workflow that ComfyUI serves: a root with one subgraph node, and the subgraph."""
    document = Document(_empty())
    editor, graph, root = Editor(document), document.graphs[KEY], document.root
    [block] = root.nodes.values()
    numbers = {type: editor.add_node(graph, type, place)["id"] for type, place in PLACES.items()}
    for origin, target, name in WIRES:
        kind = OWN_NODES[origin].outputs[0][1]
        editor.connect(graph, Wire(numbers[origin], 0), numbers[target], OWN_NODES[target].slot(name), kind)
    for place, (type, name) in enumerate((*SOCKETS, *WIDGETS)):
        item = _input(type, name)
        editor.add_input(graph, name, item.kind)
        editor.connect(graph, Wire(ENTRY, place), numbers[type], OWN_NODES[type].slot(name), item.kind)
        label = LABELS.get(name, name.replace("_", " "))
        if label != name:
            graph.data["inputs"][place]["label"] = block["inputs"][place]["label"] = label
        if item.widget:
            block["inputs"][place]["widget"] = {"name": name}
            block["widgets_values"].append(item.value)
    for slot, (name, kind) in enumerate(OWN_NODES[APPLY].outputs):
        editor.add_output(graph, name, kind)
        editor.connect(graph, Wire(numbers[APPLY], slot), EXIT, slot, kind)
    return document.data


def _input(type: str, name: str) -> Input:
    return OWN_NODES[type].inputs[OWN_NODES[type].slot(name)]


def _empty() -> Json:
    """Return the block without content."""
    block: Json = {
        "id": 1,
        "type": KEY,
        "pos": [0, 0],
        "size": list(SIZE),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": NAME,
        "properties": {"cnr_id": PACK},
        "widgets_values": [],
    }
    definition: Json = {
        "id": KEY,
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": 1, "lastLinkId": 0, "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": NAME,
        "description": DESCRIPTION,
        "category": "safety steer",
        "inputNode": {"id": ENTRY, "bounding": [-320, 0, 240, 40]},
        "outputNode": {"id": EXIT, "bounding": [1365, 0, 120, 40]},
        "inputs": [],
        "outputs": [],
        "widgets": [],
        "nodes": [],
        "groups": [],
        "links": [],
        "extra": {},
    }
    data: dict[str, Any] = {"id": str(uuid.uuid5(uuid.UUID(KEY), "workflow")), "revision": 0, "last_node_id": 1}
    return {
        **data,
        "last_link_id": 0,
        "nodes": [block],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition]},
        "config": {},
        "extra": {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": SEARCH},
        "version": 0.4,
    }


def main() -> None:
    """Write the file."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(blueprint(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
