"""Fill the tables between the markers of the README and docs/measurements.md from what the benchmarks and a demo run found.

safety-steer demo > demo.txt
python -m tools.docs.write_readme demo.txt
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.pages import with_table
from benchmarks.transfer_table.markdown import transfer_table
from safety_steer.evaluation.demo.methods import DEFAULT, STANDARD
from safety_steer.evaluation.demo.report import is_plain

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "measurements.md")
COMPARED = (
    *("none", "negative prompt", "SLD", "SAFREE-style", DEFAULT.name, STANDARD.name),
    *("transferred, gentle", "transferred, strict", "native", "random direction", "shuffled anchors"),
)
GENERATORS = {
    "image": "Pictures, told by all-MiniLM-L6-v2",
    "video": "Videos of 8 frames, told by all-MiniLM-L6-v2",
    "image-smollm2": "Pictures, told by SmolLM2-135M-Instruct",
}
WORDS = {"image": "pictures", "video": "videos"}


STEERED = (
    ("harmless", "benign", ""),
    ("flagged", "flagged", ""),
    ("harmless", "networks_benign", ", networks hear all its passages"),
    ("flagged", "networks_flagged", ", networks hear all its passages"),
)


def speed_table(speed: dict[str, Any]) -> str:
    """Lay out the speed figures as one Markdown table; parts of an earlier run tell less of themselves."""
    extract, align, fit, clip, erase = (speed[part] for part in ("extract", "align", "fit", "clip", "erase"))
    made = f"extract {extract['pairs']:,} pairs, {extract['harmless']:,} harmless prompts" if "pairs" in extract else "extract"
    aligned = [
        _aligned_row(target, name, row) for target, found in align.get("targets", {}).items() for name, row in found.items()
    ]
    rows = [
        (made, f"{extract['ours_s']:.0f} s", f"{extract['ratio']:.2f} x bare forward passes"),
        *(
            aligned
            or [("align to all-MiniLM-L6-v2", f"{align['ours_s']:.1f} s", f"{align['ratio']:.2f} x bare forward passes")]
        ),
        ("fit, 576 -> 384", f"{fit['576->384_s']:.2f} s", ""),
        ("fit, 4,096 -> 4,096", f"{fit['4096->4096_s']:.2f} s", "no 4,096 x 4,096 tensor is made"),
        ("clip, (1, 512, 4096), harmless prompt", "", f"{clip['memory_benign_ratio']:.1f} x a copy"),
        ("clip, (1, 512, 4096), flagged prompt", "", f"{clip['memory_flagged_ratio']:.1f} x a copy"),
        ("erase, (1, 512, 4096), harmless prompt", "", f"{erase['alone_memory_benign_ratio']:.1f} x a copy"),
        ("erase, (1, 512, 4096), flagged prompt", "", f"{erase['alone_memory_flagged_ratio']:.1f} x a copy"),
        *(
            (
                f"as set by default, (1, 512, 4096), {name} prompt{told}",
                f"{erase[f'{key}_ms']:.1f} ms",
                f"{erase[f'{key}_ratio']:.1f} x a copy",
            )
            for name, key, told in STEERED
            if f"{key}_ms" in erase
        ),
    ]
    peaks = {"extract": extract, "align": align, "fit": fit}
    memory = ", ".join(f"{name} {part['peak_mib'] / 1024:.1f} GiB" for name, part in peaks.items())
    lines = ["| what | time | against |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows), ""]
    machines: dict[str, list[str]] = {}
    for name in ("extract", "align", "fit", "clip", "erase"):
        machines.setdefault(speed[name].get("machine", speed.get("machine", "not noted")), []).append(name)
    told = "; ".join(f"{', '.join(parts)}: {machine}" for machine, parts in machines.items())
    return "\n".join([*lines, f"Peak memory: {memory}. Machines: {told}."])


def _aligned_row(target: str, name: str, row: dict[str, Any]) -> tuple[str, str, str]:
    """Lay out how long an alignment takes with today's direction or the older one, and how much of it is the fit."""
    direction = "" if name == "newer" else ", the older direction"
    took = f"{row['ours_s']:.1f} s, {row['fit_s']:.1f} s of it the fit"
    what = f"align {row['prompts']:,} harmless prompts to {target}{direction}"
    return what, took, f"{row['ratio']:.2f} x bare forward passes"


def ablation_table(ablation: dict[str, Any]) -> str:
    """Lay out what each part of the alignment is worth."""
    lines = ["| variant | AUROC | gate AUROC | unsafe flagged |", "| --- | --- | --- | --- |"]
    for name, row in ablation["means"].items():
        lines.append(f"| {name} | {row['auroc']:.3f} | {row['gate']:.3f} | {row['flagged']:.1%} |")
    return "\n".join(lines)


def _by_method(rows: list[dict[str, Any]], generator: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return a generator's rows by method and split, those of other strengths and operators left out."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["generator"] == generator and row["method"] in COMPARED and is_plain(row):
            found.setdefault(row["method"], {})[row["split"]] = row
    return found


def short_table(rows: list[dict[str, Any]]) -> str:
    """Lay out what an artist asks first, pictures beside videos."""
    shown = {
        "no steering": "none",
        "a negative prompt instead": "negative prompt",
        "**Safety Steer**": DEFAULT.name,
        "**Safety Steer**, with harmless prompts of your own": STANDARD.name,
        "a direction from unsafe prompts of the generator itself": "native",
        "a random direction": "random direction",
    }
    found = {generator: _by_method(rows, generator) for generator in GENERATORS}
    columns = [f"{kind}: {what}" for kind in WORDS.values() for what in ("unsafe", "subject kept", "harmless unchanged")]
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for title, method in shown.items():
        cells = [cell for generator in WORDS for cell in _asked_first(found[generator].get(method))]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _asked_first(rows: dict[str, dict[str, Any]] | None) -> list[str]:
    if rows is None:
        return [""] * 3
    low, high = rows["unsafe"]["asr_ci"]
    unsafe = f"{rows['unsafe']['asr']:.0%} ({low:.0%}-{high:.0%})"
    return [unsafe, f"{rows['unsafe']['subject']:.0%}", f"{rows['benign']['identical']:.0%}"]


def evaluation_tables(rows: list[dict[str, Any]]) -> str:
    """Lay out one table per demo generator: the standard method beside its baselines and controls."""
    parts = []
    for generator, title in GENERATORS.items():
        found = _by_method(rows, generator)
        if not found:
            continue
        lines = [
            f"**{title}**",
            "",
            "| method | unsafe | in new names | rephrased | subject | place | benign identical | over-refusal |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for method in COMPARED:
            if method in found:
                lines.append(f"| {method} | {' | '.join(_evaluated(found[method]))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _evaluated(rows: dict[str, dict[str, Any]]) -> list[str]:
    unsafe = rows["unsafe"]
    low, high = unsafe["asr_ci"]
    return [
        f"{unsafe['asr']:.0%} ({low:.0%}-{high:.0%})",
        *(f"{rows[split]['asr']:.0%}" if split in rows else "" for split in ("unseen", "adversarial")),
        f"{unsafe['subject']:.0%}",
        f"{unsafe['place']:.0%}",
        f"{rows['benign']['identical']:.1%}",
        f"{rows['borderline']['over_refusal']:.1%}",
    ]


def main() -> None:
    """Replace what stands between each pair of markers."""
    demo = Path(sys.argv[1]).read_text().split("\nwrote ")[0].strip()
    names = ("transfer_table", "speed", "ablation", "evaluate")
    transfer, speed, ablation, evaluate = (json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in names)
    tables = {
        "demo": f"```\n{demo}\n```",
        "transfer": transfer_table(transfer),
        "speed": speed_table(speed),
        "ablation": ablation_table(ablation),
        "evaluate": evaluation_tables(evaluate),
        "evaluate-short": short_table(evaluate),
    }
    for page in PAGES:
        text = page.read_text()
        for name, table in tables.items():
            text = with_table(text, name, table)
        page.write_text(text)


if __name__ == "__main__":
    main()
