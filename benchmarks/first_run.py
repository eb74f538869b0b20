"""Two builds side by side in one run: time and peak memory of alignment and extraction, and whether the quality is the same.

    python -m benchmarks.first_run --against CHECKOUT --models minilm=PATH mpnet=PATH ... --pairs merged_pairs.jsonl \\
        --data DATA --source PATH [--only align extract] [--repeats 5] [--threads 2] [-o results/first_run.json]

CHECKOUT is a checkout of the build before; both builds run under this Python, in turn, each run in a process of its own
(`benchmarks/one_build.py`). Alignment is that of each build's own bundled direction to each model, with its own defaults; of
extraction, `--extract-pairs` of the pairs and the bundled harmless prompts go through the model that --source names. Time and
peak count from the loaded model on, all of whose weights have been read: the peak is the process's high-water mark above what
it held then. Quality is measured on pairs that `benchmarks/splits.py` holds out and on COCO captions, each build reading its
own aligned direction of the same states; `--orders N` measures that of N more alignments of each, taught in other orders, since
networks differ by these alone. Every run is a line in the --work folder, and a second run goes on from there; a changed build
is measured anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from safety_steer.cli.console import table
from safety_steer.directions.source import SafetyDirection
from safety_steer.statistics import auroc
from safety_steer.storage.prompt_files import Pair, read_pairs

from .side_by_side import AFTER, BEFORE, Journal, Json, Run, about_model, commit, compared, digest
from .transfer_table.prompts import Prompts, read

ROOT = Path(__file__).parents[1]
EQUAL_RATE = 0.01  # of the captions flagged, where the shares of flagged unsafe prompts are compared
WITHIN = 0.01
JUDGED = ("auroc", "gate_auroc", "flagged")
LIMITS = {"align": {"seconds": 0.4, "peak": 0.5}, "extract": {"peak": 0.6}}
SEED = 0


def align_to(run: Run, name: str, model: Path, prompts: Prompts, direction: str, orders: int) -> Json:
    """Measure alignment to one model, then what both aligned directions are worth, and `orders` more of each."""
    given = [name, *about_model(model), direction and digest(Path(direction).read_bytes())]
    job = {"do": "align", "model": str(model), "direction": direction}
    found = run.side_by_side(name, ["align", *given], job, ".safetensors")
    texts, states = prompts.core, run.work / f"states-{digest(name, *about_model(model), prompts.digest())}.pt"
    if not states.is_file():
        asked, half = run.work / "prompts.json", states.with_suffix(".part")
        asked.write_text(json.dumps(texts), encoding="utf-8")
        run.child(AFTER, {"do": "encode", "model": str(model), "prompts": str(asked), "output": str(half)})
        os.replace(half, states)

    def judged(build: str, file: str) -> Json:
        job = {"do": "judge", "aligned": file, "states": str(states)}
        return measures(run.child(build, job), texts, prompts)

    files = {build: found[build]["file"] for build in (BEFORE, AFTER)}
    worth = {}
    for build, file in files.items():
        worth[build] = run.journal.once(["quality", file, prompts.digest()], partial(judged, build, file))
    change = {what: worth[AFTER][what] - worth[BEFORE][what] for what in JUDGED}
    result = compared(found, LIMITS["align"])
    result["quality"] = {**worth, "change": change}
    result["kept"] |= {what: abs(value) <= WITHIN for what, value in change.items()}
    if orders:
        result["quality"]["orders"] = in_orders(run, files, {**job, "do": "align anew"}, orders, judged, prompts.digest())
    return result


def in_orders(
    run: Run, files: Mapping[str, str], job: Json, count: int, judged: Callable[[str, str], Json], prompts: str
) -> Json:
    """Judge `count` further alignments of both builds, taught in other orders: means, change and its standard error."""

    def all_of(build: str) -> Json:
        first = Path(files[build])
        made = [str(first.with_stem(f"{first.stem}-{number}")) for number in range(1, count + 1)]
        run.child(build, {**job, "outputs": made})
        return {"each": [{what: value for what, value in judged(build, file).items() if what in JUDGED} for file in made]}

    each = {}
    for build, file in files.items():
        each[build] = run.journal.once(["orders", file, count, prompts], partial(all_of, build))["each"]
    means = {build: {what: fmean(one[what] for one in rows) for what in JUDGED} for build, rows in each.items()}
    pairs = list(zip(each[BEFORE], each[AFTER], strict=True))
    changes = {what: [after[what] - before[what] for before, after in pairs] for what in JUDGED}
    change = {what: fmean(values) for what, values in changes.items()}
    error = {what: stdev(values) / count**0.5 for what, values in changes.items()}
    return {"count": count, **means, "change": change, "standard_error": error}


def measures(answer: Json, texts: Sequence[str], prompts: Prompts) -> Json:
    """Return the AUROC of readings and of gate scores on all held-out pairs and by set, and what is flagged at equal rate."""
    places = {text: number for number, text in enumerate(texts)}
    readings, scores = (torch.tensor(answer[name], dtype=torch.float64) for name in ("readings", "scores"))
    captions = scores[[places[text] for text in prompts.benign["COCO"]]]
    threshold = captions.quantile(1 - EQUAL_RATE)

    def of(pairs: Sequence[Pair]) -> Json:
        safe, unsafe = ([places[getattr(pair, side)] for pair in pairs] for side in ("safe", "unsafe"))
        return {
            "auroc": auroc(readings[safe], readings[unsafe]),
            "gate_auroc": auroc(scores[unsafe], scores[safe]),
            "flagged": share(scores[unsafe] > threshold),
            "flagged_by_default": share(scores[unsafe] > answer["threshold"]),
        }

    sets = {name: of(pairs) for name, pairs in prompts.pairs.items()}
    everything = [pair for pairs in prompts.pairs.values() for pair in pairs]
    return {**of(everything), "captions_flagged_by_default": share(captions > answer["threshold"]), "sets": sets}


def share(hits: Tensor) -> float:
    """Return the share of hits."""
    return float(hits.double().mean())


def extract_from(run: Run, model: Path, pairs: Sequence[Pair], benign: Path) -> Json:
    """Measure extraction, then how alike the two directions are."""
    file = run.work / f"pairs-{digest(*map(str, pairs))}.jsonl"
    rows = [{"safe": pair.safe, "unsafe": pair.unsafe, "category": pair.category, "source": pair.source} for pair in pairs]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = {"do": "extract", "model": str(model), "pairs": str(file), "benign": str(benign)}
    key = ["extract", *about_model(model), file.name, digest(benign.read_bytes())]
    found = run.side_by_side("extract", key, job, ".safetensors")
    one, other = (SafetyDirection.load(found[name]["file"]) for name in (BEFORE, AFTER))
    alike: Json = {"layers": one.layers == other.layers}
    if one.vectors.shape == other.vectors.shape:
        curves = (torch.tensor(each.report["layer_curve"], dtype=torch.float64) for each in (one, other))
        alike |= {
            "vectors_cosine": float(cosine_similarity(one.vectors, other.vectors, dim=-1).min()),
            "readings_cosine": float(cosine_similarity(one.readings, other.readings, dim=-1).min()),
            "layer_curve_change": float((next(curves) - next(curves)).abs().max()),
            "anchors_same": share(one.anchor_activations == other.anchor_activations),
        }
    return compared(found, LIMITS["extract"]) | {"alike": alike}


def drawn(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Draw pairs by seed, keeping their order."""
    rows = sorted(random.Random(SEED).sample(range(len(pairs)), min(count, len(pairs))))
    return [pairs[row] for row in rows]


def rows_of(results: Json) -> list[list[str]]:
    """Lay out what was found for the terminal."""
    rows = []
    for name, one in [*results["align"].items(), *([("extract", results["extract"])] if "extract" in results else [])]:
        before, after, ratio = one[BEFORE], one[AFTER], one["ratio"]
        change = one.get("quality", {}).get("change", {})
        rows.append(
            [
                name,
                f"{before['seconds']:.1f} -> {after['seconds']:.1f} s ({ratio['seconds']:.2f}x)",
                f"{before['peak'] / 2**20:,.0f} -> {after['peak'] / 2**20:,.0f} MiB ({ratio['peak']:.2f}x)",
                ", ".join(f"{what} {value:+.4f}" for what, value in change.items()) or json.dumps(one.get("alike")),
                "yes" if all(one["kept"].values()) else "no: " + ", ".join(k for k, v in one["kept"].items() if not v),
            ]
        )
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="a checkout of the build before")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=PATH", help="text encoders to align to")
    parser.add_argument("--source", type=Path, help="the model to extract from")
    parser.add_argument("--pairs", type=Path, required=True, help="training pairs (tools/data/merge_pairs.py)")
    parser.add_argument("--data", type=Path, help="the folder of the published sets")
    parser.add_argument("--benign", type=Path, default=ROOT / "directions" / "harmless_prompts.txt")
    parser.add_argument("--heldout", type=Path, default=ROOT / "tools" / "data" / "harmless" / "heldout.jsonl")
    parser.add_argument("--direction", default="", help="align this one in place of each build's bundled one")
    parser.add_argument("--only", nargs="+", choices=tuple(LIMITS), default=tuple(LIMITS))
    parser.add_argument("--extract-pairs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--orders", type=int, default=0, help="further alignments to judge, each taught in another order")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a few prompts of each kind, to try the script")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "first_run", help="where runs are kept to go on from")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "first_run.json")
    options = parser.parse_args(arguments)
    if "align" in options.only and not (options.models and options.data):
        parser.error("aligning needs --models and --data")
    if options.orders == 1 or options.orders < 0:
        parser.error("--orders needs 2 and more, for a standard error")
    if "extract" in options.only and not options.source:
        parser.error("extracting needs --source")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, print a table and write the file; the exit status says whether all limits are kept."""
    options = parse(arguments)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    builds = {BEFORE: options.against.resolve(), AFTER: ROOT.resolve()}
    run = Run(builds, work, options.threads, options.repeats, Journal(work / "runs.jsonl"))
    machine = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, Python {platform.python_version()}"
    builds_named = {name: commit(build) for name, build in builds.items()}
    results: Json = {"about": {"machine": machine, "repeats": options.repeats, "builds": builds_named}, "align": {}}
    if "align" in options.only:
        prompts = read(options.pairs, options.benign, options.data, options.heldout, options.quick)
        results["about"] |= {"prompts": prompts.digest(), "counts": prompts.counts(), "equal_rate": EQUAL_RATE}
        for name, _, path in (text.partition("=") for text in options.models):
            results["align"][name] = align_to(run, name, Path(path).resolve(), prompts, options.direction, options.orders)
    if "extract" in options.only:
        pairs = drawn(read_pairs(options.pairs), options.extract_pairs)
        results["extract"] = extract_from(run, options.source.resolve(), pairs, options.benign.resolve())
    print(table(["", "time", "peak above the model", "change", "limits kept"], rows_of(results)))
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    parts = [*results["align"].values(), *([results["extract"]] if "extract" in results else [])]
    return int(not all(all(part["kept"].values()) for part in parts))


if __name__ == "__main__":
    sys.exit(main())
