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

# Each command's module is named like it; what it does is said here, so that the list of commands waits for none of them.
COMMANDS = {
    "extract": "Extract a safety direction from a source language model.",
    "align": "Fit a direction to a text encoder with benign prompts only.",
    "inspect": "Show what is in a direction file, after checking it.",
    "score": "Measure a direction on pairs it has not seen.",
    "add": "Put safety steering before every sampler of a workflow file, or with --remove take it out.",
    "demo": "Carry the bundled direction to a real text encoder, compare it with controls, and draw pictures before and after.",
    "evaluate": "Compare steering with baselines and controls on the demo generators, with ground truth; or, with --comfy-url, "
    "measure your own checkpoint in a running ComfyUI.",
    "evaluate-comfy": "Draw prompts in a running ComfyUI with your own workflow, with and without steering, and have a judge "
    "look at them.",
    "negate": "Choose the weights of a text encoder (or CLIP's vision) that answer to unsafe inputs, and write them as a "
    "patch.",
    "safeground": "Measure how safe an image-text model is on safe and unsafe queries (SafeGround).",
    "refuse": "Make a language model refuse unsafe requests: train a small file, or measure one.",
    "sign": "Sign a direction or an aligned direction, or make a key to sign with (--new-key).",
    "verify": "Check a signed direction: exit 0 when a key you trust has signed what is in it, else 1.",
}


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser of a command line: all commands by name, and the options of the one it names.

    The others are not imported: neither `add` nor the list of commands need wait for the libraries of the rest.
    """
    parser = argparse.ArgumentParser(prog="safety-steer", description="Portable safety directions for text encoders.")
    parser.add_argument("--version", action="version", version=f"safety-steer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = next((word for word in words if word in COMMANDS), None)
    for name, meaning in COMMANDS.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        if name != named:
            continue
        module = import_module(f".{name.replace('-', '_')}", __name__)
        command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        command.add_argument("--quiet", action="store_true", help="no progress on stderr")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when done, 2 for input to change, 130 when interrupted, or what a command says."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # model loaders draw bars of their own over our progress line
    words = sys.argv[1:] if arguments is None else arguments
    options = build_parser(words).parse_args(words)
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
