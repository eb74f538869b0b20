"""What the nodes share: category, socket types, the report output, search words, inputs of nodes that draw, checked choices."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from typing import Any

from comfy_api.latest import io

from ..safety_steer.choices import THEMES
from ..safety_steer.errors import DataError

CATEGORY = "safety steer"
# Types of their own, so that a wrong wire cannot be drawn.
SafetyDirectionSocket = io.Custom("SAFETY_DIRECTION")
AlignedDirectionSocket = io.Custom("ALIGNED_DIRECTION")
ReportSocket = io.Custom("SAFETY_REPORT")


def report_output(later: bool) -> io.Output:
    """Return the report output of an Apply node; `later` when it fills up during sampling."""
    rest = " Connect what was sampled to the after input there." if later else ""
    return ReportSocket.Output(
        display_name="report", tooltip=f"What was flagged and how far each word moved, for Safety Report.{rest}"
    )


def search_aliases(*words: str) -> dict[str, Any]:
    """Return the argument of io.Schema that makes a node found by these words, which people type who do not know its name; none
    where ComfyUI has no such argument.
    """
    # An argument that Schema does not know is a TypeError, and the pack would not load.
    return {"search_aliases": list(words)} if "search_aliases" in signature(io.Schema).parameters else {}


def checked_choice(name: str, value: str, choices: Collection[str], node: str) -> str:
    """Return the value of a dropdown; raises DataError, naming the input and its node, for one that is not on its list.

    Not every ComfyUI checks a dropdown against its list.
    """
    if value not in choices:
        allowed = (" or " if len(choices) == 2 else ", ").join(choices)
        raise DataError(f"Expected {name} {allowed}, but got '{value[:40]}'. Change {name} on {node}.")
    return value


def theme_input() -> io.Input:
    """Return the input that chooses between dark and light."""
    return io.Combo.Input("theme", options=list(THEMES), default="dark", tooltip="Colours of the picture.")


def clip_input() -> io.Input:
    """Return the input for the CLIP that shows tokens as words."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="The CLIP that encodes your prompt, to show words in place of token numbers. It encodes the prompts of this "
        "workflow once more to find the right one.",
    )


def prompt_input() -> io.Input:
    """Return the input for a prompt that is not typed in the workflow."""
    return io.String.Input(
        "prompt",
        default="",
        optional=True,
        tooltip="Only needed when the words do not show although a CLIP is connected, because another node wrote your prompt: "
        "connect that text here.",
    )
