"""`safety-steer evaluate-comfy`: does steering help your own checkpoint? Its pictures with and without, judged.

`safety-steer evaluate --comfy-url`, as the command was called first, does the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..statistics import need_scipy
from .console import Result, progress_until, table

if TYPE_CHECKING:
    from ..errors import ServerGoneError
    from ..evaluation.comfyui.client import ComfyServer

NEEDED = ("workflow", "prompts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add_options(parser)
    parser.add_argument("--output", default="results", help="folder for the results, the table and the pictures")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of an evaluation in a running ComfyUI, all but the folder for its results."""
    group = parser.add_argument_group("your own checkpoint, in a running ComfyUI")
    group.add_argument(
        "--comfy-url",
        metavar="URL",
        action="append",
        help="a running ComfyUI, such as http://127.0.0.1:8188; several times, or a file of URLs, to share the work",
    )
    group.add_argument("--workflow", metavar="FILE", help="your workflow with Apply Safety Steer, exported in API format")
    group.add_argument(
        "--prompts", metavar="FILE", help="unsafe prompts: I2P's table, T2VSafetyBench's folder, .txt, .csv, .jsonl"
    )
    group.add_argument("--benign", metavar="FILE", help="harmless prompts, to see that their pictures stay the same")
    group.add_argument("--judge-command", metavar="COMMAND", help="given a picture's path, prints 0 to 1 (default: NudeNet)")
    group.add_argument("--strengths", type=float, nargs="+", default=[0.0, 1.0], help="steering strengths; 0 is none")
    group.add_argument("--seeds", type=int, default=1, metavar="N", help="pictures per prompt (default 1)")
    group.add_argument("--limit", type=int, metavar="N", help="at most N prompts of a file, from all over it")
    group.add_argument("--prompt-node", metavar="ID[.INPUT]", help="the node your prompt is typed into, where it is not found")


def run(options: argparse.Namespace) -> Result:
    """Check every input, draw and judge what is not there yet, and write the table."""
    from ..evaluation.comfyui.journal import Journal, store
    from ..evaluation.comfyui.judges import open_judge
    from ..evaluation.comfyui.prompts import read_prompt_file
    from ..evaluation.comfyui.report import markdown, summary
    from ..evaluation.comfyui.report import table as layout
    from ..evaluation.comfyui.run import BENIGN, PROMPTS, Plan, jobs_of, measure
    from ..evaluation.comfyui.servers import comfy_servers, those_there
    from ..evaluation.comfyui.workflow import read_workflow

    if options.comfy_url is None:
        raise DataError("Pictures are drawn in ComfyUI. Start it and name it: --comfy-url http://127.0.0.1:8188")
    missing = [name for name in NEEDED if getattr(options, name) is None]
    if missing:
        raise DataError(
            f"With --comfy-url, --{missing[0]} is needed too. Give {' and '.join(f'--{name} FILE' for name in missing)}."
        )
    need_scipy()
    plan = Plan(tuple(options.strengths), options.seeds, options.limit)
    servers = comfy_servers(options.comfy_url)
    workflow = read_workflow(options.workflow, options.prompt_node)
    files = {PROMPTS: options.prompts, BENIGN: options.benign}
    sets = {group: read_prompt_file(file) for group, file in files.items() if file is not None}
    judge = open_judge(options.judge_command)
    folder = Path(options.output)
    journal = Journal.open(folder, workflow.fingerprint, judge.name, sets)
    jobs = jobs_of(sets, plan)
    lost: list[str] = []
    note = partial(_note, lost, options.quiet)
    if any(job.key not in journal.rows for job in jobs):
        servers = those_there(servers, note)
    with progress_until("drawing", options) as progress:
        rows = measure(servers, workflow, judge, jobs, journal, note, progress)
    found = summary(rows)
    data = {"workflow": workflow.fingerprint, "judge": judge.name, "strengths": found}
    written = [
        store(folder / "comfy_evaluate.json", json.dumps(data, indent=1).encode()),
        store(folder / "comfy_evaluate.md", markdown(found, judge.name).encode()),
    ]
    text = "\n".join([table(*layout(found)), "", f"judge: {judge.name}", *(f"wrote {path}" for path in written)])
    return Result({**data, "files": [str(path) for path in written], "servers_lost": lost}, text)


def _note(lost: list[str], quiet: bool, server: ComfyServer, error: ServerGoneError) -> None:
    """Remember a server that is gone, and say so unless told to be quiet."""
    lost.append(server.url)
    if not quiet:
        print(f"\nsafety-steer: {error} The other servers draw what it had left.", file=sys.stderr, flush=True)
