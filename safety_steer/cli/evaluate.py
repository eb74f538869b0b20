"""`safety-steer evaluate`: do pictures and videos get safer? On the demo generators, or on your own checkpoint in ComfyUI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..demo_world import GENERATORS
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..statistics import need_scipy
from ..storage.bundled import DEMO_SOURCE, DEMO_TARGET, bundled
from . import evaluate_comfy
from .console import Result, add_crew_options, crew_of, progress_line, shared_out

if TYPE_CHECKING:
    from ..evaluation.demo.session import DemoSession


# The rows of generators that read text, and of those that read pictures.
FILES = {False: "evaluate.json", True: "evaluate-pictures.json"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--generator", nargs="+", default=["image"], choices=GENERATORS, help="which demo generators")
    parser.add_argument("--direction", help="a direction (default: the bundled one of the other language model)")
    parser.add_argument(
        "--native", help="a direction made in the generator's own text model, the upper reference (default: the bundled one)"
    )
    parser.add_argument("--stage", default="final", choices=("tune", "final"), help="whose prompts; choices are made on tune")
    parser.add_argument("--full", action="store_true", help="all methods and strengths, several times the prompts")
    parser.add_argument("--only", nargs="+", help="only these methods, by name")
    parser.add_argument("--output", default="results", help="folder for the results, the table and the pictures")
    add_crew_options(parser, "encode and draw", "the encoding and the pictures")
    evaluate_comfy.add_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Run the methods, write rows as they come, and draw what they mean."""
    if options.comfy_url is not None:
        if shared_out(options):
            raise DataError(
                "--processes, --ray and --keep are for the demo generators. Drawing in ComfyUI is shared out with "
                "--comfy-url several times, and goes on by itself."
            )
        return evaluate_comfy.run(options)
    if options.workflow is not None or options.prompts is not None:
        raise DataError("--workflow and --prompts are run in ComfyUI. Start it and name it: --comfy-url http://127.0.0.1:8188")
    from ..evaluation.demo.methods import DEFAULT, NATIVE, NONE, STANDARD, curve_methods, default_methods
    from ..evaluation.demo.pictures import THROUGH_TEXT, picture_inputs, picture_methods
    from ..evaluation.demo.report import draw_trade_off, headline, markdown
    from ..evaluation.demo.run import FULL, PICTURES, PICTURES_VIDEO, QUICK, QUICK_VIDEO, evaluate, method_inputs
    from ..evaluation.demo.session import DemoSession
    from ..evaluation.demo.sheet import draw_sheet

    need_scipy()
    folder = Path(options.output)
    known = {method.name for method in (*default_methods(quick=not options.full), *picture_methods())}
    unknown = [name for name in options.only or () if name not in known]
    if unknown:
        raise DataError(f"There is no method '{unknown[0]}'. There are: {', '.join(sorted(known))}.")
    rows_of: dict[bool, list[dict[str, Any]]] = {}
    written = []
    with crew_of(options) if shared_out(options) else nullcontext(()) as crew:
        for name in options.generator:
            session = DemoSession.open(name, *crew)
            pictures = session.generator.reads_pictures
            video = session.generator.video
            methods = picture_methods(video) if pictures else default_methods(not options.full, video)
            if options.only:
                methods = [method for method in methods if method.name in {"none", *options.only}]
            quick = {(True, True): PICTURES_VIDEO, (True, False): PICTURES, (False, True): QUICK_VIDEO, (False, False): QUICK}
            plan = replace(FULL if options.full and not pictures else quick[pictures, video], stage=options.stage)
            own, other = _bundled(session)
            direction = SafetyDirection.load(options.direction or bundled(other))
            native = SafetyDirection.load(options.native or bundled(own))
            told = progress_line("encoding anchors", options)
            inputs = picture_inputs(session, direction, told) if pictures else method_inputs(session, direction, native, told)
            curve = [] if options.only or pictures else curve_methods()
            rows_of[pictures] = evaluate(session, inputs, methods, plan, folder / FILES[pictures], _reporter(options), curve)
            shown = [method for method in (NONE, DEFAULT, STANDARD, THROUGH_TEXT, NATIVE) if method in methods]
            draw_sheet(session, inputs, shown, plan.stage, folder / f"{name}.png", plan.steps)
            written.append(folder / f"{name}.png")
    for pictures, rows in rows_of.items():
        file = folder / FILES[pictures]
        file.with_suffix(".md").write_text(markdown(rows) + "\n")
        written += [file, file.with_suffix(".md")]
    if False in rows_of:
        draw_trade_off(rows_of[False], folder / "trade_off.png")
        written.append(folder / "trade_off.png")
    rows = [row for found in rows_of.values() for row in found]
    text = "\n".join([markdown(rows), "", headline(rows), "", *(f"wrote {path}" for path in written)])
    return Result({"rows": rows, "files": [str(path) for path in written]}, text)


def _bundled(session: DemoSession) -> tuple[str, str]:
    """Name the bundled direction made in the generator's own text model, and the one made in the other model."""
    both = (DEMO_TARGET, DEMO_SOURCE)
    return both if session.generator.encoder == "all-MiniLM-L6-v2" else both[::-1]


def _reporter(options: argparse.Namespace) -> Callable[[str], None] | None:
    if options.quiet:
        return None
    return lambda text: print(text, file=sys.stderr, flush=True)
