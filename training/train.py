"""Trains the demo: `python -m training.train STAGE`, with "sprites" or one of `MINUTES` as the stage.

Each stage is seeded, goes on from its checkpoint, writes usable weights every few minutes and logs to WORK/STAGE.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import distributed, stages
from .loop import Run

MINUTES = {
    "autoencoder": 7,
    "judge": 33,
    "embedding": 4,
    "second-judge": 12,
    "image": 96,
    "video": 88,
    "image-smollm2": 60,
    "image-from-picture": 45,
}


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["sprites", *MINUTES])
    parser.add_argument("--work", type=Path, default=Path("demo_work"), help="folder for rendered scenes, checkpoints and logs")
    parser.add_argument("--minutes", type=float, default=0, help="training time; 0 for the stage's own")
    parser.add_argument("--processes", type=int, default=2, help="one-thread processes that train together")
    parser.add_argument("--pictures", type=int, default=80000, help="how many scenes to render for training")
    parser.add_argument("--from-weights", action="store_true", help="start from the stage's own weights in the repository")
    parser.add_argument(
        "--compile", action="store_true", help="compile a generator's blocks: a third faster, wants a C++ compiler"
    )
    arguments = parser.parse_args()
    if arguments.stage == "sprites":
        from .sprites import write_atlas

        sys.stdout.write(f"{write_atlas()}\n")
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    minutes = arguments.minutes or MINUTES[arguments.stage]
    children = distributed.start(arguments.work, arguments.processes)
    run = Run(arguments.work, minutes, arguments.pictures, arguments.processes, arguments.from_weights, arguments.compile)
    stages.STAGES[arguments.stage](run)
    for child in children:
        child.wait()


if __name__ == "__main__":
    main()
