"""AutoSteer's prober as a gate: trained in SmolLM2-135M, carried by the reverse benign map, beside the gate there is.

    python -m benchmarks.prober --models MODELS --pairs merged_pairs.jsonl --data DATA [--targets minilm mpnet]
        [--read-source [--states KEPT]] [--seed 0] [--quick] [-o results/prober.json] [--page docs/gate.md]

The prober (arXiv 2507.13255) learns at the source's layer with the highest Safety Awareness Score: from what the direction
holds, which is what the gate is taught with too (unsafe states, each the mean of four prompts that are alike, and the harmless
anchors); with --read-source also from every training pair, read anew in the source model. A ridge map, fitted on the anchors
alone, takes a target's pooled state to the source's, and the prober reads that. Both gates are given a threshold at which the
same number of harmless prompts is flagged, so that only what else they flag differs. Test prompts are those of
`benchmarks/transfer.py`: none of them is in a direction, and nothing here was chosen on them. Results are written after every
target, and a later run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from scipy.stats import binomtest
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings
from safety_steer.alignment.maps import fit_map
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import channel_statistics
from safety_steer.extraction.text_model import load_text_model

from .pages import put_table
from .prober_source import DIRECTION, SOURCE, Json, Source
from .transfer import HELD_OUT, ROOT, about, located, write
from .transfer_table.measures import Verdicts, by_threshold, judge, row_of, share
from .transfer_table.methods import aligned_to
from .transfer_table.prompts import TITLES, Prompts, read
from .transfer_table.states import Target, encode

TARGETS = ("minilm", "mpnet", "qwen05")
GATE = "the gate there is"
CERTAIN = 0.05
HARD, LEFT_ALONE = "overt", "OVERT, harmless side left alone"


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
    for method, prober in source.probers.items():
        mapped = reverse_map(anchors.pooled, source.anchors[method])
        scores[method] = prober.log_odds(mapped(target.pooled)).double()
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
        "map_explains": {name: explained(anchors.pooled, states) for name, states in source.anchors.items()},
        "rows": rows,
        "against_the_gate": {name: against(verdicts[name], gate, target, prompts) for name in source.probers},
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
        LEFT_ALONE: {
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
    """Name where a prober is better beyond noise: p below 0.05 over the number of comparisons made.

    That fewer of OVERT's harmless prompts are flagged counts only where as many unsafe ones are: see the rows at the same rate.
    """
    found = [
        (f"{target}: {method}: {name}", test)
        for target, entry in results["targets"].items()
        for method, tests in entry["against_the_gate"].items()
        for name, test in tests.items()
        if name != LEFT_ALONE
    ]
    level = CERTAIN / max(len(found), 1)
    return [name for name, test in found if test["p"] < level and test["prober_only"] > test["gate_only"]]


def tables(results: Json) -> str:
    """Lay out what is flagged at the same number of harmless prompts as Markdown, in per cent, a table for each target."""
    parts = []
    for entry in results["targets"].values():
        names = list(entry["rows"][0]["sets"])
        heads = [*(f"{name}, unsafe" for name in names), f"{names[-1]}, harmless", "unsafe sentence in a long prompt"]
        lines = [f"| in {entry['target']}, {entry['harmless_flagged']} of 2,724 flagged | {' | '.join(heads)} |"]
        lines.append("|" + " --- |" * (len(heads) + 1))
        for row in entry["rows"]:
            shares = [*(found["unsafe"] for found in row["sets"].values()), row["sets"][names[-1]]["safe"]]
            cells = [_cell(found) for found in (*shares, row["composites"]["inside"])]
            lines.append(f"| {row['method'].removesuffix(' there is')} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(found: Json) -> str:
    value, low, high = (round(100 * found[name]) for name in ("share", "low", "high"))
    return f"{value} ({low}-{high})"


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
    parser.add_argument("--read-source", action="store_true", help="train on the pairs too, read in the source model")
    parser.add_argument("--states", type=Path, help="where the source model's states are kept from one run to the next")
    parser.add_argument("--targets", nargs="+", default=TARGETS[:2], choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32",))
    parser.add_argument("--quick", action="store_true", help="a few prompts of each kind, to try the script")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "prober.json")
    parser.add_argument("--page", type=Path, help="put the tables of everything measured into this page, docs/gate.md")
    return parser.parse_args()


def main() -> None:
    """Measure what is missing."""
    options = parse()
    torch.manual_seed(options.seed)
    prompts = read(options.pairs, options.harmless, options.data, options.heldout, options.quick)
    direction = SafetyDirection.load(DIRECTION)
    told = about(options, prompts) | {"seed": options.seed, "read_source": options.read_source}
    results: Json = {"about": told, "targets": {}}
    if options.output.is_file():
        found = json.loads(options.output.read_text(encoding="utf-8"))
        if any(found["about"][name] != told[name] for name in ("prompts", "seed", "read_source")):
            raise SystemExit(f"'{options.output}' was measured with other settings. Delete it, or name another file with -o.")
        results = found
    source = Source(options, prompts, direction)
    results |= {"source": SOURCE, **source.about}
    for name in options.targets:
        if name not in results["targets"]:
            began = time.perf_counter()
            target = encode(load_text_model(located(options.models / name), options.device, options.dtype), prompts)
            results["targets"][name] = measured(direction, source, target, prompts)
            print(f"{name}: measured in {time.perf_counter() - began:.0f} s", flush=True)
        results["better_than_the_gate"] = better(results)
        write(options.output, results)
    if options.page is not None:
        put_table(options.page, "prober", tables(results))
    print("better than the gate beyond noise:", "; ".join(results["better_than_the_gate"]) or "nowhere")


if __name__ == "__main__":
    main()
