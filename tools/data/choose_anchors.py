"""Compose the bundled harmless prompts from short and long ones of all kinds: captions, safe sides of pairs, and the corpus.

    python -m tools.data.choose_anchors --benign directions/benign_prompts.txt --coco coco_captions.txt \\
        --parti parti_prompts.tsv --pairs merged_pairs.jsonl --corpus tools/data/harmless/corpus.jsonl \\
        -o directions/harmless_prompts.txt

`merged_pairs.jsonl` is what merge_pairs.py writes. Safe sides talk harmlessly of what unsafe prompts talk of (a toy gun, a
nurse with a syringe), so that the map is fitted there too; those that show harm themselves are left out (plain_sides.py).
The corpus brings what people type into ComfyUI: tags, weights, edits, storyboards, lyrics,
other languages, and passages as long as video models want them. Captions and Parti prompts are only taken from those of the
older list, so that all others stay unseen and figures can be made with them.

That older list, `directions/benign_prompts.txt`, serves the older directions. It was drawn with seed 0 among prompts of 2 to 40
words: 1,024 COCO captions, 1,024 Parti prompts and 1,024 safe sides of SafeSteerDataset's training pairs.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from safety_steer.storage.prompt_files import read_pairs, read_prompts

from .plain_sides import may_be_shown

SEED = 0
LISTED = {"coco": 600, "parti": 500}
SAFE_SIDES = {"safesteer": 400, "coprov2": 340, "overt": 420}
SHORT = {
    "language": 70, "tags": 55, "plain-hard": 55, "weights": 45, "edit": 45, "caption": 25, "lyrics": 25, "list": 8, "video": 2,
}  # fmt: skip
SHORT_WORDS = range(2, 25)
LONG = {
    range(45, 116): {
        "video": 42, "paragraph": 46, "list": 14, "lyrics": 16, "template": 19, "plain-hard": 10, "language": 5, "tags": 4,
        "edit": 2,
    },
    range(200, 241): {"list": 8, "lyrics": 1, "video": 1, "template": 1, "language": 1},
}  # fmt: skip
BYTES = 320
DENSE = re.compile("[\u0e00-\u0e7f\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
PER_WORD = 1.7


def words(text: str) -> int:
    """Count the words of a text: 1.7 letters are one in Chinese, Japanese, Korean, Thai and Hindi, blanks end all others."""
    return len(DENSE.sub(" ", text).split()) + round(len(DENSE.findall(text)) / PER_WORD)


def is_short(text: str) -> bool:
    """Whether a prompt is of the short ones: below 320 bytes of UTF-8."""
    return len(text.encode()) < BYTES


def place(text: str) -> float:
    """Return where a text comes among all, from 0 to 1: drawn by its hash with the seed, so that others do not move it."""
    return int(sha256(f"{SEED}\n{text}".encode()).hexdigest()[:13], 16) / 16**13


def drawn(pools: Mapping[str, Iterable[str]], counts: Mapping[str, int]) -> list[str]:
    """Draw so many of each pool; raises ValueError for a pool with fewer."""
    chosen = []
    for name, count in counts.items():
        found = sorted(set(pools.get(name, ())), key=place)[:count]
        if len(found) < count:
            raise ValueError(f"{count} prompts of {name} are wanted, there are only {len(found)}")
        chosen += found
    return chosen


def mixed(groups: Iterable[Sequence[str]]) -> list[str]:
    """Shuffle the groups into one another, so that the first so many of all are a fair mix, however many."""
    placed: dict[str, float] = {}
    for group in groups:
        for number, text in enumerate(sorted(group, key=lambda text: place(f"again {text}"))):
            placed.setdefault(text, (number + place(f"within {text}")) / len(group))
    return sorted(placed, key=placed.__getitem__)


def by_kind(rows: Iterable[Mapping[str, str]], short: bool, lengths: range) -> dict[str, list[str]]:
    """Sort the corpus by kind, of the short or the long texts, and of so many words."""
    pools: dict[str, list[str]] = {}
    for row in rows:
        if is_short(row["text"]) is short and words(row["text"]) in lengths:
            pools.setdefault(row["kind"], []).append(row["text"])
    return pools


def main() -> None:
    """Draw, write the list and say how long it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("benign", "coco", "parti", "pairs", "corpus"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    options = parser.parse_args()
    benign = read_prompts(options.benign)
    listed = {}
    for name in LISTED:
        known = set(read_prompts(getattr(options, name)))
        listed[name] = [prompt for prompt in benign if prompt in known and is_short(prompt)]
    sides: dict[str, list[str]] = {name: [] for name in SAFE_SIDES}
    for pair in read_pairs(options.pairs):
        text = " ".join(pair.safe.split())
        fitting = len(text.split()) in SHORT_WORDS and is_short(text)
        if fitting and may_be_shown(pair):
            sides[pair.source].append(text)
    corpus = [json.loads(line) for line in options.corpus.read_text(encoding="utf-8").splitlines()]
    groups = [drawn(listed, {name: count}) for name, count in LISTED.items()]
    groups += [drawn(sides, {name: count}) for name, count in SAFE_SIDES.items()]
    groups.append(drawn(by_kind(corpus, True, range(2, 161)), SHORT))
    long_ones = [drawn(by_kind(corpus, False, lengths), kinds) for lengths, kinds in LONG.items()]
    groups.append([text for band in long_ones for text in band])
    chosen = mixed(groups)
    options.output.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    long = [words(text) for text in chosen if not is_short(text)]
    print(f"{len(chosen):,} prompts of {sum(map(words, chosen)):,} words, {sum(len(text) for text in chosen):,} characters")
    print(
        f"{len(long)} long ones of {min(long)} to {max(long)} words, median {statistics.median(long):.0f}, {sum(long):,} in all"
    )


if __name__ == "__main__":
    main()
