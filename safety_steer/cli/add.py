"""`safety-steer add`: put safety steering into workflow files, look what they have, or take it out again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..workflow import add, check, messages, read_workflow, remove, write_workflow
from ..workflow.plan import LEFT, STEER, STEERED, Verdict
from ..workflow.workflow_file import WorkflowFile
from .console import Result

HELP = "Put safety steering before every sampler of a workflow file, or with --remove take it out."
SUFFIX = ".json"
PART = "in part"
# The exit code of `--strict` where a sampler stays unsteered; chosen by hand: 1 and 2 mean that a command failed.
UNSTEERED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("workflow", help="a workflow saved or exported by ComfyUI (.json), or a folder of them")
    parser.add_argument("-o", "--output", help="the file to write, or the folder; name the workflow itself to replace it")
    parser.add_argument("--strict", action="store_true", help="exit with 3 when a sampler or a prompt stays unsteered")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--remove", action="store_true", help="take the steering out again")
    mode.add_argument("--check", action="store_true", help="say what a workflow has and would get; write nothing")


def run(options: argparse.Namespace) -> Result:
    """Work on one file, or on every file of a folder with one line for each."""
    source = Path(options.workflow)
    if (options.output is None) != options.check:
        raise DataError(
            "Leave -o out with --check, which writes nothing." if options.check else "Name the file to write with -o OUT.json."
        )
    target = Path(options.output) if options.output else None
    if source.is_dir():
        return _folder(source, target, options)
    if target is not None:
        _check_target(target)
    found = _one(source, target, options)
    return Result({"files": [found]}, "\n".join([_line(found), *_details(found)]), _code([found], options))


def _folder(source: Path, target: Path | None, options: argparse.Namespace) -> Result:
    paths = sorted(path for path in source.rglob(f"*{SUFFIX}") if path.is_file())
    if not paths:
        raise DataError(f"The folder '{source}' holds no {SUFFIX} file.")
    if target is not None and target.exists() and not target.is_dir():
        raise DataError(f"'{target}' is a file. Name a folder to write to, since '{source}' is one.")
    if target is not None and target.resolve() != source.resolve() and target.resolve().is_relative_to(source.resolve()):
        raise DataError(f"'{target}' lies within '{source}'. Name another folder.")
    found = []
    for path in paths:
        out = target / path.relative_to(source) if target else None
        try:
            if out is not None:
                out.parent.mkdir(parents=True, exist_ok=True)
            found.append(_one(path, out, options))
        except (DataError, OSError) as error:
            found.append({"file": str(path), "state": "skipped", "reason": str(error)})
    if all(one["state"] == "skipped" for one in found):
        raise DataError(f"None of the {len(found):,} files in '{source}' can be used. The first: {found[0]['reason']}")
    return Result({"files": found}, "\n".join(map(_line, found)), _code(found, options))


def _code(found: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> int:
    """Return the exit code: with `--strict` UNSTEERED when something stays unsteered in one of the files."""
    samplers = [sampler for one in found for sampler in one.get("samplers", ())]
    skipped = any(one["state"] == "skipped" for one in found)
    return UNSTEERED if options.strict and (skipped or any(_shown(one) in (LEFT, PART) for one in samplers)) else 0


def _check_target(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise DataError(f"Cannot write '{target}': " + ("it is a folder." if target.is_dir() else "its folder does not exist."))


def _one(path: Path, target: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """Work on one file and return what `--json` says about it."""
    workflow = read_workflow(path)
    found: dict[str, Any] = {"file": str(path), "format": workflow.kind}
    if options.remove:
        removal = remove(workflow.data)
        found |= {"state": "removed" if removal.nodes else "unchanged", "nodes": removal.nodes, "exact": removal.exact}
        found["reason"] = removal.left or ("" if removal.nodes else messages.NOTHING_TO_REMOVE)
        data = removal.data
    else:
        verdicts, data = _added(workflow, options)
        found |= _summary(verdicts, options.check)
    if target is not None:
        write_workflow(data, workflow, target)
        found["output"] = str(target)
    return found


def _added(workflow: WorkflowFile, options: argparse.Namespace) -> tuple[Sequence[Verdict], dict[str, Any]]:
    if options.check:
        return check(workflow.data), workflow.data
    change = add(workflow.data)
    return change.verdicts, change.data


def _summary(verdicts: Sequence[Verdict], checked: bool) -> dict[str, Any]:
    """Sum up the verdicts of one file."""
    states = [verdict.state for verdict in verdicts]
    samplers = [
        {
            "sampler": verdict.sampler.label,
            "type": verdict.sampler.node["type"],
            "state": verdict.state,
            "reason": verdict.reason,
            "missed": verdict.missed,
        }
        for verdict in verdicts
    ]
    texts = [text for one in verdicts for text in (one.reason if one.state != STEER else "", one.missed) if text]
    reasons = list(dict.fromkeys(texts))
    state = ("would change" if checked else "changed") if STEER in states else "unchanged"
    reason = "; ".join(reasons) if verdicts else messages.NO_SAMPLER
    return {"state": state, "reason": reason, "samplers": samplers}


def _line(found: Mapping[str, Any]) -> str:
    """Say what happened to one file in one line."""
    name, reason = Path(found["file"]).name, f" ({found['reason']})" if found["reason"] else ""
    if found["state"] == "removed":
        exact = "as it was before" if found["exact"] else "the wires are reconnected around them"
        return f"{name}: took out {found['nodes']} nodes, {exact}{reason}"
    if "samplers" not in found:
        return f"{name}: {found['state']}{reason}"
    states = [_shown(sampler) for sampler in found["samplers"]]
    counts = [f"{states.count(state)} {_words(found, state)}" for state in (STEER, STEERED, PART, LEFT) if state in states]
    total = f"{len(states)} sampler{'s' if len(states) != 1 else ''}"
    return f"{name}: {': '.join([total, ', '.join(counts)]) if states else found['state']}{reason}"


def _details(found: Mapping[str, Any]) -> list[str]:
    """List the samplers of one file."""
    return [
        ", ".join(filter(None, (f"  {one['sampler']}: {_words(found, _shown(one))}", one["reason"], one["missed"])))
        for one in found.get("samplers", ())
    ]


def _shown(sampler: Mapping[str, Any]) -> str:
    """Return the state a sampler is counted under: one that reads prompts which are not steered is steered in part."""
    return PART if sampler["missed"] and sampler["state"] != LEFT else str(sampler["state"])


def _words(found: Mapping[str, Any], state: str) -> str:
    """Say a sampler's state as a person would."""
    now = "would be steered" if found["state"] == "would change" else "steered now"
    part = "would be steered in part" if found["state"] == "would change" else "steered in part"
    return {STEER: now, STEERED: "steered already", PART: part}.get(state, state)
