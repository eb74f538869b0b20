"""What a run leaves for people: a Markdown table, the trade-off plot and a contact sheet of pictures before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..plots import BENIGN, QUIET, SAFE, UNSAFE, panels_of, save_figure
from .methods import DEFAULT, NONE, PRESET_METHODS, STANDARD
from .prompts import BENIGN_SPLITS, UNSAFE_SPLITS

SAID = {DEFAULT.name: "", STANDARD.name: " with own prompts"}
COLOURS = {"transferred": SAFE, "native": BENIGN, "random direction": QUIET, "shuffled anchors": "#c9ada7"}
MARGIN = 3  # pixels around each picture of a sheet, by hand


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Lay out one table per generator: a line per method with its attack success on each split and its benign cost."""
    parts = []
    for generator in dict.fromkeys(row["generator"] for row in rows):
        mine = [row for row in rows if row["generator"] == generator]
        splits = [name for name in UNSAFE_SPLITS if any(row["split"] == name for row in mine)]
        header = ["method", "map", "operator", "gate", "strength", *(f"ASR {name}" for name in splits)]
        header += ["subject kept", "place kept", "benign identical", "CLIP benign", "FID benign", "over-refusal"]
        lines = [f"**{generator}**", "", f"| {' | '.join(header)} |", f"| {' | '.join('---' for _ in header)} |"]
        for key in dict.fromkeys(_key(row) for row in mine):
            by_split = {row["split"]: row for row in mine if _key(row) == key}
            lines.append(f"| {' | '.join(_cells(key, by_split, splits))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("method", "map", "operator", "gate", "strength"))


def _cells(key: tuple[Any, ...], rows: dict[str, dict[str, Any]], splits: Sequence[str]) -> list[str]:
    cells = [str(value) for value in key[:-1]] + [f"{key[-1]:g}"]
    for name in splits:
        row = rows.get(name)
        cells.append(f"{row['asr']:.2f} ({row['asr_ci'][0]:.2f}-{row['asr_ci'][1]:.2f})" if row else "")
    unsafe, benign, borderline = rows.get("unsafe"), rows.get("benign"), rows.get("borderline")
    cells += [f"{unsafe[part]:.2f}" if unsafe else "" for part in ("subject", "place")]
    cells += [f"{benign['identical']:.1%}", f"{benign['clip']:.4f}", f"{benign['fid']:.2f}"] if benign else ["", "", ""]
    return [*cells, f"{borderline['over_refusal']:.1%}" if borderline else ""]


def draw_trade_off(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw attack success on harmful prompts against how often the subject survives: a panel per generator, in it a number per
    method, and a line along a method's strengths.
    """
    chosen = [row for row in rows if row["split"] == "unsafe"]
    methods = list(dict.fromkeys(_key(row)[:4] for row in chosen))
    generators = list(dict.fromkeys(row["generator"] for row in chosen))
    figure, panels = panels_of(len(generators), 4.2, 5.0, room=3.4)
    for generator, axes in zip(generators, panels, strict=True):
        shown: dict[tuple[float, float], list[str]] = {}
        for number, key in enumerate(methods, 1):
            line = [row for row in chosen if row["generator"] == generator and _key(row)[:4] == key]
            line.sort(key=lambda row: row["strength"])
            across, up = [row["subject"] for row in line], [row["asr"] for row in line]
            axes.plot(across, up, marker="o", color=COLOURS.get(key[0], UNSAFE), label=_label(number, key))
            for x, y in zip(across, up, strict=True):
                shown.setdefault((round(x, 2), round(y, 2)), []).append(str(number))
        for place, numbers in shown.items():
            axes.annotate(", ".join(dict.fromkeys(numbers)), place, xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.set_xlim(0.3, 1.05)
        axes.set_ylim(0, 1.05)
        axes.set_title(generator, fontsize=10)
        axes.set_xlabel("subject right (further right is better)")
    panels[0].set_ylabel("unsafe pictures (lower is better)")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8, handlelength=1)
    save_figure(figure, path)


def _label(number: int, key: tuple[Any, ...]) -> str:
    named = [*key[:3], "without gate" if key[3] == "off" else "-"]
    return " ".join([f"{number}.", *(part for part in named if part != "-")])


def contact_sheet(pictures: Sequence[tuple[str, Tensor]], path: Path, scale: int = 2) -> None:
    """Draw labelled rows of pictures (N, 3, H, W) in -1..1, one row per method and the same prompts in each column."""
    from PIL import Image, ImageDraw

    rows = []
    for label, row in pictures:
        values = ((row.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        values = np.pad(values, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=255)
        strip = Image.fromarray(np.concatenate(list(values), axis=1))
        strip = strip.resize((strip.width * scale, strip.height * scale), Image.Resampling.NEAREST)
        titled = Image.new("RGB", (strip.width, strip.height + 18), "white")
        titled.paste(strip, (0, 18))
        ImageDraw.Draw(titled).text((6, 3), label, fill="black")
        rows.append(titled)
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row_picture in rows:
        sheet.paste(row_picture, (0, top))
        top += row_picture.height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def headline(rows: Sequence[dict[str, Any]]) -> str:
    """Say in a line or two per generator what steering did, by default and with own prompts, and at what cost."""
    lines = []
    for generator in dict.fromkeys(row["generator"] for row in rows):
        plain = [row for row in rows if row["generator"] == generator and is_plain(row)]
        mine = {(row["method"], row["split"]): row for row in reversed(plain)}
        before = mine.get((NONE.name, "unsafe"))
        for method, said in SAID.items():
            after = mine.get((method, "unsafe"))
            kept = [mine.get((method, name)) for name in BENIGN_SPLITS]
            if before and after and kept[0] and kept[1]:
                fall = 1 - after["asr"] / max(before["asr"], 1e-9)
                cost = f"benign identical {kept[0]['identical']:.1%}, over-refusal {kept[1]['over_refusal']:.1%}"
                change = f"ASR {before['asr']:.2f} -> {after['asr']:.2f} ({fall:.0%} down)"
                lines.append(f"{generator}{said}: {change}, subject kept {after['subject']:.0%}, {cost}")
    return "\n".join(lines)


def is_plain(row: dict[str, Any]) -> bool:
    """Say whether a row is its method as such, with the settings the standard method has, not a variant of the same name."""
    steers = row["operator"] != "-"
    standard = {"map": STANDARD.map, "operator": STANDARD.operator, "gate": STANDARD.gate, "strength": STANDARD.strength}
    presets = row["method"] in {method.name for method in PRESET_METHODS}
    return not steers or presets or all(row[name] == value for name, value in standard.items())
