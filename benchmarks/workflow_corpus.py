"""What `safety-steer add` does with a folder of workflow files: add, check and remove on each, counted as JSON.

    python -m benchmarks.workflow_corpus FOLDER [--output counts.json]

The folder holds workflows as others keep them (JSON, pictures, videos); none is part of this project. Counted are crashes
(with the file), refusals by their reason, files in which something was steered, faults that `add` brought in, second adds that
changed something, disagreements of `check` and `add`, files that `--remove` gave back letter for letter, and seconds a file for
add and remove together.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safety_steer.errors import DataError
from safety_steer.workflow import add, check, read_workflow, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.files.json_text import parse
from safety_steer.workflow.files.letter_for_letter import text_with_steering, text_without_steering
from safety_steer.workflow.files.pictures import SUFFIXES, embedded_text
from safety_steer.workflow.files.wrapped import at
from safety_steer.workflow.format_check import EDITOR, kind_of
from safety_steer.workflow.workflow_file import MAX_BYTES, WorkflowFile


def main(arguments: Sequence[str] | None = None) -> None:
    """Go through a folder and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, help="write the counts here too")
    options = parser.parse_args(arguments)
    text = json.dumps(counted(options.folder), indent=2)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


def counted(folder: Path) -> dict[str, Any]:
    """Return the counts of a folder."""
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    named: dict[str, list[str]] = {"crashed": [], "not byte-exact": [], "new faults": []}
    seconds: list[float] = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix.lower() in (*SUFFIXES, ".json")):
        counts["files"] += 1
        start = time.perf_counter()
        try:
            if path.suffix.lower() in SUFFIXES and not embedded_text(path, MAX_BYTES):
                counts["pictures without a workflow"] += 1
                continue
            found = tried(read_workflow(path))
        except DataError as error:
            refused[reason(str(error))] += 1
            continue
        except Exception as error:
            found = {"crashed": True}
            print(f"{path}: {type(error).__name__}: {str(error)[:200]}", flush=True)
        seconds.append(time.perf_counter() - start)
        counts["read"] += 1
        for name, value in found.items():
            counts[name] += value
            if value and name in named:
                named[name].append(str(path.relative_to(folder)))
    times = {"median": statistics.median(seconds), "largest": max(seconds)} if seconds else {}
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "counts": dict(counts),
        "refused": dict(refused.most_common()),
        "seconds": {name: round(value, 3) for name, value in times.items()},
        "named": named,
    }


def tried(workflow: WorkflowFile) -> dict[str, bool]:
    """Add, check and remove on one workflow."""
    text, data = workflow.text, workflow.data
    change = add(data)
    steered_text = text_with_steering(text, data, change)
    steered = parse(steered_text)
    removal = remove(steered)
    agree = [verdict.state for verdict in check(data)] == [verdict.state for verdict in change.verdicts]
    found = {
        "from pictures": bool(workflow.read),
        "wrapped": workflow.places != ((),),
        "with samplers": bool(change.verdicts),
        "changed": change.changed,
        "new faults": not faults(steered, workflow) <= faults(data, workflow),
        "changed by a second add": add(steered).changed,
        "check and add disagree": not agree,
        "letters kept": '"letters"' in steered_text and '"letters"' not in text,
    }
    if change.changed or not removal.nodes:
        back = text_without_steering(steered_text, steered, removal)
        found |= {"byte-exact": back == text, "not byte-exact": back != text and not remove(data).nodes}
    return found


def faults(data: Any, workflow: WorkflowFile) -> set[str]:
    """Return what is unsound in the editor's workflows of a file."""
    parts = [at(data, place) for place in workflow.places]
    return {fault for part in parts if kind_of(part) == EDITOR for fault in problems(part)}


def reason(message: str) -> str:
    """Take out of a refusal what is of one file alone."""
    return re.sub(r"'[^']*'|\d[\d,]*|: \{.*", "...", message.partition("cannot be used. ")[2] or message)[:120]


if __name__ == "__main__":
    main()
