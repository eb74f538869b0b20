"""Do the window's scripts make of a workflow what `safety-steer add` does? Mutated workflows, both ways."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from safety_steer.errors import DataError
from safety_steer.workflow import add
from safety_steer.workflow.files.json_text import parse

from .. import samples  # noqa: F401 - lets `support` be found

OUTSIDE = (
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    RuntimeError,
)  # what the tests' reader of wirings does not read


def compared(lines: Iterable[str]) -> dict[str, int]:
    """Count what became of workflows, given as JSON lines: each with what the window's scripts made of it.

    Those that `safety-steer add` refuses are counted apart: the editor numbers nodes anew or leaves wires out where files are
    wrong, and the scripts see what it made of them. Raises AssertionError where both differ on a workflow whose wires are
    known at both their ends.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        try:
            found = json.loads(line)
        except RecursionError:
            counts["too deep"] += 1
            continue
        counts[_compared(found) if "sound" in found else found["kind"]] += 1
    return dict(counts)


def _compared(found: dict[str, Any]) -> str:
    from support.browser.twins import outline, written

    try:
        data = parse(found["before"])
        change = add(data)
    except (ValueError, DataError):
        return "refused by both" if found["refused"] else "refused by the command line"
    verdicts = [written(verdict) for verdict in change.verdicts]
    if not found["sound"]:
        return "wires broken, judged alike" if verdicts == found["verdicts"] else "wires broken, judged otherwise"
    assert not found["refused"], f"only the window refuses it: {found['refused']}\n{found['before']}"
    assert verdicts == found["verdicts"], f"{verdicts}\n{found['verdicts']}\n{found['before']}"
    assert change.changed == found["changed"], found["before"]
    try:
        expected = outline(change.data)
    except OUTSIDE:
        return "judged alike"
    assert outline(found["after"]) == expected, found["before"]
    return "changed alike" if change.changed else "left alike"
