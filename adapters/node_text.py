"""Show on a node, and in the log, what steering did."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.reports.summary import picture_summary, summary
from ..safety_steer.steering.steer_conditioning import Outcome

if TYPE_CHECKING:
    from .sampling.pictures import Pictures

LOGGER = logging.getLogger("safety_steer")


def describe(outcomes: Sequence[Outcome], direction: AlignedDirection) -> str:
    """Say what was done to each conditioning entry, in order."""
    texts = [summary(outcome, direction) for outcome in outcomes]
    if not texts:
        return "not steered: the positive prompt has no text tensors"
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"entry {number}:\n{text}" for number, text in enumerate(texts, 1))


def described(
    outcomes: Mapping[str, Sequence[Outcome]],
    direction: AlignedDirection | None,
    pictures: Pictures | None,
    notices: Sequence[str] = (),
) -> str:
    """Say what was done to text, where a direction for it was given, and to pictures, where one for them was.

    `outcomes` are by role, whose names are said where there are several; `notices` say what was not reached.
    """
    texts = {} if direction is None else {role: describe(found, direction) for role, found in outcomes.items()}
    parts = list(texts.values()) if len(texts) < 2 else [f"{role}:\n{text}" for role, text in texts.items()]
    if pictures is not None:
        parts.append(picture_summary(pictures.outcomes, pictures.direction, list(pictures.past)))
    return "\n".join([*parts, *(f"  {notice}" for notice in notices)])


def show(node_id: str | None, text: str, node_type: str | None = None) -> None:
    """Write `text` to the log and onto the node, when a ComfyUI server runs.

    ComfyUI keeps a node's outputs when the same node comes again under another id. So what speaks later than its node says
    which `node_type` it is of: the text goes to the one node of that type in the running workflow, if there are others to none.
    """
    LOGGER.info("Safety Steer: %s", text)
    put(node_id, text, node_type)


def put(node_id: str | None, text: str, node_type: str | None = None) -> None:
    """Write `text` onto the node, as `show` does, and not to the log."""
    # Looked up, not imported: a run without a server must not start one's modules.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None:
        return
    place = node_id if node_type is None else _place(server, node_id, node_type)
    if place is not None:
        server.send_progress_text(text, place, server.client_id)


def _place(server: Any, node_id: str | None, node_type: str) -> str | None:
    """Return the id of a node of this type in the workflows that run: the given one, or else the only one there is."""
    queue = getattr(server, "prompt_queue", None)
    running = [item[2] for item in list(queue.currently_running.values())] if queue is not None else []
    found = {number for prompt in running for number, node in prompt.items() if node.get("class_type") == node_type}
    if not running or node_id in found:
        return node_id
    return found.pop() if len(found) == 1 else None
