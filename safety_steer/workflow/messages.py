"""What is said about samplers and blocks that are left alone, in plain words. The window's script says the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .graph import Document, Graph, Json
from .pack_nodes import APPLY, OWN_NODES

TEXTS = {
    "no_sampler": "{what} has no sampler that runs in ComfyUI itself",
    "empty_input": "its {name} input is empty",
    "broken_wire": "the wire into its {name} input is broken",
    "switched_off": "its {node} is switched off: bypassed or muted",
    "within": "the steering is in {node}",
    "blocks_stay": "placed by hand, and left in: {nodes}; bypass or delete it in ComfyUI",
    "node": "{title} (#{id})",
    "not_text": "its prompt is not text: it comes from {nodes}",
    "no_prompt": "no text prompt leads to it",
    "no_text_outside": "the subgraph {graph} is also used with a prompt that is not text",
    "several_clips": (
        "its prompt is encoded by {count} different CLIPs, and a direction fits one; connect one CLIP, or steer by hand"
    ),
    "own_loop": "it samples with a loop or a guider of its own, which a steered model does not reach; {remedy}",
    "own_prompt": "no prompt leads to it by wire, and what is typed into it is not steered",
    "own_model": "it runs a model of its own, which cannot be steered",
    "own_model_wan": "it runs a model of its own; put Apply Safety Steer (WanVideoWrapper) on its text_embeds",
    "own_model_conditioning": "it runs a model of its own; put Apply Safety Steer (Conditioning) on its prompt",
    "remedy": "put Apply Safety Steer (Conditioning) on its {names}",
    "in_pipe": "its model comes inside a pipe from {node}; take the pipe apart and connect the model, or steer by hand",
    "hidden": "its model and its prompt come inside a data stream, which cannot be opened",
    "prompt_in_pipe": "its prompt comes inside a pipe from {nodes}, which shows no CLIP; connect the prompt, or steer by hand",
    "no_clip": "the CLIP input of {nodes} before it has no wire",
    "broadcast": "its {name} input has no wire that the file notes; {nodes} may fill it when the workflow runs: connect it",
    "get_elsewhere": "its prompt is read by a Get node from a Set that is not in its graph; lead the wire in",
    "through": "with {node}, whose model it takes on",
    "missed": "not steered: {texts}",
    "missed_inside": "the prompt that {nodes} puts into the model",
    "missed_beside": "the texts of {nodes}",
    "missed_others": "its {names}",
    "group_node": "it is a group node that holds {nodes}; ungroup it, or make it a subgraph",
}
NO_SAMPLER = TEXTS["no_sampler"].format(what="it")
NOTHING_TO_REMOVE = "it has no steering"
READ = {"workflow": "read from its workflow, as the editor saved it", "prompt": "read from its prompt, the API format"}
"""Where in a picture or a video a workflow was. Only the command says these two."""
WITHIN = "found under {keys}"


def name_of(socket: Mapping[str, Any]) -> str:
    """Return a socket's name for people; files can leave it out."""
    return str(socket.get("name") or "")


def nothing_connected(socket: Mapping[str, Any]) -> str:
    """Say that an input has no wire, or one the file does not hold."""
    return TEXTS["empty_input" if socket.get("link") is None else "broken_wire"].format(name=name_of(socket))


def switched_off(document: Document, node: Json) -> str:
    """Say that there is a steering node, or a subgraph with one, which does nothing."""
    return TEXTS["switched_off"].format(node=_name(document, node))


def within(document: Document, steering: Sequence[Json]) -> str:
    """Say which subgraph steers; nothing for a steering node that lies open. The outermost subgraph is the last."""
    return TEXTS["within"].format(node=_name(document, steering[-1])) if len(steering) > 1 else ""


def blocks_stay(document: Document, blocks: Sequence[Json]) -> str:
    """Say which blocks stay in a workflow that steering is taken out of, and what can be done; nothing without any."""
    return TEXTS["blocks_stay"].format(nodes=", ".join(_name(document, node) for node in blocks)) if blocks else ""


def _name(document: Document, node: Json) -> str:
    inner = document.inside(node)
    return TEXTS["node"].format(title=node.get("title") or inner.name if inner else OWN_NODES[APPLY].title, id=node["id"])


def prompt_elsewhere(names: Sequence[str]) -> str:
    """Say that a sampler reads its prompt by inputs, or in a way, that a steered model does not reach."""
    if not names:
        return TEXTS["own_prompt"]
    return TEXTS["own_loop"].format(remedy=TEXTS["remedy"].format(names=", ".join(names)))


def through(node: Json) -> str:
    """Say that a sampler takes the model on that another node is steered by."""
    title = node.get("title") or node["type"]
    return TEXTS["through"].format(node=TEXTS["node"].format(title=title, id=node["id"]))


def missed(inside: Sequence[str], beside: Sequence[str], others: Sequence[str]) -> str:
    """Say which prompts a sampler reads besides the steered one; empty without any."""
    found = [
        TEXTS[key].format(nodes=", ".join(dict.fromkeys(names)), names=", ".join(names))
        for key, names in (("missed_inside", inside), ("missed_beside", beside), ("missed_others", others))
        if names
    ]
    return TEXTS["missed"].format(texts=", ".join(found)) if found else ""


def no_text(ends: Sequence[str]) -> str:
    """Say that a conditioning comes from no text encoder; name the nodes it comes from."""
    return TEXTS["not_text" if ends else "no_prompt"].format(nodes=", ".join(dict.fromkeys(ends)))


def no_text_outside(graph: Graph) -> str:
    """Say that a subgraph is used in several places, not all of them with text."""
    return TEXTS["no_text_outside"].format(graph=graph.name)


def several_clips(count: int) -> str:
    """Say that a prompt is encoded by more than one CLIP."""
    return TEXTS["several_clips"].format(count=count)
