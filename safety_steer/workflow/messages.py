"""What is said about samplers and blocks that are left alone, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .graph import Document, Graph, Json

NO_SAMPLER = "it has no sampler that runs in ComfyUI itself"
NOTHING_TO_REMOVE = "it has no steering"


def nothing_connected(socket: Mapping[str, Any]) -> str:
    """Say that an input has no wire, or one the file does not hold."""
    broken = socket.get("link") is not None
    return f"the wire into its {socket.get('name')} input is broken" if broken else f"its {socket.get('name')} input is empty"


def switched_off(document: Document, node: Json) -> str:
    """Say that there is a steering node, or a subgraph with one, which does nothing."""
    return f"its {_name(document, node)} is switched off: bypassed or muted"


def within(document: Document, steering: Sequence[Json]) -> str:
    """Say which subgraph steers; nothing for a steering node that lies open. The outermost subgraph is the last."""
    return f"the steering is in {_name(document, steering[-1])}" if len(steering) > 1 else ""


def blocks_stay(document: Document, blocks: Sequence[Json]) -> str:
    """Say which blocks stay in a workflow that steering is taken out of, and what can be done; nothing without any."""
    names = ", ".join(_name(document, node) for node in blocks)
    return f"placed by hand, and left in: {names}; bypass or delete it in ComfyUI" if names else ""


def _name(document: Document, node: Json) -> str:
    inner = document.inside(node)
    return f"{node.get('title') or inner.name if inner else 'Apply Safety Steer'} (#{node['id']})"


def no_text(ends: Sequence[str]) -> str:
    """Say that a conditioning comes from no text encoder; name the nodes it comes from."""
    named = ", ".join(dict.fromkeys(ends))
    return f"its prompt is not text: it comes from {named}" if named else "no text prompt leads to it"


def no_text_outside(graph: Graph) -> str:
    """Say that a subgraph is used in several places, not all of them with text."""
    return f"the subgraph {graph.name} is also used with a prompt that is not text"


def several_clips(count: int) -> str:
    """Say that a prompt is encoded by more than one CLIP."""
    return f"its prompt is encoded by {count} different CLIPs, and a direction fits one; connect one CLIP, or steer by hand"
