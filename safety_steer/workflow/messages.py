"""What is said about samplers that are left alone, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .graph import Graph

NO_SAMPLER = "it has no sampler that runs in ComfyUI itself"
NOTHING_TO_REMOVE = "it has no steering"


def nothing_connected(socket: Mapping[str, Any]) -> str:
    """Say that an input has no wire, or one the file does not hold."""
    broken = socket.get("link") is not None
    return f"the wire into its {socket.get('name')} input is broken" if broken else f"its {socket.get('name')} input is empty"


def switched_off(node: Mapping[str, Any]) -> str:
    """Say that there is a steering node which does nothing."""
    return f"its Apply Safety Steer (#{node['id']}) is switched off: bypassed or muted"


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
