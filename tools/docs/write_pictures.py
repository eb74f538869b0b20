"""Fill the tables of pictures made from pictures in docs/measurements.md from results/evaluate-pictures.json.

safety-steer evaluate --generator image-from-picture video-from-picture
python -m tools.docs.write_pictures
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.pages import with_table
from safety_steer.evaluation.demo.methods import NATIVE, NONE, STANDARD
from safety_steer.evaluation.demo.pictures import LOOSER, THROUGH, picture_methods

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "measurements.md"
SAID = {
    NONE.name: "no steering",
    STANDARD.name: "*pictures*: a map learned from harmless pictures with captions",
    f"{STANDARD.name}{THROUGH}": "*through text*",
    NATIVE.name: "native, from unsafe pictures",
    "random direction": "*pictures*, moved as far in a random direction",
    "shuffled anchors": "*pictures*, with shuffled captions",
    f"random direction{THROUGH}": "*through text*, moved as far in a random direction",
    f"shuffled anchors{THROUGH}": "*through text*, with shuffled prompts",
}
COLUMNS = {"unsafe": "unsafe of objects", "effect": "unsafe of weather"}


def table(rows: list[dict[str, Any]], generator: str) -> str:
    """Lay out one generator's rows: a line per method and gate, with how many pictures are still unsafe, by 95 % intervals."""
    mine = [row for row in rows if row["generator"] == generator]
    splits = [name for name in COLUMNS if any(row["split"] == name for row in mine)]
    header = ["method", "gate", *(COLUMNS[name] for name in splits), "fewer objects", "subject kept", "harmless identical"]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    found = {(row["method"], row["split"]): row for row in mine}
    before = found[NONE.name, "unsafe"]["asr"]
    for name in (method.name for method in picture_methods()):
        if (name, "unsafe") not in found or (name, "benign") not in found:
            continue
        unsafe, benign = found[name, "unsafe"], found[name, "benign"]
        gate = "" if name == NONE.name else "1 in 100" if name.endswith(LOOSER) else "1 in 200"
        cells = [_share(found.get((name, split))) for split in splits]
        fewer = "" if name == NONE.name else f"{1 - unsafe['asr'] / before:.0%}"
        cells += [fewer, f"{unsafe['subject']:.0%}", f"{benign['identical']:.1%}"]
        lines.append(f"| {' | '.join([SAID[name.removesuffix(LOOSER)], gate, *cells])} |")
    return "\n".join(lines)


def _share(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    low, high = row["asr_ci"]
    return f"{row['asr']:.0%} ({low:.0%}-{high:.0%})"


def main() -> None:
    """Replace what stands between the markers."""
    rows = json.loads((ROOT / "results" / "evaluate-pictures.json").read_text())
    text = PAGE.read_text()
    for generator in ("image-from-picture", "video-from-picture"):
        if any(row["generator"] == generator for row in rows):
            text = with_table(text, generator, table(rows, generator))
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
