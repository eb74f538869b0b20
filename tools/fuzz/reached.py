"""Measure which lines of the readers the inputs of a corpus reach: every input of every target once, under coverage.py.

    python -m tools.fuzz.reached [--work build/fuzz] [--most 2000] [-o results/fuzz-coverage.json]

Lines that are run when a module is imported count as reached; branches are not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "safety_steer"
READERS = (
    *("errors.py", "api_wires.py", "storage/*.py", "directions/source.py", "directions/aligned.py", "directions/space_file.py"),
    *("directions/tensor_fields.py", "negation/patch.py", "refusal/head.py", "evaluation/demo/kept.py", "workflow/**/*.py"),
    *(f"evaluation/comfyui/{name}.py" for name in ("client", "frames", "journal", "prompts", "workflow")),
)


def inputs(folder: Path, name: str, most: int) -> list[bytes]:
    """Return at most so many inputs of a target: of past faults all, of the fuzzer's corpus some, chosen at random."""
    past = sorted((ROOT / "tests" / "corpus" / name).glob("*"))
    grown = sorted((folder / "corpus" / name).glob("*"))
    chosen = random.Random(0).sample(grown, min(most, len(grown)))
    return [path.read_bytes() for path in (*past, *chosen)]


def reached(folder: Path, most: int) -> dict[str, Any]:
    """Run the inputs; return the share of lines that were run, of each module and of all, and how many inputs there were."""
    import coverage

    measured = coverage.Coverage(include=[str(LIBRARY / "*")], data_file=None)
    measured.start()
    from .targets import TARGETS

    count = 0
    for name, target in TARGETS.items():
        for data in inputs(folder, name, most):
            target.run(data)
            count += 1
    measured.stop()
    modules: dict[str, list[int]] = {}
    for path in sorted({path for pattern in READERS for path in LIBRARY.glob(pattern)}):
        _, lines, _, missing, _ = measured.analysis2(str(path))
        modules[path.relative_to(LIBRARY).as_posix()] = [len(lines) - len(missing), len(lines)]
    run, all_lines = (sum(numbers) for numbers in zip(*modules.values(), strict=True))
    return {"inputs": count, "lines": all_lines, "run": run, "share": round(run / all_lines, 4), "modules": modules}


def main() -> int:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--most", type=int, default=2000, help="inputs of each target's grown corpus")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    found = reached(options.work, options.most)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({key: value for key, value in found.items() if key != "modules"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
