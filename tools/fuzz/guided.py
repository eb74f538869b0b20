"""Fuzz one target, guided by coverage, with atheris: what `tools.fuzz.run` starts.

python -m tools.fuzz.guided TARGET CORPUS_FOLDER [options of libFuzzer]
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import torch  # noqa: F401 - before what is instrumented, which it need not be

with atheris.instrument_imports(include=["safety_steer"]):
    from .targets import TARGETS


def main() -> None:
    """Write the seeds that are missing and fuzz until libFuzzer ends."""
    name, folder, *options = sys.argv[1:]
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (Path(folder) / f"seed-{number:03d}").write_bytes(seed)
    atheris.Setup([sys.argv[0], folder, f"-max_len={target.longest}", *options], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
