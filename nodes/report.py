"""Show on a node, and in the log, what steering did."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.apply import Outcome, summary

LOGGER = logging.getLogger("safety_steer")


def describe(outcomes: Sequence[Outcome], direction: AlignedDirection) -> str:
    """Say what was done to each conditioning entry, in order."""
    texts = [summary(outcome, direction) for outcome in outcomes]
    if not texts:
        return "not steered: the positive prompt has no text tensors"
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"entry {number}:\n{text}" for number, text in enumerate(texts, 1))


def show(node_id: str | None, text: str) -> None:
    """Write `text` to the log and onto the node, when a ComfyUI server runs."""
    LOGGER.info("Safety Steer: %s", text)
    # Looked up, not imported: a run without a server must not start one's modules.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id, server.client_id)
