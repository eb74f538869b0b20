"""The transfer table: every source and target of four models, each map, native references and controls, with 95 % intervals.

    python -m benchmarks.transfer --models MODELS --pairs merged_pairs.jsonl --harmless directions/harmless_prompts.txt \\
        --data DATA --directions made/ [--sources smollm2 --targets minilm mpnet] [--quick] -o results/transfer_table.json

MODELS holds a folder for each of smollm2, qwen05, minilm and mpnet (`benchmarks/real_models.sh`), DATA the published sets.
Measured are pairs that `benchmarks/splits.py` holds out; none of them is in what directions are made from. A target sees its
own unsafe prompts for the native references only. Results are written after every pair of models, and a later run goes on from
there; delete the file to measure anew. Directions are kept in the folder that --directions names; --only-directions makes them
and no more. Then several runs, each with its own --targets and -o, can go at once; --join puts their results into one file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import extract
from safety_steer.extraction.loading import DTYPES
from safety_steer.extraction.text_model import TextModel, load_text_model

from .transfer_table.methods import FULL, native_rows, transferred_rows
from .transfer_table.prompts import Prompts, read
from .transfer_table.states import Target, encode

ROOT = Path(__file__).parents[1]
HELD_OUT = ROOT / "tools" / "data" / "harmless" / "heldout.jsonl"
MODELS = ("smollm2", "qwen05", "minilm", "mpnet")
DEFAULT_SOURCES = ("smollm2", "minilm")  # the bundled ones, in the order in which they are the default
Json = dict[str, Any]


class Bench:
    """The models and directions of one run, each loaded or made when it is first needed."""

    def __init__(self, options: argparse.Namespace, prompts: Prompts) -> None:
        """Load nothing yet."""
        self.options, self.prompts = options, prompts
        self.model, self.direction = cache(self._model), cache(self._direction)

    def _model(self, name: str) -> TextModel:
        return load_text_model(located(self.options.models / name), self.options.device, self.options.dtype)

    def _direction(self, name: str) -> SafetyDirection:
        kept = self.options.directions and self.options.directions / f"{name}.safetensors"
        if kept and kept.is_file():
            direction = SafetyDirection.load(kept)
            if {*direction.anchors, *direction.passages} != set(self.prompts.harmless):
                raise SystemExit(f"'{kept}' was made from other harmless prompts. Delete it, or name another folder.")
            return direction
        began = time.perf_counter()
        direction = extract(self.model(name), self.prompts.train, self.prompts.harmless)
        print(f"{name}: direction made in {time.perf_counter() - began:.0f} s, layers {direction.layers}", flush=True)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            direction.save(kept)
        return direction

    def target(self, name: str) -> Target:
        """Encode all test prompts with a model."""
        began = time.perf_counter()
        target = encode(self.model(name), self.prompts)
        print(f"{name}: {len(target.texts):,} prompts encoded in {time.perf_counter() - began:.0f} s", flush=True)
        return target


def located(folder: Path) -> Path:
    """Return the one folder or file in a model's folder that holds the model."""
    if (folder / "config.json").is_file() or not folder.is_dir():
        return folder
    files = sorted(folder.rglob("config.json")) or sorted(folder.rglob("*.gguf"))
    return files[0].parent if files and files[0].name == "config.json" else (files or [folder])[0]


def route(source: str, target: str) -> str:
    """Name a source and a target as results do."""
    return f"{source} -> {target}"


def measure_target(bench: Bench, name: str, sources: list[str], results: Json, save: Any) -> None:
    """Measure all missing rows of one target."""
    missing = [source for source in sources if route(source, name) not in results["routes"]]
    target = bench.target(name) if missing else None
    for source in missing:
        assert target is not None
        began = time.perf_counter()
        direction = bench.direction(source)
        results["routes"][route(source, name)] = {
            "source": source,
            "target": name,
            "source_layers": list(direction.layers),
            "target_layer": target.layer,
            "anchors": len(direction.anchors),
            "passages": len(direction.passages),
            "rows": transferred_rows(direction, target, bench.prompts),
        }
        save()
        print(f"{route(source, name)}: measured in {time.perf_counter() - began:.0f} s", flush=True)
    matched = reference(name, results)
    if matched is None or results["native"].get(name, {}).get("matched_to") == matched:
        return
    row = results["routes"][route(matched, name)]["rows"][0]
    rows = native_rows(bench.direction(matched), target or bench.target(name), bench.prompts, row.get("harmless_flagged", 0))
    results["native"][name] = {"target": name, "matched_to": matched, "rows": rows}
    save()


def reference(target: str, results: Json) -> str | None:
    """Return the source whose false positives the native probe is given: the default one, or the first there is."""
    for source in (*DEFAULT_SOURCES, *MODELS):
        if source != target and route(source, target) in results["routes"]:
            return source
    return None


def about(options: argparse.Namespace, prompts: Prompts) -> Json:
    """Say what was measured on, with what."""
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.machine()
    return {
        "prompts": prompts.digest(),
        "counts": prompts.counts(),
        "quick": options.quick,
        "dtype": options.dtype,
        "machine": f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
    }


def join(paths: list[Path]) -> Json:
    """Put results of several runs together, later ones in place of earlier ones; raises SystemExit for different prompts."""
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if len({(part["about"]["prompts"], part["about"]["dtype"]) for part in parts}) > 1:
        raise SystemExit("These results were measured on different prompts.")
    joined: Json = {"about": parts[0]["about"], "routes": {}, "native": {}}
    machines: dict[str, str] = {}
    for part in parts:
        joined["routes"] |= part["routes"]
        joined["native"] |= part["native"]
        machines |= dict.fromkeys(part["routes"], part["about"]["machine"])
    routes = [route(source, target) for target in MODELS for source in MODELS]
    joined["routes"] = {name: joined["routes"][name] for name in routes if name in joined["routes"]}
    said = {machine: [name for name in joined["routes"] if machines[name] == machine] for machine in machines.values()}
    told = [machine if len(said) == 1 else f"{machine} ({', '.join(names)})" for machine, names in said.items()]
    return joined | {"about": joined["about"] | {"machine": "; ".join(told)}}


def write(path: Path, results: Json) -> None:
    """Write results in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(rounded(results), indent=1) + "\n", encoding="utf-8")
    os.replace(half, path)


def rounded(value: Any) -> Any:
    """Round every number to five places."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--join", type=Path, nargs="+", metavar="JSON", help="only put these results together")
    parser.add_argument("--models", type=Path, help="the folder of the models' folders")
    parser.add_argument("--pairs", type=Path, help="training pairs (tools/data/merge_pairs.py)")
    parser.add_argument("--harmless", type=Path, default=ROOT / "directions" / "harmless_prompts.txt")
    parser.add_argument("--data", type=Path, help="the folder of the published sets")
    parser.add_argument("--heldout", type=Path, default=HELD_OUT)
    parser.add_argument("--directions", type=Path, help="where directions are kept: <source>.safetensors")
    parser.add_argument("--only-directions", action="store_true", help="make the directions of --sources, measure nothing")
    parser.add_argument("--sources", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--targets", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=tuple(DTYPES))
    parser.add_argument("--quick", action="store_true", help="a few prompts of each kind, to try the script")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "transfer_table.json")
    options = parser.parse_args()
    if not options.join and not (options.models and options.pairs and options.data):
        parser.error("--models, --pairs and --data are needed")
    if options.only_directions and not options.directions:
        parser.error("--only-directions needs --directions")
    return options


def main() -> None:
    """Measure what is missing, or join results."""
    options = parse()
    if options.join:
        write(options.output, join(options.join))
        return
    prompts = read(options.pairs, options.harmless, options.data, options.heldout, options.quick)
    results: Json = {"about": about(options, prompts), "routes": {}, "native": {}}
    print(", ".join(f"{count:,} {name}" for name, count in results["about"]["counts"].items()), flush=True)
    bench = Bench(options, prompts)
    if options.only_directions:
        for name in options.sources:
            bench.direction(name)
        return
    if options.output.is_file():
        found = json.loads(options.output.read_text(encoding="utf-8"))
        if any(found["about"][name] != results["about"][name] for name in ("prompts", "dtype")):
            raise SystemExit(f"'{options.output}' was measured on other prompts. Delete it, or name another file with -o.")
        results = found
    for name in options.targets:
        sources = sorted((source for source in options.sources if source != name), key=MODELS.index)
        measure_target(bench, name, sources, results, lambda: write(options.output, results))
    for name, entry in results["routes"].items():
        shown = next(row for row in entry["rows"] if row["method"] == FULL)
        sets = ", ".join(f"{key} {part['auroc']['value']:.3f}" for key, part in shown.get("sets", {}).items())
        print(f"{name}: {sets or shown['refused']}")


if __name__ == "__main__":
    main()
