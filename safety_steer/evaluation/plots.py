"""Pictures of what a direction does, as PNG files. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .transfer import Row

BENIGN, SAFE, UNSAFE, QUIET = "#2a9d8f", "#457b9d", "#d1495b", "#9aa5b1"


def draw_separation(rows: Sequence[Row], path: Path) -> None:
    """Draw each method's separation and gate as bars, with chance and the native direction as lines."""
    figure, axes = figure_of(9, 0.55 * len(rows) + 1.4)
    places = np.arange(len(rows))[::-1]
    axes.barh(places + 0.19, [row.reading for row in rows], 0.36, color=SAFE, label="direction")
    axes.barh(places - 0.19, [row.gate for row in rows], 0.36, color=BENIGN, label="gate")
    for place, row in zip(places, rows, strict=True):
        axes.text(row.reading + 0.004, place + 0.19, f"{row.reading:.3f}", va="center", fontsize=9)
        axes.text(row.gate + 0.004, place - 0.19, f"{row.gate:.3f}", va="center", fontsize=9)
    axes.axvline(0.5, color=QUIET, linestyle="--", linewidth=1)
    axes.set_yticks(places, [row.method for row in rows])
    axes.set_xlim(0.4, 1.04)
    axes.set_xlabel("separation of safe from unsafe prompts (AUROC; 0.5 is chance)")
    axes.legend(loc="lower right", frameon=False)
    save_figure(figure, path)


def draw_gate(scores: Mapping[str, Tensor], path: Path) -> None:
    """Draw the gate's scores of benign, safe and unsafe prompts, with the threshold that opens it."""
    figure, axes = figure_of(9, 3.6)
    everything = np.concatenate([scores[name].numpy() for name in ("benign", "safe", "unsafe")])
    low, high = np.quantile(everything, [0.001, 0.999]).tolist()
    edges = np.linspace(low, high, 60)
    for name, colour in (("benign", BENIGN), ("safe", SAFE), ("unsafe", UNSAFE)):
        values = scores[name].numpy()
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=weights, color=colour, alpha=0.55, label=f"{name} ({len(values):,} prompts)")
    axes.axvline(float(scores["threshold"]), color="#222222", linewidth=1.5)
    axes.annotate("gate opens", (float(scores["threshold"]), 0.97), xytext=(6, 0), textcoords="offset points",
                  xycoords=("data", "axes fraction"), va="top", fontsize=9)  # fmt: skip
    axes.set_xlabel("gate score (e-folds beyond what nine in ten harmless prompts show)")
    axes.set_ylabel("share of prompts")
    axes.legend(frameon=False)
    save_figure(figure, path)


def draw_layers(curve: Sequence[Sequence[float]], chosen: Sequence[int], path: Path) -> None:
    """Draw a source model's layer curve: safety awareness and held-out separation, with the carried layers marked."""
    figure, axes = figure_of(9, 3.4)
    layers = [row[0] for row in curve]
    axes.plot(layers, [row[1] for row in curve], color=UNSAFE, marker="o", markersize=3, label="safety awareness")
    axes.set_xlabel("layer (0 is the embedding)")
    axes.set_ylabel("safety awareness", color=UNSAFE)
    other = axes.twinx()
    other.spines["top"].set_visible(False)
    other.plot(layers, [row[2] for row in curve], color=SAFE, marker="s", markersize=3)
    other.set_ylabel("held-out separation (AUROC)", color=SAFE)
    for layer in chosen:
        axes.axvline(layer, color=QUIET, linestyle="--", linewidth=1)
        axes.annotate(f"carried: {layer}", (layer, 0.03), xytext=(5, 0), textcoords="offset points",
                      xycoords=("data", "axes fraction"), fontsize=9)  # fmt: skip
    save_figure(figure, path)


def figure_of(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure and axes of the house style, without touching matplotlib's global state."""
    figure, panels = panels_of(1, width, height)
    return figure, panels[0]


def panels_of(count: int, width: float, height: float, room: float = 0.0) -> tuple[Any, list[Any]]:
    """Return a figure with panels side by side that share their y axis, each so wide and high, and room for a legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(count * width + room, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as a PNG file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
