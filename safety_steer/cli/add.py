"""`safety-steer add`: put safety steering into workflow files, look what they have, or take it out again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..workflow import add, check, messages, read_workflow, remove
from ..workflow.files.pictures import SUFFIXES, embedded_text
from ..workflow.files.wrapped import named
from ..workflow.plan import LEFT, STEER, STEERED, Verdict
from ..workflow.workflow_file import MAX_BYTES, WorkflowFile, write_change, write_removal
from .console import Result

SUFFIX = ".json"
PART = "in part"
# The exit code of `--strict` where a sampler stays unsteered; chosen by hand: 1 and 2 mean that a command failed.
UNSTEERED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "workflow",
        help="a workflow saved or exported by ComfyUI (.json), a picture or video with one in it, or a folder of these",
    )
    parser.add_argument(
        "-o",
        "--output",
        help="the file to write, or the folder; name the workflow itself to replace it; not needed for a picture: NAME.json",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 3 when a sampler or a prompt stays unsteered")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--remove", action="store_true", help="take the steering out again")
    mode.add_argument("--check", action="store_true", help="say what a workflow has and would get; write nothing")


def run(options: argparse.Namespace) -> Result:
    """Work on one file, or on every file of a folder with one line for each."""
    source = Path(options.workflow)
    target = _target(source, options)
    if source.is_dir():
        return _folder(source, target, options)
    if target is not None:
        _check_target(target)
    found = _one(source, target, options)
    return Result({"files": [found]}, "\n".join([_line(found), *_details(found)]), _code([found], options))


def _target(source: Path, options: argparse.Namespace) -> Path | None:
    """Return what to write to; None with `--check`."""
    if options.output is not None and options.check:
        raise DataError("Leave -o out with --check, which writes nothing.")
    if options.output is not None or options.check:
        return Path(options.output) if options.output else None
    if not _is_picture(source):
        raise DataError("Name the file to write with -o OUT.json.")
    beside = source.with_suffix(SUFFIX)
    if beside.exists():
        raise DataError(f"'{beside}' is there already. Name the file to write with -o OUT.json.")
    return beside


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _folder(source: Path, target: Path | None, options: argparse.Namespace) -> Result:
    paths = sorted(path for path in source.rglob("*") if path.is_file() and _may_hold_one(path))
    if not paths:
        raise DataError(f"The folder '{source}' holds no {SUFFIX} file, and no picture or video with a workflow in it.")
    if target is not None and target.exists() and not target.is_dir():
        raise DataError(f"'{target}' is a file. Name a folder to write to, since '{source}' is one.")
    if target is not None and target.resolve() != source.resolve() and target.resolve().is_relative_to(source.resolve()):
        raise DataError(f"'{target}' lies within '{source}'. Name another folder.")
    found: list[dict[str, Any]] = []
    taken = {path for path in paths if not _is_picture(path)}
    for path in paths:
        beside = path.with_suffix(SUFFIX) if _is_picture(path) else path
        out = target / beside.relative_to(source) if target else None
        try:
            if out is not None and beside != path:
                _check_free(beside, taken, out)
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


def _may_hold_one(path: Path) -> bool:
    """Tell whether a file in a folder is worth a line: pictures and videos without a workflow are not."""
    if not _is_picture(path):
        return path.suffix == SUFFIX
    try:
        return bool(embedded_text(path, MAX_BYTES))
    except (DataError, OSError):
        return True


def _check_free(beside: Path, taken: set[Path], out: Path) -> None:
    """Keep the workflow of a picture from overwriting another file."""
    if beside in taken or out.exists():
        raise DataError(f"'{out}' is there already, or comes from another file. Give this file alone, with -o OUT.json.")
    taken.add(beside)


def _check_target(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise DataError(f"Cannot write '{target}': " + ("it is a folder." if target.is_dir() else "its folder does not exist."))


def _one(path: Path, target: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """Work on one file and return what `--json` says about it."""
    workflow = read_workflow(path)
    found: dict[str, Any] = {"file": str(path), "format": workflow.kind, **_origin(workflow)}
    if options.check:
        found |= _summary(check(workflow.data), checked=True)
    elif options.remove:
        removal = remove(workflow.data)
        found |= {"state": "removed" if removal.nodes else "unchanged", "nodes": removal.nodes, "exact": removal.exact}
        found["reason"] = removal.left or ("" if removal.nodes else messages.NOTHING_TO_REMOVE)
        if target is not None:
            write_removal(removal, workflow, target)
    else:
        change = add(workflow.data)
        found |= _summary(change.verdicts, checked=False)
        if target is not None:
            write_change(change, workflow, target)
    if target is not None:
        found["output"] = str(target)
    return found


def _origin(workflow: WorkflowFile) -> dict[str, Any]:
    """Say where in a file the workflow was, unless it is the file."""
    read = {"read": workflow.read} if workflow.read else {}
    return read | ({"within": list(map(named, workflow.places))} if workflow.places != ((),) else {})


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
    """List the samplers of one file, below where they were found."""
    origin = [messages.READ[found["read"]]] if "read" in found else []
    origin += [messages.WITHIN.format(keys=" and ".join(found["within"]))] if "within" in found else []
    origin += [f"written to {found['output']}"] if "read" in found and "output" in found else []
    return [f"  {line}" for line in origin] + [
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
