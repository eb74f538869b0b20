"""All targets by name."""

from __future__ import annotations

from . import containers, pictures, replies, texts, workflows
from .target import Target

TARGETS: dict[str, Target] = {
    one.name: one for one in (*containers.TARGETS, *texts.TARGETS, *workflows.TARGETS, *pictures.TARGETS, *replies.TARGETS)
}
