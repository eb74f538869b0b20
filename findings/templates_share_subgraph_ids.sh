#!/usr/bin/env bash
# The id of a subgraph, a UUID, is no id in ComfyUI's own templates: one stands for pictures here and for videos there.
#
# Version:  comfyui-workflow-templates-json 0.1.123 (644 workflows).
# Input:    definitions.subgraphs of every workflow of the package.
# Seen:     230 ids. 22 of them name subgraphs of different nodes in different templates, 25 of different inputs or outputs:
#           4f4ddf39-... is an image edit, text to image, image to video and an edit of videos; 605cfcbf-... gives an IMAGE in
#           one template and IMAGE, AUDIO and FLOAT in another. Within one file ids are unique.
# And:      one template's subgraphs have 12 links that end at nodes which are not there.
# Why care: a cache, a merge of two workflows, or a copy from one window to another that goes by the UUID takes a wrong
#           graph for the right one; and a reader of workflows may not look up the end of a link without asking.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -qq --target "$folder" comfyui-workflow-templates-json==0.1.123

python3 - "$folder" <<'PY'
import json
import sys
from collections import defaultdict
from pathlib import Path

EXAMPLES = ("4f4ddf39-1508-4d34-a35c-ff10e6ce995b", "605cfcbf-c05b-4cd4-8b8f-9d7d989ab5d3")
workflows = 0
repeated, loose = [], defaultdict(int)
found: dict[str, dict] = defaultdict(dict)
for path in sorted(Path(sys.argv[1], "comfyui_workflow_templates_json", "templates").glob("*.json")):
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or "nodes" not in data:
        continue
    workflows += 1
    subgraphs = data.get("definitions", {}).get("subgraphs", [])
    repeated += [path.stem] if len({graph["id"] for graph in subgraphs}) < len(subgraphs) else []
    for graph in subgraphs:
        found[graph["id"]][path.stem] = graph
        # -10 and -20 are the subgraph's own inputs and outputs.
        there = {node["id"] for node in graph["nodes"]} | {-10, -20}
        loose[path.stem] += sum(link["target_id"] not in there for link in graph["links"])


def kinds(graph):
    return tuple(sorted(node["type"] for node in graph["nodes"]))


def sockets(graph):
    return tuple(tuple((socket["name"], socket["type"]) for socket in graph[side]) for side in ("inputs", "outputs"))


other_nodes, other_sockets = (
    [name for name, graphs in found.items() if len({of(graph) for graph in graphs.values()}) > 1] for of in (kinds, sockets)
)
print(f"{workflows} workflows, {len(found)} ids; repeated within a file: {len(repeated)}")
print(f"ids of different nodes: {len(other_nodes)}, of different inputs or outputs: {len(other_sockets)}")
for name in EXAMPLES:
    for template, graph in found[name].items():
        print(f"  {name[:8]} {template}: {len(graph['nodes'])} nodes, gives {', '.join(out['type'] for out in graph['outputs'])}")
astray = {name: count for name, count in loose.items() if count}
print(f"links to nodes that are not there: {astray}")
counts = (workflows, len(found), len(repeated), len(other_nodes), len(other_sockets))
right = counts == (644, 230, 0, 22, 25) and set(EXAMPLES) <= set(other_nodes)
sys.exit(not (right and astray == {"image_flux2_klein_image_edit_9b_distilled": 12}))
PY
