"""Write docs/packs.md from the table of other packs' nodes: `python -m tools.docs.write_packs`.

Which packs were run is in results/packs.json, left there by tests/comfyui/test_other_packs.py with
SAFETY_STEER_PACKS_FOUND=results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safety_steer.workflow.packs import TABLE

ROOT = Path(__file__).parents[2]
PAGE, COUNTS, FOUND = ROOT / "docs/packs.md", ROOT / "results/workflow_corpus.json", ROOT / "results/packs.json"
HEAD = """# Other packs

What `safety-steer add`, and the command in ComfyUI's window, make of nodes of other packs. Written by `python -m
tools.docs.write_packs` from the [table](../safety_steer/workflow/packs.json) that both go by.

A sampler is one of three things, and the command counts them apart: **steered**; **steered in part**, when it also
reads a prompt that a steered model does not pass on; **left alone**, with the reason. With `--strict` the command
exits with 3 unless everything is steered.

A pack that is not listed is judged by its sockets: what takes a MODEL, or a pipe that carries one, and gives a
LATENT, an IMAGE or a GUIDER, is a sampler, and steered where its model and its prompt come in by wire. The table was
read from the packs' own sources, at the version named.

{run} of these packs were also installed in a ComfyUI and run on small random models, on a CPU: {graphs} graphs, each
exported, steered by the command, and run. Those that are steered gave the bits that they give when the library steers their
prompts itself, and those that are left alone what they gave before. The last column says with which version; the graphs are
named below. The others were read and not run.

| pack | what happens | read at | run at |
| --- | --- | --- | --- |
"""
TRIED = """
## Tried on other people's workflows

`add`, a second `add` and `add --remove` were tried on {files:,} workflow files of {repositories} public repositories
([listed](../results/workflow_corpus_files.txt) by repository and path; none is kept here) by `python -m
benchmarks.workflow_corpus`. What may sample was counted by a reader of its own, which goes by the types of sockets alone.
Nothing was run in ComfyUI for this.

- crashes: {crashes}; new structural faults: {faults}; files that `--remove` did not give back byte for byte: {inexact}
- seconds a file: {median} at the median, {largest} at most ({machine}, beside other work)
- what may sample and goes without a word: {silent}
- samplers that run ComfyUI's own sampling, with their inputs connected: {own:,}, of which {steered:,} are steered ({percent} %)

| pack | files | samplers | steered | in part | left alone |
| --- | --- | --- | --- | --- | --- |
"""
KINDS = {
    "sampler": "samplers, steered by their model inputs",
    "pipe sampler": "samplers, steered where a model comes into their pipe",
    "pipe": "make, change or take apart a pipe: followed",
    "first": "give the first of their inputs: followed",
    "last": "give the last of their inputs that has a value: followed",
    "get": "read by a name: followed to the Set of that name in their graph",
    "get from around": "read by a name from graphs around their own too: followed",
    "set": "kept under a name for Get",
    "passthrough": "pass each input on by its name: followed",
    "broadcaster": "draw wires when the workflow runs: followed as the file notes them",
    "chain": "samplers that take on, without a model wire, that of the one before them in their latent",
    "own loop": "sample with a loop of their own: left alone",
    "hidden": "get model and prompt in a data stream: left alone",
    "own model": "run a model of their own: left alone",
    "other prompt": "have no positive prompt for a steered model: left alone",
    "prompt in model": "put a prompt into the model: samplers behind them are steered in part",
    "prompt beside": "add texts to a prompt: samplers behind them are steered in part",
    "no prompt": "take a model and do not sample by a prompt: not counted",
}


def page() -> str:
    """Return the text of the page: a row for every pack, what was tried, then the packs' nodes by what they are."""
    run = [found for found in map(found_of, TABLE["packs"]) if "cases" in found]
    head = HEAD.format(run=len(run), graphs=sum(len(found["cases"]) for found in run))
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    return head + "".join(map(_row, TABLE["packs"])) + _tried(counts) + "".join(map(_section, TABLE["packs"]))


def found_of(pack: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a run of a pack found; nothing for one that was not run."""
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    result: Mapping[str, Any] = found.get(pack["repository"].rpartition("/")[2], {})
    return result


def _row(pack: Mapping[str, Any]) -> str:
    return f"| [{pack['name']}](#{_anchor(pack)}) | {pack['says']} | {pack['commit']} | {_run(pack, found_of(pack))} |\n"


def _run(pack: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Say in a cell with which version a pack was run; ComfyUI itself is by all other tests."""
    if pack["name"] == "ComfyUI":
        return "other tests"
    if "missing" in found:
        return f"ComfyUI {found['comfyui']} cannot load {found['commit']}"
    return f"{found['commit']}, ComfyUI {found['comfyui']}" if found else "no"


def _tried(counts: Mapping[str, Any]) -> str:
    """Return what `add` did on a corpus of workflows, pack by pack."""
    own, named = counts["samplers that run ComfyUI's own sampling"], counts["named"]
    text = TRIED.format(
        files=counts["files"],
        repositories=counts["repositories"],
        crashes=len(named["crashed"]),
        faults=len(named["new faults"]),
        inexact=len(named["not byte-exact"]),
        silent=counts["suspects"].get("not mentioned", 0),
        own=own["all"],
        steered=own["steered"],
        percent=own["percent"],
        machine=counts["machine"],
        **counts["seconds"],
    )
    columns = ("files", "samplers", "steered", "in part", "left alone")
    return text + "".join(
        f"| {name} | {' | '.join(f'{one[column]:,}' for column in columns)} |\n" for name, one in counts["by pack"].items()
    )


def _section(pack: Mapping[str, Any]) -> str:
    nodes = pack["nodes"]
    lines = "".join(f"- {KINDS[kind]}: {', '.join(f'`{name}`' for name in names)}\n" for kind, names in nodes.items())
    run = "; ".join(found_of(pack).get("cases", ()))
    lines = (lines or "- judged by its sockets\n") + (f"- run: {run}\n" if run else "")
    return f"\n## {pack['name']}\n\n`{pack['repository']}`\n\n{lines}"


def _anchor(pack: Mapping[str, Any]) -> str:
    return str(pack["name"]).lower().replace(" ", "-")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
