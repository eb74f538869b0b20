"""What `safety-steer add` does with a folder of workflow files: add, check and remove on each, counted as JSON.

    python -m benchmarks.workflow_corpus FOLDER --kept found.jsonl [--seconds 500] [--output counts.json] [--listed files.txt]

The folder holds workflows as others keep them (JSON, pictures, videos), a folder for each repository called OWNER+NAME; none
is part of this project. Counted are crashes (with the file), refusals by their reason, faults that `add` brought in, second
adds that changed something, disagreements of `check` and `add`, files that `--remove` gave back letter for letter, and seconds
a file for add and remove together. Every suspect that `workflow_checker` finds by socket types is held against what `add` says
and does. What was found of a file is kept in a file of its own, so that a run that is cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.workflow_checker import Learned, Net, exported, is_foreign, saved, suspects, unsteered
from safety_steer.errors import DataError
from safety_steer.workflow import add, check, read_workflow, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.files.json_text import parse
from safety_steer.workflow.files.letter_for_letter import text_with_steering, text_without_steering
from safety_steer.workflow.files.pictures import SUFFIXES, embedded_text
from safety_steer.workflow.files.wrapped import at
from safety_steer.workflow.format_check import EDITOR, kind_of
from safety_steer.workflow.messages import TEXTS
from safety_steer.workflow.packs import NO_PROMPT, PASSES, PIPE, PROMPT_IN_MODEL, TABLE, is_known_as
from safety_steer.workflow.plan import LEFT, Verdict
from safety_steer.workflow.workflow_file import MAX_BYTES, WorkflowFile

STEERED, IN_PART, LEFT_ALONE, NO_SAMPLER = "steered", "in part", "left alone", "no sampler by the table"
SILENT, IN_NAME = "not mentioned", "steered in name only"
OTHERS = "packs that are not in the table"
REASONS = {
    key: re.compile(".*".join(map(re.escape, re.split(r"\{\w+\}", text))), re.DOTALL)
    for key, text in TEXTS.items()
    if text[0] != "{"
}
OWN = ("own_loop", "own_model", "own_model_wan", "own_model_conditioning")
"""Reasons of samplers that do not run ComfyUI's own sampling."""
UNCONNECTED = ("empty_input", "broken_wire", "no_prompt", "no_clip")
"""Reasons of samplers that ComfyUI would refuse to run as the file is: an input that has to be connected is not."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Go through a folder and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="a line for every file that was tried; it goes on from there")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after that long; run again to go on")
    parser.add_argument("--only", default="", help="only files with this in their path")
    parser.add_argument("--output", type=Path, help="write the counts here too")
    parser.add_argument("--listed", type=Path, help="write repository and path of every workflow here")
    options = parser.parse_args(arguments)
    paths = [path for path in found_in(options.folder) if options.only in str(path)]
    if not go_on(options.folder, paths, options.kept, options.seconds):
        print("Not all files were tried. Run it again.")
        return
    rows = [json.loads(line) for line in options.kept.read_text(encoding="utf-8").splitlines()]
    text = json.dumps(counted(rows), indent=2)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    if options.listed:
        options.listed.write_text(
            "".join(f"{row['repository']} {row['path']}\n" for row in rows if row["read"]), encoding="utf-8"
        )
    print(text)


def found_in(folder: Path) -> list[Path]:
    """Return the files that may hold workflows, in order."""
    return sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix.lower() in (*SUFFIXES, ".json"))


def go_on(folder: Path, paths: Sequence[Path], kept: Path, seconds: float) -> bool:
    """Try the files that are not kept yet; tell whether all are."""
    begun = time.perf_counter()
    known = {json.loads(line)["file"] for line in kept.read_text(encoding="utf-8").splitlines()} if kept.exists() else set()
    waiting = [path for path in paths if str(path.relative_to(folder)) not in known]
    learned = learn(found_in(folder)) if waiting else Learned()
    with kept.open("a", encoding="utf-8") as stream:
        for path in waiting:
            if time.perf_counter() - begun > seconds:
                return False
            name = path.relative_to(folder)
            row = {"file": str(name), "repository": name.parts[0].replace("+", "/"), "path": "/".join(name.parts[1:])}
            stream.write(json.dumps(row | one_file(path, learned)) + "\n")
    return True


def learn(paths: Sequence[Path]) -> Learned:
    """Learn types of sockets and packs from all saved workflows."""
    learned = Learned()
    for path in paths:
        try:
            workflow = read_workflow(path)
        except DataError:
            continue
        for place in workflow.places:
            if kind_of(part := at(workflow.data, place)) == EDITOR:
                learned.see(saved(part))
    return learned


def one_file(path: Path, learned: Learned) -> dict[str, Any]:
    """Try one file and return what is counted of it."""
    start = time.perf_counter()
    try:
        if path.suffix.lower() in SUFFIXES and not embedded_text(path, MAX_BYTES):
            return {"read": False, "refused": "a picture or a video without a workflow"}
        workflow = read_workflow(path)
    except DataError as error:
        return {"read": False, "refused": reason(str(error))}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        found, seconds, samplers = tried(workflow, learned, start)
    except Exception as error:
        print(f"{path}: {type(error).__name__}: {str(error)[:200]}", flush=True)
        return {"read": True, "sha256": digest, "found": {"crashed": True}, "seconds": 0.0, "suspects": []}
    return {"read": True, "sha256": digest, "found": found, "seconds": round(seconds, 4), "suspects": samplers}


def tried(workflow: WorkflowFile, learned: Learned, start: float) -> tuple[dict[str, bool], float, list[dict[str, str]]]:
    """Add, check and remove on one workflow; the time is that of reading, add, its text, remove, and its text."""
    text, data = workflow.text, workflow.data
    change = add(data)
    steered_text = text_with_steering(text, data, change)
    steered = parse(steered_text)
    removal = remove(steered)
    back = text_without_steering(steered_text, steered, removal) if change.changed or not removal.nodes else text
    seconds = time.perf_counter() - start
    agree = [verdict.state for verdict in check(data)] == [verdict.state for verdict in change.verdicts]
    found = {
        "from pictures": bool(workflow.read),
        "exports": workflow.kind != EDITOR,
        "wrapped": workflow.places != ((),),
        "with samplers": bool(change.verdicts),
        "changed": change.changed,
        "new faults": not faults(steered, workflow) <= faults(data, workflow),
        "changed by a second add": add(steered).changed,
        "check and add disagree": not agree,
        "letters kept": '"letters"' in steered_text and '"letters"' not in text,
        "steered before": bool(remove(data).nodes),
        "not byte-exact": back != text and not remove(data).nodes,
    }
    return found, seconds, list(judged(workflow, change.data, change.verdicts, learned))


def judged(workflow: WorkflowFile, after: Any, verdicts: Sequence[Verdict], learned: Learned) -> Iterator[dict[str, str]]:
    """Hold every suspect against what is said of it and what was done."""
    said: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        said.setdefault((verdict.sampler.graph.key, str(verdict.sampler.node["id"])), []).append(verdict)
    for place in workflow.places:
        before, changed = (_net(at(data, place), learned) for data in (workflow.data, after))
        for key, node in suspects(before):
            words = said.get(key, [])
            left = [one for one in words if one.state == LEFT]
            missing = unsteered(changed, changed.nodes[key])
            partly = next((one.missed for one in words if one.missed), "")
            if left:
                outcome = LEFT_ALONE
            elif words:
                outcome = IN_PART if partly else IN_NAME if missing else STEERED
            else:
                known = any(is_known_as(node.type, kind) for kind in (NO_PROMPT, PIPE, PASSES, PROMPT_IN_MODEL))
                outcome = NO_SAMPLER if known else SILENT
            yield {
                "type": node.type,
                "pack": pack_of(node.type, node.pack or learned.pack(node.type)),
                "outcome": outcome,
                "reason": key_of(left[0].reason) if left else "",
                "text": left[0].reason if left else partly or ", ".join(missing),
                "foreign": "foreign" if is_foreign(node) else "",
                "node": "/".join(key),
            }


def _net(data: Any, learned: Learned) -> Net:
    return saved(data) if kind_of(data) == EDITOR else exported(data, learned)


def pack_of(type: str, told: str) -> str:
    """Return the pack of a node, as the table calls it where it is in it, else as files call it."""
    short = re.sub(r"[^a-z0-9]", "", told.rpartition("/")[2].lower())
    for pack in TABLE["packs"]:
        if any(fnmatchcase(type, name.replace("?", "[?]")) for names in pack["nodes"].values() for name in names):
            return str(pack["name"])
        if short and short == re.sub(r"[^a-z0-9]", "", pack["repository"].rpartition("/")[2].lower()):
            return str(pack["name"])
    return "ComfyUI" if told == "comfy-core" else told or "not named"


def key_of(text: str) -> str:
    """Return which of the texts a reason is."""
    return next((key for key, pattern in REASONS.items() if pattern.fullmatch(text)), text)


def faults(data: Any, workflow: WorkflowFile) -> set[str]:
    """Return what is unsound in the editor's workflows of a file."""
    parts = [at(data, place) for place in workflow.places]
    return {fault for part in parts if kind_of(part) == EDITOR for fault in problems(part)}


def reason(message: str) -> str:
    """Take out of a refusal what is of one file alone."""
    return re.sub(r"'[^']*'|\d[\d,]*|: \{.*", "...", message.partition("cannot be used. ")[2] or message)[:120]


def counted(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of all files."""
    read = [row for row in rows if row["read"]]
    found = [one for row in read for one in row["suspects"]]
    own = [
        one
        for one in found
        if not one["foreign"] and one["reason"] not in (*OWN, *UNCONNECTED) and one["outcome"] != NO_SAMPLER
    ]
    done = sum(one["outcome"] in (STEERED, IN_PART) for one in own)
    seconds = [row["seconds"] for row in read]
    named = {
        name: [row["file"] for row in read if row["found"].get(name)]
        for name in ("crashed", "not byte-exact", "new faults", "changed by a second add", "check and add disagree")
    }
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "files": len(read),
        "repositories": len({row["repository"] for row in read}),
        "counts": dict(sum((Counter({name for name, one in row["found"].items() if one}) for row in read), Counter())),
        "refused": dict(Counter(row["refused"] for row in rows if not row["read"]).most_common()),
        "seconds": {"median": round(statistics.median(seconds), 3), "largest": round(max(seconds), 3)},
        "suspects": dict(Counter(one["outcome"] for one in found).most_common()),
        "samplers that run ComfyUI's own sampling": {
            "all": len(own),
            "steered": done,
            "percent": round(100 * done / len(own), 2),
        },
        "left alone": dict(Counter(one["reason"] for one in found if one["outcome"] == LEFT_ALONE).most_common()),
        "not mentioned": dict(Counter(one["type"] for one in found if one["outcome"] == SILENT).most_common()),
        "in name only": dict(Counter(one["type"] for one in found if one["outcome"] == IN_NAME).most_common()),
        "by pack": by_pack(read),
        "hash of all files": hashlib.sha256("".join(sorted(row["sha256"] for row in read)).encode()).hexdigest(),
        "named": named,
    }


def by_pack(read: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return, for every pack of the table and for all others together, files, samplers and what became of them."""
    names = [str(pack["name"]) for pack in TABLE["packs"]]
    table = {name: Counter({"files": 0, "samplers": 0, STEERED: 0, IN_PART: 0, LEFT_ALONE: 0}) for name in (*names, OTHERS)}
    for row in read:
        counts = [(one["pack"] if one["pack"] in table else OTHERS, one["outcome"]) for one in row["suspects"]]
        counts = [(pack, outcome) for pack, outcome in counts if outcome != NO_SAMPLER]
        for pack in {pack for pack, _ in counts}:
            table[pack]["files"] += 1
        for pack, outcome in counts:
            table[pack]["samplers"] += 1
            table[pack][outcome] += 1
    return {name: dict(one) for name, one in table.items() if one["samplers"]}


if __name__ == "__main__":
    main()
