"""Draw the transfer table: unsafe prompts flagged by set and target, and harmless ones by kind and length.

python -m tools.docs.draw_transfer [results/transfer_table.json] [-o results/transfer_table.png]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.transfer_table.markdown import BANDS, FULL, HARD, SETS, native_of, routes_into, targets_of

ROOT = Path(__file__).parents[2]
SHORT = {"smollm2": "SmolLM2", "qwen05": "Qwen2.5-Coder", "minilm": "MiniLM", "mpnet": "mpnet"}
# Okabe and Ito's colours, which all kinds of colour vision tell apart; markers say the same again.
SOURCES = {"smollm2": ("#0072B2", "o"), "qwen05": ("#E69F00", "s"), "minilm": ("#009E73", "^"), "mpnet": ("#CC79A7", "v")}
PROBE = ("#000000", "D")
PROBE_METHOD = "native linear probe"
QUIET = "#8a8a8a"
Json = dict[str, Any]


def series(results: Json, target: str) -> Iterator[tuple[str, str, str, Json]]:
    """Yield a name, colour, marker and row for what is drawn of one target: the default map from each source, and the probe."""
    for entry in routes_into(results, target):
        for row in entry["rows"]:
            if row["method"] == FULL and "refused" not in row:
                yield (f"from {SHORT[entry['source']]}", *SOURCES[entry["source"]], row)
    for row in native_of(results, target):
        if row["method"] == PROBE_METHOD:
            yield ("linear probe of its own", *PROBE, row)


def draw_points(
    axes: Any, places: Sequence[float], parts: Sequence[Json], colour: str, marker: str, line: str = "none"
) -> None:
    """Draw shares with their intervals, in per cent."""
    middle = [100 * part["share"] for part in parts]
    below = [100 * (part["share"] - part["low"]) for part in parts]
    above = [100 * (part["high"] - part["share"]) for part in parts]
    axes.errorbar(
        places, middle, yerr=[below, above], color=colour, marker=marker, markersize=6, linestyle=line, linewidth=1.3,
        elinewidth=1.1, capsize=2, clip_on=False,
    )  # fmt: skip


def draw_flagged(axes: Any, results: Json, title: str, name: str, side: str) -> None:
    """Draw the share of one side of a set that is flagged, by target."""
    targets = targets_of(results)
    for number, target in enumerate(targets):
        found = list(series(results, target))
        for place, (_, colour, marker, row) in enumerate(found):
            offset = (place - (len(found) - 1) / 2) * 0.18
            draw_points(axes, [number + offset], [row["sets"][name][side]], colour, marker)
    axes.set_xticks(range(len(targets)), [SHORT[target] for target in targets], rotation=25, ha="right")
    axes.set_xlim(-0.5, len(targets) - 0.5)
    axes.set_ylim(0, 100)
    axes.set_title(title, fontsize=12)


def draw_harmless(axes: Any, results: Json, target: str) -> None:
    """Draw the shares of harmless prompts that are flagged: captions, Parti, and prompts of people by length."""
    labels = ["COCO", "Parti", *(band.replace("under ", "<").replace("over ", ">") for band in BANDS)]
    found = list(series(results, target))
    for place, (_, colour, marker, row) in enumerate(found):
        offset = (place - (len(found) - 1) / 2) * 0.16
        kinds = [row["benign"][name] for name in ("COCO", "Parti")]
        draw_points(axes, [number + offset for number in range(2)], kinds, colour, marker)
        bands = [row["bands"][name] for name in BANDS]
        draw_points(axes, [2 + number + offset for number in range(len(BANDS))], bands, colour, marker, "-")
    axes.axvline(1.5, color=QUIET, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_title(f"into {SHORT[target]}", fontsize=12)


def draw(results: Json, path: Path) -> None:
    """Draw everything to a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    targets = targets_of(results)
    rows = (len(targets) + 1) // 2
    figure = Figure(figsize=(11, 4.7 + 2.9 * rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=[4.2, 2.9 * rows])
    upper, lower = subfigures
    upper.suptitle("Unsafe prompts flagged, by the model steered (%)", fontsize=13, fontweight="bold", x=0.01, ha="left")
    panels = upper.subplots(1, len(SETS) + 1, sharey=True)
    for axes, name in zip(panels, SETS, strict=False):
        draw_flagged(axes, results, name, name, "unsafe")
    draw_flagged(panels[-1], results, f"harmless side of {HARD}", HARD, "safe")
    panels[-1].set_facecolor("#f3f3f3")
    title = "Harmless prompts flagged: captions, Parti, and prompts of people by number of words (%)"
    lower.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    below = lower.subplots(rows, 2, sharey=True, squeeze=False).flatten()
    for axes, target in zip(below, targets, strict=False):
        draw_harmless(axes, results, target)
    for axes in below[len(targets) :]:
        axes.set_visible(False)
    top = max(100 * part["high"] for target in targets for *_, row in series(results, target) for part in row["bands"].values())
    below[0].set_ylim(0, min(100.0, 1.05 * top))
    for axes in (*panels, *below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=10.5)
    shown = {name: (colour, marker) for target in targets for name, colour, marker, _ in series(results, target)}
    styles = [*SOURCES.values(), PROBE]
    order = sorted(shown, key=lambda name: styles.index(shown[name]))
    lines = [Line2D([], [], color=shown[name][0], marker=shown[name][1], linestyle="none", markersize=7) for name in order]
    figure.legend(lines, order, loc="outside lower center", ncols=len(order), frameon=False, fontsize=10.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def main() -> None:
    """Read the results and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=Path, default=ROOT / "results" / "transfer_table.json")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "transfer_table.png")
    options = parser.parse_args()
    draw(json.loads(options.results.read_text(encoding="utf-8")), options.output)


if __name__ == "__main__":
    main()
