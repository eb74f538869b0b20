"""Wires of ComfyUI's API format, the form of queued and exported workflows: an input is a value, or `[node id, slot]`."""

from __future__ import annotations


def wire(value: object) -> tuple[str, int] | None:
    """Return the node and the slot of its output that an input's wire starts at; None for a value that was typed."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    origin, slot = value
    if not isinstance(origin, str | int) or not isinstance(slot, int) or bool in (type(origin), type(slot)):
        return None
    return str(origin), slot
