"""The socket types of the pack, kept apart so that a wrong wire cannot be drawn."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "safety steer"
SafetyDirectionSocket = io.Custom("SAFETY_DIRECTION")
AlignedDirectionSocket = io.Custom("ALIGNED_DIRECTION")
ReportSocket = io.Custom("SAFETY_REPORT")


def report_output(later: bool) -> io.Output:
    """Return the report output of an Apply node; `later` when it fills up during sampling."""
    rest = " Connect what was sampled to the after input there." if later else ""
    return ReportSocket.Output(
        display_name="report", tooltip=f"What was flagged and how far each word moved, for Safety Report.{rest}"
    )
