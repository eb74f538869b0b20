"""`safety-steer sign`: a name and a signature for a direction, or a new key to sign with."""

from __future__ import annotations

import argparse

from ..directions.any_direction import parse_any
from ..directions.provenance import pairs_of, provenance
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..storage import container
from ..storage.keys import new_key, public_half, read_secret
from ..storage.prompt_files import pairs_hash, read_pairs
from ..storage.signature import FIELD, judge, sign
from .console import Result, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", nargs="?", help="a direction or aligned direction (.safetensors); it gets the signature")
    parser.add_argument("--key", help="your secret key, made with --new-key (.key)")
    parser.add_argument("--pairs", help="the pairs it was made from, whose hash is signed where the file does not hold it")
    parser.add_argument("-o", "--output", help="write the signed file here and leave FILE as it is")
    parser.add_argument("--new-key", metavar="NAME", help="make NAME.key, which you keep, and NAME.pub, which you give away")
    parser.add_argument("--by", help="with --new-key: who you are, as others will read it")


def run(options: argparse.Namespace) -> Result:
    """Make a key, or sign a file."""
    if options.new_key is not None:
        if options.by is None or options.file or options.key or options.pairs or options.output:
            raise DataError("Expected `sign --new-key NAME --by WHO` and nothing else: sign files with that key afterwards.")
        secret, public, made = new_key(options.new_key, options.by)
        text = f"{secret}: keep it to yourself, and sign with it\n{public}: give it to those who are to trust you"
        return Result({"secret": str(secret), "public": str(public), "key": made.hex, "by": made.name}, text)
    if options.file is None or options.key is None or options.by is not None:
        raise DataError("Expected `sign FILE --key YOURS.key`, or `sign --new-key NAME --by WHO` to make a key.")
    key = read_secret(options.key)
    output = options.output or options.file
    container.check_target(output)
    contents = container.read_contents(options.file)
    direction = parse_any(contents)
    pairs = pairs_hash(read_pairs(options.pairs)) if options.pairs else ""
    text = sign(contents, key, pairs)
    signed = container.Contents(contents.document, contents.tensors, {FIELD: text})
    verdict = judge(signed, {public_half(bytes.fromhex(key.hex)): key.name})
    if pairs and (not isinstance(direction, SafetyDirection) or pairs_of(direction, verdict) != pairs):
        raise DataError(
            f"'{options.pairs}' are not the pairs that '{options.file}' was made from. Give those, or leave them out."
        )
    container.write(output, contents.document, contents.tensors, signed.beside)
    data = {"output": output, **provenance(direction, verdict)}
    return Result(data, table(["", "value"], [[name, value] for name, value in data.items()]))
