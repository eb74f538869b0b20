"""What each part of the alignment is worth, on splits of the training pairs: SmolLM2's direction carried to all-MiniLM-L6-v2.

python -m benchmarks.ablate --train TRAIN.jsonl [--splits 5] [--seed 0] [-o results/ablation.json]

A split fits the direction to four fifths of the pairs and measures it on the rest; the target's thresholds come from the
bundled harmless prompts. "flagged" is the share of unsafe prompts beyond the default gate's threshold. A linear gate is the
older one, which directions without examples have, and own prompts alone.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import WITNESS_WEIGHTS, AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.cli.console import table
from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.pooling import pool
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import fit_direction
from safety_steer.extraction.text_model import load_text_model, pooled_activations, token_states
from safety_steer.statistics import auroc
from safety_steer.steering.gate import gate_threshold, open_gate
from safety_steer.storage.bundled import SOURCE, bundled, packaged_model
from safety_steer.storage.prompt_files import Pair, read_pairs

SPACE = "cross_attn"
LINEAR = {
    "linear gate": WITNESS_WEIGHTS["all"],
    "linear gate of the prompt alone": (1.0, 0.0, 0.0),
    "linear gate of prompt and token": (1.0, 0.5, 0.0),
    "linear gate of prompt and phrase": (1.0, 0.0, 0.5),
    "linear gate of token and phrase": (0.0, 1.0, 1.0),
}


def measure(space: AlignedSpace, safe: Sequence[Tensor], unsafe: Sequence[Tensor], plain: bool) -> dict[str, float]:
    """Return AUROC of reading and gate, and the share of unsafe prompts flagged."""
    pooled = [torch.cat([pool(rows[None]) for rows in side]) for side in (safe, unsafe)]
    if plain:
        reading = [((part - space.encoder.mean) / space.encoder.scale.square()) @ space.vectors[0] for part in pooled]
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
    anchors, passages, layers_used = list(bundled_direction.anchors), bundled_direction.passages, bundled_direction.layers
    texts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]
    source = load_text_model(packaged_model("SmolLM2-135M-Instruct"))
    activations = pooled_activations(source, texts + anchors, layers_used)
    target = load_text_model(packaged_model("all-MiniLM-L6-v2"))
    tokens = token_states(target, texts + anchors, target.last_layer)
    states = collect([{SPACE: tokens[len(texts) :]}], len(anchors))
    long = collect([{SPACE: token_states(target, passages, target.last_layer)}], len(passages)) if passages else None

    def direction(train: list[int], kept: list[int], layers: Sequence[int]) -> SafetyDirection:
        columns = [layers_used.index(layer) for layer in layers]
        chosen = activations[:, columns].flatten(1)
        chosen_pairs: list[Pair] = [pairs[row] for row in train]
        benign = chosen[[len(texts) + row for row in kept]]
        parts = (chosen[train], chosen[[row + len(pairs) for row in train]], benign)
        names = [anchors[row] for row in kept]
        return fit_direction(source.identity, tuple(layers), "mean", "mean", chosen_pairs, names, parts, {}, passages)

    totals: dict[str, list[dict[str, float]]] = {}
    for number in range(options.splits):
        rows = list(range(len(pairs)))
        random.Random(options.seed + number).shuffle(rows)
        cut = len(rows) * 4 // 5
        train, test = rows[:cut], rows[cut:]
        safe, unsafe = [tokens[row] for row in test], [tokens[row + len(pairs)] for row in test]
        unseen, all_safe = {pairs[row].safe for row in test}, {pair.safe for pair in pairs}
        kept = [row for row, prompt in enumerate(anchors) if prompt not in unseen]
        few = random.Random(0).sample(kept, 512)
        far = [row for row in kept if anchors[row] not in all_safe]

        def align_with(
            chosen: list[int],
            settings: AlignSettings | None = None,
            layers: Sequence[int] = layers_used,
            train: list[int] = train,
            long: Mapping[str, AnchorStates] | None = long,
            linear: bool = False,
        ) -> AlignedSpace:
            part = AnchorStates(states[SPACE].pooled[chosen], [states[SPACE].tokens[row] for row in chosen])
            made = direction(train, chosen, layers)
            made = replace(made, examples=None) if linear else made
            return align(made, {SPACE: part}, "target", settings, passages=long).spaces[SPACE]

        shipped = align_with(kept)
        variants: dict[str, tuple[AlignedSpace, bool]] = {
            "as shipped": (shipped, False),
            "read along the vector": (shipped, True),
            "map svd": (align_with(kept, AlignSettings(map="svd")), False),
            "map mlp": (align_with(kept, AlignSettings(map="mlp")), False),
            "512 anchors": (align_with(few), False),
            "anchors without safe sides of pairs": (align_with(far), False),
            "without long prompts": (align_with(kept, long=None), False),
            f"layer {layers_used[-1]} alone": (align_with(kept, layers=layers_used[-1:]), False),
        }
        for name, weights in LINEAR.items():
            with mock.patch.dict(WITNESS_WEIGHTS, all=weights):
                variants[name] = align_with(kept, linear=True), False
        for name, (space, plain) in variants.items():
            totals.setdefault(name, []).append(measure(space, safe, unsafe, plain))
    means = {name: {key: sum(row[key] for row in found) / len(found) for key in found[0]} for name, found in totals.items()}
    print(table(["variant", "AUROC", "gate", "flagged"], [[name, *row.values()] for name, row in means.items()]))
    if options.output:
        Path(options.output).write_text(json.dumps({"splits": options.splits, "seed": options.seed, "means": means}, indent=1))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
