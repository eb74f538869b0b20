"""What each part of the alignment is worth, on splits of the training pairs: SmolLM2's direction carried to all-MiniLM-L6-v2.

python benchmarks/ablate.py --train TRAIN.jsonl [--splits 5] [--seed 0] [-o results/ablation.json]

A split fits the direction to four fifths of the pairs and measures it on the rest; the target's thresholds come from the
bundled benign anchors. "flagged" is the share of unsafe prompts beyond the default gate's threshold.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from safety_steer.align import TOKEN_WEIGHTS, AlignSettings, align
from safety_steer.aligned import AlignedSpace, pool
from safety_steer.anchors import AnchorStates, collect
from safety_steer.bundled import SOURCE, bundled, packaged_model
from safety_steer.cli.console import table
from safety_steer.data import Pair, read_pairs
from safety_steer.direction import SafetyDirection
from safety_steer.encode import load_text_model, pooled_activations, token_states
from safety_steer.extract import fit_direction
from safety_steer.gate import gate_threshold, open_gate
from safety_steer.metrics import auroc

LAYERS = (0, 6, 18)
SPACE = "cross_attn"


def measure(space: AlignedSpace, safe: Sequence[Tensor], unsafe: Sequence[Tensor], plain: bool) -> dict[str, float]:
    """Return AUROC of reading and gate, and the share of unsafe prompts flagged."""
    pooled = [torch.cat([pool(rows[None]) for rows in side]) for side in (safe, unsafe)]
    if plain:
        reading = [((part - space.mean) / space.scale.square()) @ space.vectors[0] for part in pooled]
    else:
        reading = [space.safe_score(part)[:, 0] for part in pooled]
    scores = [torch.cat([open_gate(rows[None], space).scores for rows in side]) for side in (safe, unsafe)]
    return {
        "auroc": auroc(reading[0], reading[1]),
        "gate": auroc(scores[1], scores[0]),
        "flagged": float((scores[1] > gate_threshold(space)).double().mean()),
    }


def main() -> None:
    """Encode once, then measure every variant on every split and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="the pairs the bundled directions were made from")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", help="JSON file to write")
    options = parser.parse_args()
    pairs = read_pairs(options.train)
    bundled_direction = SafetyDirection.load(bundled(SOURCE))
    anchors = list(bundled_direction.anchors)
    texts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]
    source = load_text_model(packaged_model("SmolLM2-135M-Instruct"))
    activations = pooled_activations(source, texts + anchors, LAYERS)
    target = load_text_model(packaged_model("all-MiniLM-L6-v2"))
    tokens = token_states(target, texts + anchors, target.last_layer)
    states = collect([{SPACE: tokens[len(texts) :]}], len(anchors))

    def direction(train: list[int], layers: Sequence[int]) -> SafetyDirection:
        columns = [LAYERS.index(layer) for layer in layers]
        chosen = activations[:, columns].flatten(1)
        chosen_pairs: list[Pair] = [pairs[row] for row in train]
        parts = (chosen[train], chosen[[row + len(pairs) for row in train]], chosen[len(texts) :])
        return fit_direction(source.identity, tuple(layers), "mean", "mean", chosen_pairs, anchors, parts, {})

    variants: dict[str, Callable[[SafetyDirection], tuple[AlignedSpace, bool]]] = {
        "as shipped": lambda full: (aligned(full, states), False),
        "read along the vector": lambda full: (aligned(full, states), True),
        "map svd": lambda full: (aligned(full, states, AlignSettings(map="svd")), False),
        "map mlp": lambda full: (aligned(full, states, AlignSettings(map="mlp")), False),
        "512 anchors": lambda full: (aligned(full, states, count=512), False),
    }
    totals: dict[str, list[dict[str, float]]] = {}
    for number in range(options.splits):
        rows = list(range(len(pairs)))
        random.Random(options.seed + number).shuffle(rows)
        cut = len(rows) * 4 // 5
        train, test = rows[:cut], rows[cut:]
        safe, unsafe = [tokens[row] for row in test], [tokens[row + len(pairs)] for row in test]
        full = direction(train, LAYERS)
        for name, variant in variants.items():
            space, plain = variant(full)
            totals.setdefault(name, []).append(measure(space, safe, unsafe, plain))
        one = aligned(direction(train, (18,)), states)
        totals.setdefault("layer 18 alone", []).append(measure(one, safe, unsafe, False))
        for name, weight in (("gate without the token witness", 0.0), ("gate with the token at full weight", 1.0)):
            with mock.patch.dict(TOKEN_WEIGHTS, all=weight):
                totals.setdefault(name, []).append(measure(aligned(full, states), safe, unsafe, False))
    means = {name: {key: sum(row[key] for row in found) / len(found) for key in found[0]} for name, found in totals.items()}
    print(table(["variant", "AUROC", "gate", "flagged"], [[name, *row.values()] for name, row in means.items()]))
    if options.output:
        Path(options.output).write_text(json.dumps({"splits": options.splits, "seed": options.seed, "means": means}, indent=1))


def aligned(
    direction: SafetyDirection, states: dict[str, AnchorStates], settings: AlignSettings | None = None, count: int = 0
) -> AlignedSpace:
    """Align a direction to the target, with the first `count` of the shuffled anchors (0 is all)."""
    rows = list(range(len(direction.anchors)))
    if count:
        random.Random(0).shuffle(rows)
        rows = rows[:count]
    part = AnchorStates(states[SPACE].pooled[rows], [states[SPACE].tokens[row] for row in rows])
    return align(direction, {SPACE: part}, "target", settings, anchors=rows).spaces[SPACE]


if __name__ == "__main__":
    with torch.inference_mode():
        main()
