"""The socket types of the pack, kept apart so that a wrong wire cannot be drawn."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "safety steer"
SafetyDirectionSocket = io.Custom("SAFETY_DIRECTION")
AlignedDirectionSocket = io.Custom("ALIGNED_DIRECTION")
ReportSocket = io.Custom("SAFETY_REPORT")
