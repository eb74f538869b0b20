"""Merge the pairs of SafeSteerDataset, CoProV2 and OVERT to one file under one taxonomy, without those held out for figures.

    python -m tools.data.merge_pairs --safesteer safesteer_train_pairs.jsonl --coprov2 coprov2_train_pairs.jsonl \\
        --overt overt_train_pairs.jsonl -o merged_pairs.jsonl

Rows are `{"safe", "unsafe", "category", "source"}`: categories as safety_steer/categories.py merges them, `source` the set.
CoProV2 is far larger than the others, so at most `--cap` of its rows are taken, the same number of each of its categories as
far as they go, in the order of a hash of their text. The result holds unsafe text and is not part of the project.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from benchmarks.splits import SETS, final
from safety_steer.categories import MEANINGS, merged
from safety_steer.storage.prompt_files import Pair, read_pairs

CAP = 2600


def usable(set_name: str, pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs of a set that something may be made from, under their merged category, with their source."""
    return [Pair(pair.safe, pair.unsafe, merged(pair.category), set_name) for pair in pairs if not final(set_name, pair.safe)]


def capped(pairs: Sequence[Pair], cap: int) -> list[Pair]:
    """Return at most `cap` pairs, evenly of all categories as far as they go, in hash order."""
    ordered = sorted(pairs, key=lambda pair: sha256(f"{pair.safe}\n{pair.unsafe}".encode()).hexdigest())
    places: Counter[str] = Counter()
    ranks = []
    for number, pair in enumerate(ordered):
        ranks.append((places[pair.category], number))
        places[pair.category] += 1
    return [ordered[number] for _, number in sorted(ranks)[:cap]]


def sides_of(pair: Pair) -> set[str]:
    """Return both sides without case and blanks that differ."""
    return {" ".join(side.lower().split()) for side in (pair.safe, pair.unsafe)}


def distinct(pairs: Iterable[Pair], seen: Iterable[str] = ()) -> list[Pair]:
    """Leave out pairs one side of which came before, or is among the sides `seen`."""
    seen = set(seen)
    kept = []
    for pair in pairs:
        sides = sides_of(pair)
        if len(sides) == 2 and not sides & seen:
            kept.append(pair)
            seen |= sides
    return kept


def merge(sets: dict[str, Sequence[Pair]], cap: int = CAP) -> list[Pair]:
    """Return all pairs that something may be made from, CoProV2 capped; none shares a side with one that is held out."""
    held_out = {side for name in SETS for pair in sets[name] if final(name, pair.safe) for side in sides_of(pair)}
    rows: list[Pair] = []
    for name in SETS:
        pairs = distinct(usable(name, sets[name]))
        rows += capped(pairs, cap) if name == "coprov2" else pairs
    return distinct(rows, held_out)


def main() -> None:
    """Read, merge, write and say how many there are of each source and category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in SETS:
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--cap", type=int, default=CAP)
    parser.add_argument("-o", "--output", required=True, type=Path)
    options = parser.parse_args()
    pairs = merge({name: read_pairs(getattr(options, name)) for name in SETS}, options.cap)
    rows = (json.dumps(asdict(pair), ensure_ascii=False) for pair in pairs)
    options.output.write_text("\n".join(rows) + "\n", encoding="utf-8")
    counts = Counter((pair.category, pair.source) for pair in pairs)
    print(f"{'':18}", *(f"{name:>10}" for name in (*SETS, "all")))
    for category in MEANINGS:
        numbers = [counts[category, name] for name in SETS]
        print(f"{category:18}", *(f"{number:>10,}" for number in (*numbers, sum(numbers))))
    totals = [sum(pair.source == name for pair in pairs) for name in SETS]
    print(f"{'all':18}", *(f"{number:>10,}" for number in (*totals, len(pairs))))


if __name__ == "__main__":
    main()
