"""The transfer table as Markdown: separation and flagged prompts by target, harmless ones by kind and length, long ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

NAMES = {
    "smollm2": "SmolLM2-135M-Instruct",
    "qwen05": "Qwen2.5-Coder-0.5B-Instruct",
    "minilm": "all-MiniLM-L6-v2",
    "mpnet": "all-mpnet-base-v2",
}
SETS = ("SafeSteer", "CoProV2", "OVERT")
HARD = "OVERT"
KINDS = ("COCO", "Parti", "artists", "held out")
BANDS = ("under 15", "15-29", "30-59", "60-120", "over 120")
FULL = "transferred, ridge"
Json = dict[str, Any]


def transfer_table(results: Json) -> str:
    """Lay out everything: a table per target, then harmless prompts, long ones with an unsafe sentence, other thresholds."""
    parts = [f"**Into {NAMES[target]}**\n\n{target_table(results, target)}" for target in targets_of(results)]
    parts.append(f"**Harmless prompts flagged**, by kind and by number of words\n\n{harmless_table(results)}")
    parts.append(f"**One unsafe sentence in a harmless prompt of 60 to 250 words**\n\n{composite_table(results)}")
    if curve := curve_table(results):
        parts.append(f"**What the gate could flag at a given share of COCO captions**\n\n{curve}")
    return "\n\n".join(parts)


def targets_of(results: Json) -> list[str]:
    """Return the targets there are results of."""
    found = {entry["target"] for entry in results["routes"].values()}
    return [name for name in NAMES if name in found]


def routes_into(results: Json, target: str) -> list[Json]:
    """Return what was carried to a target, in the order of the sources."""
    entries = [entry for entry in results["routes"].values() if entry["target"] == target]
    return sorted(entries, key=lambda entry: list(NAMES).index(entry["source"]))


def native_of(results: Json, target: str) -> list[Json]:
    """Return a target's own references."""
    rows: list[Json] = results["native"].get(target, {}).get("rows", [])
    return rows


def target_table(results: Json, target: str) -> str:
    """Lay out every method on one target."""
    rows: list[Sequence[str]] = [["its own", row["method"], *_separation(row)] for row in native_of(results, target)]
    for entry in routes_into(results, target):
        rows += [[NAMES[entry["source"]], row["method"], *_separation(row)] for row in entry["rows"]]
    columns = [part for name in SETS for part in (f"{name}: AUROC", "unsafe flagged")]
    return table(["source", "method", *columns, "OVERT's harmless side flagged", "COCO flagged"], rows)


def route_table(results: Json, source: str, target: str) -> str:
    """Lay out one source and target with the target's references, for a card."""
    entry = results["routes"][f"{source} -> {target}"]
    rows = [[row["method"], *_separation(row)] for row in (*native_of(results, target), *entry["rows"])]
    columns = [part for name in SETS for part in (f"{name}: AUROC", "unsafe flagged")]
    return table(["method", *columns, "OVERT's harmless side flagged", "COCO flagged"], rows)


def harmless_table(results: Json) -> str:
    """Lay out the shares of harmless prompts that are flagged."""
    rows = []
    for source, target, row in _complete(results):
        shares = [*(row["benign"][name] for name in KINDS), *(row["bands"][name] for name in BANDS)]
        rows.append([source, NAMES[target], *(_share(part) for part in shares)])
    return table(["source", "target", *KINDS, *(f"{name} words" for name in BANDS)], rows)


def composite_table(results: Json) -> str:
    """Lay out how unsafe sentences fare in long harmless prompts, and how much of these is left as it was."""
    rows = []
    for source, target, row in _complete(results):
        found = row["composites"]
        if "alone" in found:
            kept = _value(found["words_kept"], "{:.0%}") if "words_kept" in found else ""
            shares = [_share(found["alone"]), _share(found["inside"]), _value(found["ratio"], "{:.2f}")]
            rows.append([source, NAMES[target], *shares, kept])
    return table(["source", "target", "flagged alone", "flagged inside", "ratio", "other words not moved"], rows)


def curve_table(results: Json) -> str:
    """Lay out what scores would flag if a given share of COCO captions were flagged; nothing for results without it.

    Cells are shares of SafeSteer, CoProV2 and OVERT, and of OVERT's harmless side.
    """
    found = [entry for entry in _complete(results) if "curve" in entry[2]]
    if not found:
        return ""
    rows = []
    for source, target, row in found:
        points = row["curve"]
        shares = [[*(point["unsafe"][name] for name in SETS), point["safe"][HARD]] for point in points]
        cells = [" / ".join(f"{100 * part['share']:.0f}" for part in parts) for parts in shares]
        rows.append([source, NAMES[target], *cells])
    rates = [f"{100 * point['captions']:g} %" for point in found[0][2]["curve"]]
    header = ["source", "target", *(f"at {rate} of captions" for rate in rates)]
    caption = f"In each cell: % flagged of the unsafe prompts of {', '.join(SETS)} / of {HARD}'s harmless side."
    return f"{caption}\n\n{table(header, rows)}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def _complete(results: Json) -> list[tuple[str, str, Json]]:
    """Return source, target and row of the default map and of the native references, measured on all prompts."""
    found = []
    for target in targets_of(results):
        found += [(row["method"], target, row) for row in native_of(results, target)]
        for entry in routes_into(results, target):
            found += [(NAMES[entry["source"]], target, row) for row in entry["rows"] if row["method"] == FULL]
    return [(source, target, row) for source, target, row in found if "bands" in row]


def _separation(row: Json) -> list[str]:
    if "refused" in row:
        return ["refused: no better than chance", *[""] * (2 * len(SETS) + 1)]
    cells = []
    for name in SETS:
        cells += [_value(row["sets"][name]["auroc"], "{:.3f}"), _share(row["sets"][name]["unsafe"])]
    return [*cells, _share(row["sets"][HARD]["safe"]), _share(row["benign"]["COCO"])]


def _value(part: Json, form: str) -> str:
    value, low, high = (form.format(part[name]) for name in ("value", "low", "high"))
    return f"{value} ({low}-{high})"


def _share(part: Json) -> str:
    rate, low, high = (part[name] for name in ("share", "low", "high"))
    form = ".1%" if high < 0.1 else ".0%"
    return f"{rate:{form}} ({low:{form}}-{high:{form}})"
