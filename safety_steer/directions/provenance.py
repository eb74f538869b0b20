"""Where a direction comes from: the model, the prompts by their hashes, the version that made it, and who signed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..storage.prompt_files import prompts_hash
from ..storage.signature import Verdict
from .aligned import AlignedDirection
from .source import SafetyDirection

UNKNOWN = "not said"
MAX_SHOWN = 80  # by hand; characters of a name in a stranger's file
MADE = "made"


def provenance(direction: SafetyDirection | AlignedDirection, verdict: Verdict) -> dict[str, str]:
    """Return what is known of a direction's making, each in one printable line.

    Files made before versions and pairs were written down say "not said" there, unless their signer has told the pairs.
    """
    known = _of_aligned(direction) if isinstance(direction, AlignedDirection) else _of_source(direction, verdict)
    return {**known, "content": direction.content_hash, "signature": verdict.text}


def pairs_of(direction: SafetyDirection, verdict: Verdict) -> str:
    """Return the hash of the pairs a direction was made from, by its file or else by its signer; "" where neither says it."""
    made = direction.report.get(MADE)
    value = made.get("pairs") if isinstance(made, Mapping) else None
    return _short(value) if isinstance(value, str) else verdict.pairs


def _of_source(direction: SafetyDirection, verdict: Verdict) -> dict[str, str]:
    made = direction.report.get(MADE)
    return {
        "model": _short(f"{direction.source.name}, layers {', '.join(map(str, direction.layers))}"),
        "version": _short(made.get("version")) if isinstance(made, Mapping) else UNKNOWN,
        "pairs": pairs_of(direction, verdict) or UNKNOWN,
        "harmless prompts": prompts_hash([*direction.anchors, *direction.passages]),
    }


def _of_aligned(aligned: AlignedDirection) -> dict[str, str]:
    return {
        "model": _short(aligned.source.name),
        "encoder": _short(aligned.encoder),
        "version": _short(aligned.settings.get("version")),
        "direction": _short(aligned.direction_hash),
    }


def _short(value: Any) -> str:
    """Return a text of a stranger's file as it can be shown; UNKNOWN for what is no text."""
    if not isinstance(value, str):
        return UNKNOWN
    text = value[:MAX_SHOWN]
    return text if text.isprintable() else ascii(text)
