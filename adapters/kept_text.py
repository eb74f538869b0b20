"""What a node said stays with it: in the history of a run that had the node's results at hand, too."""

from __future__ import annotations

from inspect import signature
from typing import Any

from comfy_api.latest import io


def kept_text() -> dict[str, Any]:
    """Return the argument of io.Schema that has ComfyUI tell a node's text again when it is cached; none without it."""
    # An argument that Schema does not know is a TypeError, and the pack would not load.
    return {"has_intermediate_output": True} if "has_intermediate_output" in signature(io.Schema).parameters else {}
