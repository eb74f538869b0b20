"""Write the figures of docs/scale.md from results/scale.json and scale_drawing.json: `python -m tools.docs.write_scale`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE, FOUND = ROOT / "docs/scale.md", ROOT / "results/scale.json"
DRAWN = ROOT / "results/scale_drawing.json"
START, END = "<!-- figures -->\n", "<!-- /figures -->\n"


def page() -> str:
    """Return the page with the figures in their place."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    found, drawn = (json.loads(path.read_text(encoding="utf-8")) for path in (FOUND, DRAWN))
    return head + START + figures(found) + drawing(drawn) + END + rest.partition(END)[2]


def figures(found: Mapping[str, Any]) -> str:
    """Return the tables of throughput, of the driver's costs and of the simulation."""
    rows = [
        f"| {name} | {one['prompts_per_s']:.0f} | {one['prompts_per_s_after_first']:.0f} |"
        for name, one in found["throughput"].items()
    ]
    driver, far, end = found["driver"], found["simulation"], found["final"]
    per_window = driver["stream_s"] + driver["ray_driver_s"] + driver["keep_s"]
    fed = far["prompts"] / far["windows"] / per_window / far["rate"]
    table_gib = far["prompts"] / 2 / end["pairs"] * end["peak_mib"] / 1024
    lines = [
        f"**Throughput**, prompts read in a second by `safety-steer score`, one thread a worker ({found['machine']}):",
        "",
        "| where | start and loading included | after each worker's first window |",
        "| --- | --- | --- |",
        *rows,
        "",
        "**What a window of 4,096 pairs costs the driver**: "
        f"{1e3 * driver['stream_s']:.0f} ms to read it from the file, {1e3 * driver['ray_driver_s']:.0f} ms of its own in Ray "
        f"({1e3 * driver['ray_wall_s']:.0f} ms by the clock), {1e3 * driver['keep_s']:.0f} ms to keep what came back; "
        f"{driver['sent_bytes'] / 1e6:.2f} MB go out, {driver['received_bytes'] / 1e6:.2f} MB come back, "
        f"{driver['kept_bytes'] / 1e6:.2f} MB are kept. The table of {end['pairs']:,} pairs takes {end['seconds']:.1f} s and "
        f"{end['peak_mib']:,.0f} MiB at its end.",
        "",
        f"**Simulated: {far['gpus']:,} GPUs and {far['prompts']:,} prompts**, each GPU reading {far['rate']:,.0f} prompts a "
        f"second, which is assumed: {far['windows']:,} windows in {far['seconds']:.0f} s, where {far['ideal_s']:.0f} s would "
        f"be perfect. The driver is busy {100 * far['driver_busy']:.0f} % of the time, the GPUs "
        f"{100 * far['workers_busy']:.0f} %. {far['sent_gb']:.1f} GB go out, {far['received_gb']:.1f} GB come back, and the "
        f"folder of kept windows holds {far['kept_gb']:.1f} GB in {far['windows']:,} files. The table at the end would take "
        f"{table_gib:.0f} GiB, by the size of the smaller one. So one driver feeds about {fed:.0f} such GPUs, and "
        f"{driver['stream_s'] / per_window:.0%} of its work is reading the file.",
        "",
    ]
    return "\n".join(lines)


def drawing(found: Mapping[str, Any]) -> str:
    """Return what the demo's evaluation costs workers and the driver."""
    costs = found["costs"]
    lines = [
        "",
        f"**`safety-steer evaluate`**, three methods on {costs['pictures']} pictures of the image generator, in processor time "
        f"of one thread ({found['machine']}): {costs['encode_s']:.0f} s to encode the direction's prompts, and "
        f"{costs['draw_s_per_picture']:.2f} s to draw a picture, both of which workers do; "
        f"{1e3 * costs['driver_s_per_picture']:.0f} ms a picture for the driver to fit, steer and judge. So one driver feeds "
        f"about {costs['draw_s_per_picture'] / costs['driver_s_per_picture']:.0f} such workers.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
