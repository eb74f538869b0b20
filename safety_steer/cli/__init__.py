"""The `safety-steer` command: progress on stderr, a table on stdout, `--json` for one JSON object, exit 2 on bad input."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import SafetySteerError
from .console import Result

COMMANDS = (
    "extract",
    "align",
    "inspect",
    "score",
    "add",
    "demo",
    "evaluate",
    "evaluate-comfy",
    "negate",
    "safeground",
    "refuse",
    "sign",
    "verify",
)


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of these commands."""
    parser = argparse.ArgumentParser(prog="safety-steer", description="Portable safety directions for text encoders.")
    parser.add_argument("--version", action="version", version=f"safety-steer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f".{name.replace('-', '_')}", __name__)
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        command.add_argument("--quiet", action="store_true", help="no progress on stderr")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when done, 2 for input to change, 130 when interrupted, or what a command says."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # model loaders draw bars of their own over our progress line
    words = sys.argv[1:] if arguments is None else arguments
    # A command named at once is imported alone: `add` need not wait for the libraries of the others.
    options = build_parser(words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS).parse_args(words)
    try:
        result: Result = options.run(options)
    except (SafetySteerError, OSError) as error:
        print(f"safety-steer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"safety-steer: {str(stop) or 'interrupted, nothing written'}", file=sys.stderr)
        return 130
    say(json.dumps(result.data) if options.json else result.text)
    return result.code


def say(text: str) -> None:
    """Print a result, also when nobody listens any more, as in `safety-steer add X --check | head -1`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer would raise once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
