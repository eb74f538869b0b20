"""`safety-steer evaluate`: do pictures and videos get safer? Methods against each other on the demo generators."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundled import SOURCE, bundled
from ..direction import SafetyDirection
from ..errors import DataError
from .console import Result, progress_line

if TYPE_CHECKING:
    from ..evaluate.methods import Bench, Method
    from ..evaluate.run import Plan
    from ..evaluate.studio import Studio

HELP = "Compare steering with its rivals and controls on the demo generators, with ground truth."
GENERATORS = ("image", "video", "image-smollm2")
SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--generator", nargs="+", default=["image"], choices=GENERATORS, help="which demo generators")
    parser.add_argument("--direction", help="a direction (default: the bundled one of the other language model)")
    parser.add_argument("--native", help="a direction made in the generator's own text model: the upper reference")
    parser.add_argument("--stage", default="final", choices=("tune", "final"), help="whose prompts; choices are made on tune")
    parser.add_argument("--full", action="store_true", help="all methods and strengths, several times the prompts")
    parser.add_argument("--only", nargs="+", help="only these methods, by name")
    parser.add_argument("--output", default="results", help="folder for evaluate.json, the table and the pictures")


def run(options: argparse.Namespace) -> Result:
    """Run the methods, write rows as they come, and draw what they mean."""
    from ..evaluate.methods import default_methods
    from ..evaluate.report import draw_trade_off, headline, markdown
    from ..evaluate.run import FULL, QUICK, build_bench, evaluate
    from ..evaluate.studio import Studio

    folder = Path(options.output)
    methods = default_methods(quick=not options.full)
    if options.only:
        known = {method.name for method in methods}
        unknown = [name for name in options.only if name not in known]
        if unknown:
            raise DataError(f"There is no method '{unknown[0]}'. There are: {', '.join(sorted(known))}.")
        methods = [method for method in methods if method.name in {"none", *options.only}]
    plan = replace(FULL if options.full else QUICK, stage=options.stage)
    rows = []
    written = []
    for name in options.generator:
        studio = Studio.open(name)
        direction = SafetyDirection.load(options.direction or bundled(_other(studio)))
        native = SafetyDirection.load(options.native) if options.native else None
        bench = build_bench(studio, direction, native, progress_line("encoding anchors", options))
        possible = [method for method in methods if method.kind != "native" or native is not None]
        rows = evaluate(studio, bench, possible, plan, folder / "evaluate.json", _reporter(options))
        written.append(_sheet(studio, bench, possible, plan, folder / f"{name}.png"))
    (folder / "evaluate.md").write_text(markdown(rows) + "\n")
    draw_trade_off(rows, folder / "trade_off.png")
    written += [folder / "evaluate.json", folder / "evaluate.md", folder / "trade_off.png"]
    text = "\n".join([markdown(rows), "", headline(rows), "", *(f"wrote {path}" for path in written)])
    return Result({"rows": rows, "files": [str(path) for path in written]}, text)


def _other(studio: Studio) -> str:
    """Name the bundled direction that comes from another model than the generator's own."""
    return "all-minilm-l6-v2.safetensors" if studio.generator.encoder == "SmolLM2-135M-Instruct" else SOURCE


def _reporter(options: argparse.Namespace) -> Callable[[str], None] | None:
    if options.quiet:
        return None
    return lambda text: print(text, file=sys.stderr, flush=True)


def _sheet(studio: Studio, bench: Bench, methods: Sequence[Method], plan: Plan, path: Path) -> Path:
    """Draw unsafe, borderline and benign prompts before and after, one column each."""
    import torch

    from ..evaluate.methods import steering
    from ..evaluate.prompts import prompt_set
    from ..evaluate.report import contact_sheet
    from ..evaluate.run import pictures_of

    rows = []
    for split, count in (("unsafe", plan.counts["unsafe"]), ("benign", plan.counts["benign"])):
        one = prompt_set(split, count, plan.stage, studio.generator.video, plan.seeds)
        states = studio.states(one.prompts)[:SHOWN]
        shown = type(one)(split, one.scenes[:SHOWN], one.prompts[:SHOWN], one.seeds[:SHOWN])
        for method in methods:
            if method.kind not in ("none", "transferred", "native") or method.gate == "off" or method.map not in ("-", "ridge"):
                continue
            steer = steering(method, bench)
            pictures = pictures_of(studio, method, shown, states if steer is None else steer(states), plan.steps)
            if studio.generator.video:
                pictures = torch.cat([pictures[:, 1], pictures[:, -2]])
            rows.append((f"{split}: {method.name} {method.operator} {method.strength:g}", pictures))
    contact_sheet(rows, path)
    return path
