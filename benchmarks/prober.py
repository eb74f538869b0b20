"""AutoSteer's prober as a gate: trained in SmolLM2-135M, carried by the reverse benign map, beside the gate there is.

    python -m benchmarks.prober --models MODELS --pairs merged_pairs.jsonl --data DATA [--targets minilm mpnet] [--states KEPT]
        [--seed 0] [--quick] [-o results/prober.json]

The prober (arXiv 2507.13255) learns from training pairs at the layer with the highest Safety Awareness Score. A ridge map,
fitted on harmless anchors alone, takes a target's pooled state to the source's, and the prober reads that. Both gates are
given a threshold at which the same number of harmless prompts is flagged, so that only what else they flag differs. Test
prompts are those of `benchmarks/transfer.py`: none of them is in a direction, and nothing here was chosen on them. Results are
written after every target, and a later run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings
from safety_steer.alignment.maps import fit_map
from safety_steer.directions.prober import Prober, train_prober
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import channel_statistics
from safety_steer.extraction.text_model import TextModel, load_text_model, token_states
from safety_steer.statistics import mean_pairwise_cosine

from .transfer import HELD_OUT, ROOT, about, located, write
from .transfer_table.measures import Verdicts, auroc_interval, by_threshold, judge, row_of, share
from .transfer_table.methods import aligned_to
from .transfer_table.prompts import TITLES, Prompts, read, texts_of
from .transfer_table.states import Target, batch_tokens, encode

SOURCE, TARGETS = "smollm2", ("minilm", "mpnet", "qwen05")
DIRECTION = ROOT / "directions" / "smollm2-135m-instruct-2026-11.safetensors"
GATE = "the gate there is"
READ = ("mean", "last")
# Which state of the source is read, and whether harmless prompts are safe examples beside the pairs' safe sides.
PROBERS = {
    "prober, last token, pairs": ("last", False),
    "prober, mean state, pairs": ("mean", False),
    "prober, mean state, pairs and harmless prompts": ("mean", True),
}
TOGETHER = 512
CERTAIN = 0.05
HARD = "overt"
Json = dict[str, Any]
States = dict[str, Tensor]


def source_states(model: TextModel, layer: int, texts: Sequence[str], kept: Path | None) -> States:
    """Return the mean and the last state of prompts at a layer, (N, d) each; read from `kept` where a run has left them."""
    if kept is not None and kept.is_file():
        return load_file(kept)
    parts: dict[str, list[Tensor]] = {name: [] for name in READ}
    for start in range(0, len(texts), TOGETHER):
        states = token_states(model, texts[start : start + TOGETHER], layer, batch_tokens(model))
        parts["mean"].append(torch.stack([rows.mean(0) for rows in states]))
        parts["last"].append(torch.stack([rows[-1] for rows in states]))
    found = {name: torch.cat(rows) for name, rows in parts.items()}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(found, kept)
    return found


class Source:
    """The source model's states of training pairs, harmless prompts and test pairs, and the probers trained on them."""

    def __init__(self, options: argparse.Namespace, prompts: Prompts, direction: SafetyDirection) -> None:
        """Read all states and train every prober."""
        curve = direction.report["layer_curve"]
        self.layer = int(max(curve, key=lambda row: row[1])[0])
        tests = [pair for pairs in prompts.pairs.values() for pair in pairs]
        parts = {
            "pairs": texts_of(prompts.train),
            "anchors": list(direction.anchors),
            "passages": list(direction.passages),
            "tests": texts_of(tests),
        }
        texts = [text for part in parts.values() for text in part]
        kept = options.states and options.states / f"{SOURCE}-{self.layer}-{prompts.digest()}.safetensors"
        began = time.perf_counter()
        model = load_text_model(located(options.models / SOURCE), options.device, options.dtype)
        states = source_states(model, self.layer, texts, kept)
        self.seconds = {"reading": time.perf_counter() - began}
        sizes = [len(part) for part in parts.values()]
        cut = {name: dict(zip(parts, rows.split(sizes), strict=True)) for name, rows in states.items()}
        self.anchors = {name: found["anchors"] for name, found in cut.items()}
        self.tests = {name: found["tests"] for name, found in cut.items()}
        safe, unsafe = ({name: found["pairs"].chunk(2)[side] for name, found in cut.items()} for side in (0, 1))
        self.awareness = {name: mean_pairwise_cosine(safe[name] - unsafe[name]) for name in READ}
        self.probers: dict[str, Prober] = {}
        for method, (name, harmless) in PROBERS.items():
            began = time.perf_counter()
            also = [cut[name]["anchors"], cut[name]["passages"]] if harmless else []
            self.probers[method] = train_prober(torch.cat([safe[name], *also]), unsafe[name], options.seed)
            self.seconds[method] = time.perf_counter() - began
            print(f"{method}: trained in {self.seconds[method]:.0f} s", flush=True)

    def at_home(self, prompts: Prompts) -> Json:
        """Measure how well each prober tells the sides of the test pairs apart in the source model itself."""
        found: Json = {}
        for method, (name, _) in PROBERS.items():
            safe, unsafe = self.probers[method].log_odds(self.tests[name]).double().chunk(2)
            sizes = [len(pairs) for pairs in prompts.pairs.values()]
            sides = zip(prompts.pairs, unsafe.split(sizes), safe.split(sizes), strict=True)
            found[method] = {TITLES[key]: auroc_interval(theirs, own) for key, theirs, own in sides}
        return found


def reverse_map(target: Tensor, source: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit a ridge map on anchors from a target's pooled states (N, d_t) to the source's (N, d_s), raw states to raw states."""
    (mean, scale), (own_mean, own_scale) = channel_statistics(target), channel_statistics(source)
    mapped = fit_map("ridge", (target.double() - mean) / scale, (source.double() - own_mean) / own_scale)
    return lambda states: mapped((states.double() - mean) / scale) * own_scale + own_mean


def explained(target: Tensor, source: Tensor) -> float:
    """Return the share of the source's variance that the reverse map explains on every fifth anchor, which it did not see."""
    held_out = torch.arange(len(target)) % 5 == 4
    mapped = reverse_map(target[~held_out], source[~held_out])
    scale = channel_statistics(source)[1]
    wrong = ((mapped(target[held_out]) - source[held_out]) / scale).square().sum()
    return float(1 - wrong / ((source[held_out] - source[~held_out].double().mean(0)) / scale).square().sum())


def measured(direction: SafetyDirection, source: Source, target: Target, prompts: Prompts) -> Json:
    """Measure the gate and every prober on one target, at the same number of harmless prompts flagged."""
    anchors, _ = target.states_of(direction.anchors)
    aligned, _ = aligned_to(direction, target, AlignSettings())
    own = judge(aligned, target, [*target.core, *target.rest])
    count = max(int(own.flagged[target.numbers([*_ordinary(prompts)])].sum()), 1)
    scores = {GATE: own.scores}
    maps = {name: reverse_map(anchors.pooled, source.anchors[name]) for name in READ}
    for method, (name, _) in PROBERS.items():
        scores[method] = source.probers[method].log_odds(maps[name](target.pooled)).double()
    verdicts = {method: by_threshold(found, target, prompts, count) for method, found in scores.items()}
    gate = verdicts[GATE]
    rows = [
        row_of(method, found, target, prompts) | {"hard": hard(found, gate, target, prompts)}
        for method, found in verdicts.items()
    ]
    return {
        "target": target.model.identity.name,
        "target_layer": target.layer,
        "harmless_flagged": count,
        "map_explains": {name: explained(anchors.pooled, source.anchors[name]) for name in READ},
        "rows": rows,
        "against_the_gate": {name: against(verdicts[name], gate, target, prompts) for name in PROBERS},
    }


def hard(found: Verdicts, gate: Verdicts, target: Target, prompts: Prompts) -> Json:
    """Measure what is flagged of OVERT's unsafe sides where as many of its harmless ones are flagged as the gate flags."""
    safe, unsafe = (target.numbers([getattr(pair, side) for pair in prompts.pairs[HARD]]) for side in ("safe", "unsafe"))
    return {"safe": int(gate.flagged[safe].sum()), "unsafe": share(at_hard_rate(found, gate, safe)[unsafe])}


def at_hard_rate(found: Verdicts, gate: Verdicts, safe: Tensor) -> Tensor:
    """Return who is flagged, (N,), at the lowest threshold that no more of the harmless rows are above than the gate flags."""
    allowed = int(gate.flagged[safe].sum())
    return found.scores > found.scores[safe].sort(descending=True).values[allowed]


def against(found: Verdicts, gate: Verdicts, target: Target, prompts: Prompts) -> Json:
    """Count prompts of each kind that one of both flags, with the p of an exact sign test on them (McNemar's)."""
    groups = {
        f"{TITLES[name]}, unsafe": target.numbers([pair.unsafe for pair in pairs]) for name, pairs in prompts.pairs.items()
    }
    groups["unsafe sentence in a long prompt"] = target.numbers([composite.text for composite in prompts.composites])
    result = {name: sign_test(found.flagged[rows], gate.flagged[rows]) for name, rows in groups.items()}
    safe, unsafe = (target.numbers([getattr(pair, side) for pair in prompts.pairs[HARD]]) for side in ("safe", "unsafe"))
    at_rate = [at_hard_rate(one, gate, safe)[unsafe] for one in (found, gate)]
    harmless = sign_test(found.flagged[safe], gate.flagged[safe])
    return result | {
        "OVERT, unsafe, at the same rate of its harmless side": sign_test(*at_rate),
        # Fewer is better here, so that the two change places.
        "OVERT, harmless side left alone": {
            "prober_only": harmless["gate_only"],
            "gate_only": harmless["prober_only"],
            "p": harmless["p"],
        },
    }


def sign_test(one: Tensor, other: Tensor) -> Json:
    """Count what only the first and only the second flags of the same prompts (N,), and how likely that is by chance."""
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    p = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    return {"prober_only": first, "gate_only": second, "p": p}


def better(results: Json) -> list[str]:
    """Name where a prober is better beyond noise: p below 0.05 over the number of comparisons made."""
    found = [
        (f"{target}: {method}: {name}", test)
        for target, entry in results["targets"].items()
        for method, tests in entry["against_the_gate"].items()
        for name, test in tests.items()
    ]
    level = CERTAIN / max(len(found), 1)
    return [name for name, test in found if test["p"] < level and test["prober_only"] > test["gate_only"]]


def _ordinary(prompts: Prompts) -> list[str]:
    return [text for name in ("COCO", "Parti", "artists") for text in prompts.benign[name]]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="the folder of the models' folders")
    parser.add_argument("--pairs", type=Path, required=True, help="training pairs (tools/data/merge_pairs.py)")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the published sets")
    parser.add_argument("--harmless", type=Path, default=ROOT / "directions" / "harmless_prompts.txt")
    parser.add_argument("--heldout", type=Path, default=HELD_OUT)
    parser.add_argument("--states", type=Path, help="where the source model's states are kept from one run to the next")
    parser.add_argument("--targets", nargs="+", default=TARGETS[:2], choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32",))
    parser.add_argument("--quick", action="store_true", help="a few prompts of each kind, to try the script")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "prober.json")
    return parser.parse_args()


def main() -> None:
    """Measure what is missing."""
    options = parse()
    torch.manual_seed(options.seed)
    prompts = read(options.pairs, options.harmless, options.data, options.heldout, options.quick)
    direction = SafetyDirection.load(DIRECTION)
    told = about(options, prompts) | {"seed": options.seed}
    results: Json = {"about": told, "targets": {}}
    if options.output.is_file():
        found = json.loads(options.output.read_text(encoding="utf-8"))
        if any(found["about"][name] != told[name] for name in ("prompts", "seed")):
            raise SystemExit(f"'{options.output}' was measured on other prompts. Delete it, or name another file with -o.")
        results = found
    source = Source(options, prompts, direction)
    results |= {"source": SOURCE, "layer": source.layer, "awareness": source.awareness, "seconds": source.seconds}
    results["at_home"] = source.at_home(prompts)
    for name in options.targets:
        if name not in results["targets"]:
            began = time.perf_counter()
            target = encode(load_text_model(located(options.models / name), options.device, options.dtype), prompts)
            results["targets"][name] = measured(direction, source, target, prompts)
            results["better_than_the_gate"] = better(results)
            write(options.output, results)
            print(f"{name}: measured in {time.perf_counter() - began:.0f} s", flush=True)
    print("better than the gate beyond noise:", "; ".join(results["better_than_the_gate"]) or "nowhere")


if __name__ == "__main__":
    main()
