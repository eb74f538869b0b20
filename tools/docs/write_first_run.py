"""Write what two builds took side by side into docs/measurements.md, from results/first_run.json.

python -m tools.docs.write_first_run
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import with_table

ROOT = Path(__file__).parents[2]
PAGE, FOUND = ROOT / "docs/measurements.md", ROOT / "results/first_run.json"
MIB = 2**20


def page() -> str:
    """Return the page with the figures in their place."""
    return with_table(PAGE.read_text(encoding="utf-8"), "first_run", figures(json.loads(FOUND.read_text(encoding="utf-8"))))


def _orders(name: str, orders: Mapping[str, Any]) -> str:
    """Say how fits differ that were taught in other orders."""
    change, error, count = (orders[what] for what in ("change", "standard_error", "count"))
    gate, flagged = (f"{change[what]:+.3f} (standard error {error[what]:.3f})" for what in ("gate_auroc", "flagged"))
    told = f"mean change of gate AUROC {gate}, of flagged {flagged}"
    return f"\n{name}, {count} more fits of each build, taught in other orders: {told}."


def figures(found: Mapping[str, Any]) -> str:
    """Lay out time, memory and quality of both builds, a line for each model."""
    about = found["about"]
    lines = [
        f"Alignment of the newer direction by commits {about['builds']['before']} and {about['builds']['after']} side by side "
        "(`benchmarks/first_run.py`, medians; memory is the peak above the model's weights; quality is that on held-out pairs, "
        f"unsafe prompts flagged where {about['equal_rate']:.0%} of COCO captions are; {about['machine']}):",
        "",
        "| model | runs of each | time | memory | AUROC | gate AUROC | flagged at equal rate | flagged by default |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found["align"].items():
        before, after = one["before"], one["after"]
        worth = [one["quality"][build] for build in ("before", "after")]
        builds = one.get("builds", about["builds"])  # each can have been measured in a run of its own
        cells = (
            name if builds == about["builds"] else f"{name}, commit {builds['after']}",
            str(min(len(before["all_seconds"]), len(after["all_seconds"]))),
            f"{before['seconds']:.1f} to {after['seconds']:.1f} s ({one['ratio']['seconds']:.2f}x)",
            f"{before['peak'] / MIB:,.0f} to {after['peak'] / MIB:,.0f} MiB ({one['ratio']['peak']:.2f}x)",
            *(" to ".join(f"{build[what]:.3f}" for build in worth) for what in ("auroc", "gate_auroc")),
            *(" to ".join(f"{build[what]:.1%}" for build in worth) for what in ("flagged", "flagged_by_default")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [_orders(name, one["quality"]["orders"]) for name, one in found["align"].items() if "orders" in one["quality"]]
    if "extract" in found:
        before, after = found["extract"]["before"], found["extract"]["after"]
        builds = found["extract"].get("builds", about["builds"])  # it can have been measured in a run of its own
        lines += [
            "",
            f"Extraction from SmolLM2-135M-Instruct by commits {builds['before']} and {builds['after']}, "
            f"{about['extract_pairs']} pairs and the harmless prompts, runs of each: {len(after['all_seconds'])}. "
            f"{before['seconds']:.0f} to {after['seconds']:.0f} s, {before['peak'] / MIB:,.0f} to "
            f"{after['peak'] / MIB:,.0f} MiB above the model; the vectors' cosine is at least "
            f"{found['extract']['alike']['vectors_cosine']:.4f}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
