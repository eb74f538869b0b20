"""What the nodes promise, as data: schema_lock.json, which workflows rely on, and the English texts of locales/en.

    COMFYUI_PATH=... PYTHONPATH=tests python -m support.comfyui.public_schema --write

adds what is new to the lock, and writes the English texts anew and, from both, what the workflow editors know of the nodes
(`python -m tools.docs.write_pack_nodes`, which needs no ComfyUI). It does not touch a lock whose promises are broken.
"""

from __future__ import annotations

import json
import sys
from itertools import zip_longest
from typing import Any

from tools.docs import write_pack_nodes

LOCK, ENGLISH = write_pack_nodes.LOCK, write_pack_nodes.ENGLISH
# Lists of files, which differ from computer to computer.
FILES = {
    ("LoadSafetyDirection", "direction_name"),
    ("ExtractSafetyDirection", "pairs"),
    ("ExtractSafetyDirection", "model"),
    ("NegateUnsafeWeights", "source"),
    ("NegateUnsafeWeightsVision", "source"),
    ("RefuseUnsafeRequests", "refusal_name"),
    ("LoadAlignedDirection", "aligned_name"),
    ("AlignSafetyDirectionVision", "pictures"),
}
Node = dict[str, Any]


def node_classes() -> list[Any]:
    """Return the node classes of the pack as the ComfyUI named by COMFYUI_PATH loaded them."""
    from . import running_comfyui

    return list(running_comfyui.module("nodes").NODES)


def lock_of(schema: Any) -> Node:
    """Return what a saved workflow relies on: inputs in order, and the types of the outputs."""
    return {
        "inputs": [_input_lock(schema.node_id, item) for item in schema.inputs],
        "outputs": [item.get_io_type() for item in schema.outputs],
    }


def texts_of(schema: Any) -> Node:
    """Return the texts of a node in the form of a nodeDefs.json."""
    texts: Node = {"display_name": schema.display_name, "description": schema.description}
    texts["inputs"] = {item.id: {"name": item.id, "tooltip": item.tooltip} for item in schema.inputs}
    outputs = {str(number): {"name": item.display_name, "tooltip": item.tooltip} for number, item in enumerate(schema.outputs)}
    return {**texts, "outputs": outputs} if outputs else texts


def broken(old: dict[str, Node], new: dict[str, Node]) -> list[str]:
    """Say which promises of `old` the schemas `new` break. Appending optional inputs, options and outputs breaks none.

    Nor does another default in a list of files: a saved workflow names its file, which stays.
    """
    said = [f"the node {node} is gone" for node in old if node not in new]
    for node in old.keys() & new.keys():
        for before, after in zip_longest(old[node]["inputs"], new[node]["inputs"]):
            if before is None:
                said += [] if after["optional"] else [f"{node}: the new input {after['name']} is not optional"]
            else:
                said += [f"{node}: the input {before['name']} {change}" for change in _input_changes(before, after)]
        outputs = new[node]["outputs"][: len(old[node]["outputs"])]
        if outputs != old[node]["outputs"]:
            said.append(f"{node}: the outputs were {old[node]['outputs']} and are {outputs}")
    return sorted(said)


def _input_lock(node: str, item: Any) -> Node:
    found = {"name": item.id, "type": item.get_io_type(), "optional": bool(item.optional)}
    for key in ("default", "min", "max", "options"):
        value = getattr(item, key, None)
        if value is not None:
            found[key] = "files" if key == "options" and (node, item.id) in FILES else value
    return found


def _input_changes(before: Node, after: Node | None) -> list[str]:
    if after is None or after["name"] != before["name"]:
        return [f"is gone, or no longer at its place, where {after['name'] if after else 'nothing'} is"]
    said = [
        f"had {key} {before.get(key)!r} and has {after.get(key)!r}"
        for key in ("type", "default")
        if before.get(key) != after.get(key) and (key != "default" or before.get("options") != "files")
    ]
    if before["optional"] and not after["optional"]:
        said.append("was optional and is not")
    options = after.get("options")
    if "options" in before and (options or [])[: len(before["options"])] != before["options"]:
        said.append(f"had options {before['options']} and has {options}")
    if "min" in before and not (after["min"] <= before["min"] and after["max"] >= before["max"]):
        said.append(f"allowed {before['min']} to {before['max']} and allows {after['min']} to {after['max']}")
    return said


def _written(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files; 1 when a promise is broken."""
    if "--write" not in sys.argv[1:]:
        print(__doc__)
        return 1
    schemas = [node.define_schema() for node in node_classes()]
    old = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}
    new = {schema.node_id: lock_of(schema) for schema in schemas}
    found = broken(old, new)
    if found:
        print("\n".join(["Not written: saved workflows rely on what changed.", *found]))
        return 1
    LOCK.write_text(_written(new), encoding="utf-8")
    ENGLISH.parent.mkdir(parents=True, exist_ok=True)
    ENGLISH.write_text(_written({schema.node_id: texts_of(schema) for schema in schemas}), encoding="utf-8")
    write_pack_nodes.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
