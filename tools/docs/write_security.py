"""Write what was measured into docs/security.md: from fuzz.json, fuzz-coverage.json, fuzz-window.json and load.json of results.

python -m tools.docs.write_security
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
RESULTS = ROOT / "results"
READS = {
    "direction": "direction files",
    "aligned": "aligned directions and kept fits, and whether they belong to an encoder",
    "patch": "patches of Negate Unsafe Weights",
    "refusal": "refusal files",
    "prompts": "prompt lists (.txt, .tsv)",
    "pairs": "pairs (.jsonl, .csv)",
    "tables": "tables and lists of benchmarks",
    "captions": "captions, and lists of pictures in twos",
    "journal": "the journal of `evaluate-comfy`",
    "results": "the rows of `evaluate`",
    "workflow": "workflows, saved and exported: judged, steered, taken back",
    "evaluated": "exported workflows for `evaluate-comfy`",
    "pictures": "workflows in PNG, WebP and JPEG",
    "videos": "workflows in MP4 and WebM",
    "pixels": "pictures that a server sent or a folder holds",
    "replies": "the replies of a ComfyUI server",
}

WRITTEN = ("pack_nodes.js", "rules.js")  # tables, which a script writes


def fuzz_table(found: dict[str, Any], reached: dict[str, Any]) -> str:
    """Lay out what was run, a line for each target."""
    lines = ["| what is read | inputs | edges | most memory |", "| --- | ---: | ---: | ---: |"]
    for name, text in READS.items():
        one = found["targets"].get(name)
        cells = ("not run", "", "") if one is None else (f"{one['inputs']:,}", f"{one['edges']:,}", f"{one['peak_mib']} MiB")
        lines.append(f"| {text} | {' | '.join(cells)} |")
    hours = sum(one["seconds"] for one in found["targets"].values()) / 3600
    lines += [
        "",
        f"{found['inputs']:,} inputs in {hours:.1f} hours of one process ({found['machine']}); inputs "
        f"that ended in a fault, each mended since: {_total(found, 'faults')}. Inputs that took about ten seconds or more on a "
        f"machine busy with other work: {_total(found, 'slow')}, which take milliseconds alone and are run again by the tests. "
        "*Edges* are the ways between lines of the library that a target's inputs took. "
        f"The inputs that were kept reach {reached['share']:.0%} of the {reached['lines']:,} lines of "
        "the readers (`python -m tools.fuzz.reached`).",
    ]
    return "\n".join(lines)


def _total(found: dict[str, Any], what: str) -> int:
    return sum(one[what] for one in found["targets"].values())


def window_text(found: dict[str, Any]) -> str:
    """Say what the run of the window's scripts came to, and how its sample compares with the command line."""
    counts, both = found["counts"], found["compared"]
    run, lines = (sum(one[at] for name, one in found["lines"].items() if name not in WRITTEN) for at in (0, 1))
    same = both.get("changed alike", 0) + both.get("left alike", 0)
    alike = same + both.get("judged alike", 0)
    broken, otherwise = (both.get(f"wires broken, judged {key}", 0) for key in ("alike", "otherwise"))
    return (
        f"{counts['inputs']:,} inputs in {found['minutes']:g} minutes of one process ({found['machine']}, node "
        f"{found['node'].removeprefix('v')}, seed {found['seed']}): {counts['steered']:,} had steering put in and taken out "
        f"again, {counts['left']:,} had nothing to steer, {counts['refused']:,} were refused in one line, "
        f"{counts['not opened']:,} the stand-in did not open, and {counts['no JSON']:,} were no JSON. None ended in a fault: "
        f"a run ends at the first. {found['blocks']:,} blocks of code were run, as V8 counts them, and {run / lines:.0%} of "
        f"the {lines:,} lines of the scripts with nothing left out. The slowest input took "
        f"{found['slowest_ms'] / 1000:.1f} seconds, and the heap held at most {found['peak_mib']} MiB. Of a sample of "
        f"{sum(both.values()):,} the command line reads {alike + broken + otherwise:,}. It judges all {alike:,} whose wires "
        f"are known at both their ends as the window does, and {same:,} of them could be compared, and have the same nodes and "
        f"wires, after it too. Of {broken + otherwise:,} others it judges {otherwise:,} otherwise: a wire that only one end "
        "knows is broken for the command line, and not for the editor."
    )


def load_text(found: dict[str, Any]) -> str:
    """Say what the run of many workflows came to."""
    held = found["mib_after_each"]
    early, late = median(held[20:60]), median(held[-40:])
    kinds = len(found["workflows"]) - found["that_draw_alike"]
    wrong = [len(found[key]) for key in ("with_other_pictures", "with_other_reports", "with_reports_on_other_nodes")]
    return (
        f"{found['runs']} runs in turns of {len(found['workflows'])} workflows in one ComfyUI {found['comfyui']} "
        f"({found['machine']}): {wrong[0]} with another picture than the workflow has alone, {wrong[1]} with another report, "
        f"{wrong[2]} with a report on another node. The server held {found['mib_when_warm']:,.0f} MiB when each workflow had "
        f"run twice, and at most {found['most_mib_after']:,.0f} MiB after that ({found['grew_by']:+.1%}); the median of forty "
        f"runs went from {early:,.0f} to {late:,.0f} MiB ({late / early - 1:+.1%}). Of one seed the workflows draw {kinds} "
        "different pictures: where two draw the same one, only their reports could tell whose direction it was."
    )


def written(page: str) -> str:
    """Return the page with the results in it, each between its two marks."""
    load = RESULTS / "load.json"
    parts = {"fuzz": fuzz_table(_read("fuzz.json"), _read("fuzz-coverage.json"))}
    window = RESULTS / "fuzz-window.json"
    parts["window"] = (
        window_text(_read(window.name)) if window.is_file() else "No run of this length has ended without a fault yet."
    )
    parts["load"] = load_text(_read("load.json")) if load.is_file() else "Not measured yet: `python -m benchmarks.load`."
    for name, text in parts.items():
        head, mark, rest = page.partition(f"<!-- {name} -->\n")
        page = "".join((head, mark, text, "\n<!-- end -->", rest.partition("\n<!-- end -->")[2]))
    return page


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
