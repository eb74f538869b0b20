"""`safety-steer verify`: who made and signed a direction, and whether that holds."""

from __future__ import annotations

import argparse

from ..directions.any_direction import parse_any
from ..directions.provenance import pairs_of, provenance
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..storage import container
from ..storage.keys import read_public, read_trusted
from ..storage.prompt_files import pairs_hash, read_pairs
from ..storage.signature import State, judge
from .console import Result, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", help="a direction or aligned direction (.safetensors)")
    parser.add_argument("--key", action="append", default=[], help="a public key you trust (.pub); may be given several times")
    parser.add_argument("--trusted", help="a folder of public keys you trust")
    parser.add_argument("--pairs", help="pairs of prompts: also check that the direction was made from these")


def run(options: argparse.Namespace) -> Result:
    """Read, check and say what is known."""
    trusted, complaints = read_trusted(options.trusted) if options.trusted else ({}, [])
    if complaints:
        raise DataError(complaints[0])
    trusted |= {key.hex: key.name for key in map(read_public, options.key)}
    contents = container.read_contents(options.file)
    direction, verdict = parse_any(contents), judge(contents, trusted)
    data = {"file": options.file, **provenance(direction, verdict), "state": verdict.state.value, "key": verdict.key}
    good = verdict.state is State.TRUSTED
    if options.pairs:
        known = pairs_of(direction, verdict) if isinstance(direction, SafetyDirection) else ""
        same = bool(known) and pairs_hash(read_pairs(options.pairs)) == known
        data["made from these pairs"] = "yes" if same else "no" if known else "the file does not say"
        good = good and same
    return Result(data, table(["", "value"], [[name, value] for name, value in data.items() if value]), 0 if good else 1)
