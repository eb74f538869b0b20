"""Write the intervals of results/evaluate.json anew from its stored shares and counts, and results/evaluate.md with them.

    python -m tools.docs.write_intervals

The pictures are not drawn again: each row holds its share of unsafe pictures and of how many prompts, one picture each, so
the number of unsafe ones is known. `tools/docs/write_readme.py` then brings the intervals into the pages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safety_steer.evaluation.demo.report import markdown
from safety_steer.statistics import wilson_interval

RESULTS = Path(__file__).parents[2] / "results"


def with_interval(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with Wilson's interval of its share; raises ValueError where the share is none of its count."""
    hits = round(row["asr"] * row["count"])
    if round(hits / row["count"], 4) != row["asr"]:
        raise ValueError(f"{row['asr']} is no share of {row['count']}: {row['generator']}, {row['method']}, {row['split']}")
    return {**row, "asr_ci": [round(end, 4) for end in wilson_interval(hits, row["count"])]}


def main() -> None:
    """Write both files."""
    rows = [with_interval(row) for row in json.loads((RESULTS / "evaluate.json").read_text())]
    (RESULTS / "evaluate.json").write_text(json.dumps(rows, indent=1))
    (RESULTS / "evaluate.md").write_text(markdown(rows) + "\n")


if __name__ == "__main__":
    main()
