"""What nodes say about a direction: how much is in it, and whether a newer one should take its place."""

from __future__ import annotations

from ..safety_steer.categories import GLOBAL
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.directions.provenance import provenance
from ..safety_steer.directions.source import SafetyDirection
from ..safety_steer.storage.bundled import NEWEST
from ..safety_steer.storage.signature import Verdict

HASHES = ("pairs", "harmless prompts", "direction", "content")
SHORT = 12  # by hand; digits of a hash


def is_older(direction: SafetyDirection) -> bool:
    """Say whether a direction was made before long prompts were looked at."""
    return direction.examples is None


def described(name: str, direction: SafetyDirection) -> str:
    """Say what a direction file of this name holds."""
    kinds = len([category for category in direction.categories if category != GLOBAL])
    anchors, passages = len(direction.anchors), len(direction.passages)
    prompts = f"{anchors:,} harmless prompts" + (f" and {passages} long ones" if passages else "")
    text = f"{name.removesuffix('.safetensors')}: {kinds} {'category' if kinds == 1 else 'categories'}, {prompts}"
    return "\n".join([text, *advice(direction)])


def origin(direction: SafetyDirection | AlignedDirection, verdict: Verdict) -> str:
    """Say where a direction comes from and who signed it, with the first digits of the hashes, which `verify` has in full."""
    known = provenance(direction, verdict)
    hashes = ", ".join(f"{name} {known[name][:SHORT]}" for name in HASHES if name in known)
    return f"from {known['model']}; Safety Steer version {known['version']}\n{hashes}\n{known['signature']}"


def advice(direction: SafetyDirection) -> list[str]:
    """Say of an older direction that it is one, and what to do about it; nothing of others."""
    if not is_older(direction):
        return []
    return [
        f"older direction: it was made before long prompts were looked at; choose {NEWEST} in Load Safety Direction, or make "
        "your own again"
    ]
