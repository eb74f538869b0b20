"""Write what the workflow editors know of the pack's nodes: `python -m tools.docs.write_pack_nodes`.

`pack_nodes.json` for Python comes from the locked schemas and the English texts; the two scripts for ComfyUI's window come
from the modules of `safety_steer.workflow`, so that the window's commands and `safety-steer add` know the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safety_steer.workflow import format_check, graph, messages, pack_nodes, packs, plan, prompts, samplers, trace
from safety_steer.workflow.editor import blocks, edit, insert, layout, record

ROOT = Path(__file__).parents[2]
LOCK, ENGLISH = ROOT / "tests/support/comfyui/schema_lock.json", ROOT / "locales/en/nodeDefs.json"
NODES = ROOT / "safety_steer/workflow/pack_nodes.json"
NODES_SCRIPT, RULES_SCRIPT = ROOT / "web/steering/pack_nodes.js", ROOT / "web/steering/rules.js"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
HEAD = "// Written by `python -m tools.docs.write_pack_nodes`, and not by hand: {}\n\n"


def pack_nodes_json() -> str:
    """Return the text of pack_nodes.json: title, inputs and outputs of every node; a widget has a `value`."""
    lock, texts = (json.loads(path.read_text(encoding="utf-8")) for path in (LOCK, ENGLISH))
    found = {node: _described(entry, texts[node]) for node, entry in lock.items()}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _described(entry: dict[str, Any], texts: dict[str, Any]) -> dict[str, Any]:
    names = [one["name"] for one in texts.get("outputs", {}).values()]
    return {
        "title": texts["display_name"],
        "inputs": [
            {key: one[key] for key in ("name", "type", "optional")}
            | ({"value": one.get("default")} if one["type"] in WIDGETS else {})
            for one in entry["inputs"]
        ],
        "outputs": [list(pair) for pair in zip(names, entry["outputs"], strict=True)],
    }


def pack_nodes_script() -> str:
    """Return the script that names the pack's nodes."""
    titles = json.loads(ENGLISH.read_text(encoding="utf-8"))
    return HEAD.format("the pack's nodes, as in safety_steer/workflow/pack_nodes.py.") + _exports(
        ("LOAD", pack_nodes.LOAD, ""),
        ("ALIGN", pack_nodes.ALIGN, ""),
        ("APPLY", pack_nodes.APPLY, ""),
        ("ON_CONDITIONING", pack_nodes.ON_CONDITIONING, ""),
        ("ON_WAN_WRAPPER", pack_nodes.ON_WAN_WRAPPER, ""),
        ("REPORTING", pack_nodes.REPORTING, ""),
        ("SCORING", pack_nodes.SCORING, ""),
        (
            "TITLES",
            {type: titles[type]["display_name"] for type in pack_nodes.SIZES},
            "Nodes that are put into workflows, with their titles.",
        ),
        (
            "STEERING",
            {type: [passage.input, passage.output] for type, passage in pack_nodes.STEERING.items()},
            "Nodes that are taken out: the input by which a wire of the workflow comes in, and the output by which it goes on.",
        ),
        (
            "DRAWN",
            pack_nodes.DRAWN,
            "The property by which a steering node knows inputs that no wire was drawn into before: their nodes and slots.",
        ),
        ("SUPPLYING", pack_nodes.SUPPLYING, "Nodes that only serve steering."),
        ("OWN_NODES", list(pack_nodes.PACK_NODES), "All nodes of this pack."),
        ("ALIGNED", pack_nodes.ALIGNED, "The type of a direction that fits a CLIP."),
        ("DIRECTIONS", [pack_nodes.DIRECTION, pack_nodes.ALIGNED], "The types of directions."),
    )


def rules_script() -> str:
    """Return the script with the names, numbers and texts that both editors go by."""
    return HEAD.format("what safety_steer/workflow goes by too.") + _exports(
        ("ENTRY", graph.ENTRY, "The id that links use for a subgraph's own inputs."),
        ("EXIT", graph.EXIT, "The id that links use for a subgraph's own outputs."),
        ("MUTED", graph.MUTED, ""),
        ("BYPASSED", graph.BYPASSED, ""),
        (
            "UNTOLD",
            graph.UNTOLD,
            "Types that say nothing, the second where ComfyUI has not found it out yet.",
        ),
        ("CONDITIONING", prompts.CONDITIONING, ""),
        ("CLIP", prompts.CLIP, ""),
        (
            "PACKS",
            _by_kind(),
            "Nodes of other packs by kind, as in safety_steer/workflow/packs.json; a star stands for any end.",
        ),
        ("CARRIERS", packs.CARRIERS, "Types of pipes and contexts that carry a model and a prompt."),
        ("PIPED_TEXTS", packs.TEXTS, "Types of what carries a text and its CLIP, and becomes conditioning in another node."),
        ("MEMBERS", trace.MEMBERS, "What a pipe is asked for where the name of an output does not tell."),
        ("NEGATIVE", samplers.NEGATIVE, "How the names of inputs begin or end that are no prompt to be steered."),
        ("GUIDER", samplers.GUIDER, ""),
        ("GROUPED", samplers.GROUPED, "How the types of group nodes of older files begin, before the group's name."),
        ("REFINER", samplers.REFINER, ""),
        ("ASIDE", samplers.ASIDE, "What is in the names of model inputs that do not draw the positive prompt."),
        ("GIVES", samplers.GIVES, "What samplers give whose node lists no outputs."),
        ("FOREIGN", samplers.FOREIGN, "How the types of models end that are not ComfyUI's own."),
        ("HARMLESS", samplers.HARMLESS, "How the types of models end that draw nothing."),
        ("PASSING", trace.PASSING, "Nodes that give what they get."),
        ("PAIR", trace.PAIR, "How the names of sockets begin that belong together."),
        ("POSITIVE", samplers.POSITIVE, "The names of the input for the positive prompt."),
        (
            "RESULTS",
            samplers.RESULTS,
            "What samplers and guiders give, unlike nodes that train or detect with a model.",
        ),
        (
            "WRITES_MUSIC",
            prompts.WRITES_MUSIC,
            "Nodes whose conditioning is music that a language model has written.",
        ),
        ("SAME_CLIP", prompts.SAME_CLIP, "Nodes that give a CLIP that says what the one they get says."),
        ("MAX_DEPTH", prompts.MAX_DEPTH, "How deep in each other subgraphs are looked into."),
        ("MAX_NESTING", format_check.MAX_NESTING, "How deep in each other subgraphs may lie."),
        ("MAX_USED", format_check.MAX_USED, "How many nodes there may be, those of subgraphs counted wherever they are used."),
        ("NOTES", blocks.NOTES, "What a block may hold besides steering: nodes that do nothing by themselves."),
        (
            "MAX_ID",
            edit.MAX_ID,
            "The highest id of a node or a link that new ones are counted on from: the editor counts in floats.",
        ),
        ("RECORD", record.KEY, "Where `safety-steer add` keeps, in a file, what it has changed."),
        ("SOCKET", insert.SOCKET, "The name of a subgraph's new input or output for a direction."),
        ("TITLE", layout.TITLE, "The height of a node's title."),
        ("GAP", layout.GAP, "The room between a new node and its neighbour."),
        ("STEP", layout.STEP, ""),
        ("REACH", layout.REACH, "How many steps around the wanted place are tried before the room below everything is taken."),
        ("STEER", plan.STEER, ""),
        ("STEERED", plan.STEERED, ""),
        ("LEFT", plan.LEFT, ""),
        ("TEXTS", messages.TEXTS, "What is said about samplers and blocks that are left alone; names in braces are filled in."),
    )


def _by_kind() -> dict[str, list[str]]:
    """Return the names of nodes in the table of packs, by kind."""
    found: dict[str, list[str]] = {}
    for pack in packs.TABLE["packs"]:
        for kind, names in pack["nodes"].items():
            found.setdefault(kind, []).extend(names)
    return found


def _exports(*constants: tuple[str, Any, str]) -> str:
    """Write constants, each with its value as JSON and a comment where it needs one."""
    return "".join(
        (f"/** {comment} */\n" if comment else "") + f"export const {name} = {_value(value)};\n"
        for name, value, comment in constants
    )


def _value(value: Any) -> str:
    """Write a value as JSON, an object with one line for each key."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    lines = (f"  {json.dumps(key)}: {json.dumps(one, ensure_ascii=False)},\n" for key, one in value.items())
    return "{\n" + "".join(lines) + "}"


def written() -> dict[Path, str]:
    """Return every file with the text it is to have."""
    return {NODES: pack_nodes_json(), NODES_SCRIPT: pack_nodes_script(), RULES_SCRIPT: rules_script()}


def main() -> None:
    """Write the three files."""
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
