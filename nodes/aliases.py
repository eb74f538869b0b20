"""Search words: what people type in ComfyUI's node search who do not know the name of a node."""

from __future__ import annotations

from inspect import signature
from typing import Any

from comfy_api.latest import io


def search_aliases(*words: str) -> dict[str, Any]:
    """Return the argument of io.Schema that makes a node found by these words; none where ComfyUI has no such argument."""
    # An argument that Schema does not know is a TypeError, and the pack would not load.
    return {"search_aliases": list(words)} if "search_aliases" in signature(io.Schema).parameters else {}
