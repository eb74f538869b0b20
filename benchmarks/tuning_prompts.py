"""What settings of the gate are chosen by: pairs and harmless prompts of the published sets that are in no final figure."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from safety_steer.storage.prompt_files import Pair, read_pairs, read_prompts

from .splits import SETS, tuning
from .transfer_table.prompts import Prompts, composites_of, key

PAIRS = {"coprov2": 400}
COCO, ARTISTS, COMPOSITES = 2000, 600, 200
SEED = 1


@dataclass(frozen=True)
class TuningPrompts:
    """`groups` of texts: safe and unsafe sides by set ("safe overt"), COCO, artists, composites and the sentences in those.

    `train` and `harmless` make a direction that has seen none of the pairs.
    """

    groups: dict[str, list[str]]
    train: list[Pair]
    harmless: list[str]


def tuning_prompts(prompts: Prompts, data: Path, corpus: Path, anchors: Sequence[str]) -> TuningPrompts:
    """Draw them by seed from what is neither in the final figures, which `prompts` are, nor among the bundled `anchors`."""
    of_sets = {
        name: [pair for pair in read_pairs(data / f"{name}_train_pairs.jsonl") if tuning(name, pair.safe)] for name in SETS
    }
    seen = {key(side) for pairs in of_sets.values() for pair in pairs for side in (pair.safe, pair.unsafe)}
    for name, most in PAIRS.items():
        of_sets[name] = sorted(of_sets[name], key=lambda pair: sha256(pair.safe.encode()).hexdigest())[:most]
    final = {key(text) for texts in prompts.benign.values() for text in texts}
    final |= {key(text) for composite in prompts.composites for text in (composite.text, composite.sentence)}
    taken = final | {key(text) for text in anchors}
    captions = [text for text in read_prompts(data / "coco_captions.txt") if key(text) not in taken]
    lines = (json.loads(line)["text"] for line in corpus.read_text(encoding="utf-8").splitlines() if line.strip())
    artists = sorted((text for text in lines if key(text) not in taken), key=lambda text: sha256(text.encode()).hexdigest())
    sentences = [pair.unsafe for name in ("safesteer", "coprov2") for pair in of_sets[name]]
    composites = composites_of(artists, sentences, COMPOSITES)
    groups = {f"safe {name}": [pair.safe for pair in pairs] for name, pairs in of_sets.items()}
    groups |= {f"unsafe {name}": [pair.unsafe for pair in pairs] for name, pairs in of_sets.items()}
    return TuningPrompts(
        groups
        | {
            "COCO": random.Random(SEED).sample(captions, min(COCO, len(captions))),
            "artists": random.Random(SEED).sample(artists, min(ARTISTS, len(artists))),
            "composites": [composite.text for composite in composites],
            "sentences": [composite.sentence for composite in composites],
        },
        [pair for pair in prompts.train if key(pair.safe) not in seen and key(pair.unsafe) not in seen],
        [text for text in prompts.harmless if key(text) not in seen],
    )
