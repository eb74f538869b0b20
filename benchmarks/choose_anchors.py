"""Draw the bundled benign anchors: 1,024 COCO captions, 1,024 Parti prompts, 1,024 safe sides of pairs, in shuffled order.

Captions and prompts say what is normal. The safe sides talk harmlessly of what unsafe prompts talk of (a toy gun, a nurse with
a syringe), so that the map is fitted there too.

python benchmarks/choose_anchors.py coco_captions.txt parti_prompts.tsv pairs.jsonl -o directions/benign_prompts.txt
"""

from __future__ import annotations

import argparse
import random

from safety_steer.data import read_pairs, read_prompts

COUNTS = (1024, 1024, 1024)
WORDS = range(2, 41)


def main() -> None:
    """Draw with seed 0 among prompts of 2 to 40 words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("coco")
    parser.add_argument("parti")
    parser.add_argument("pairs")
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()
    generator = random.Random(0)
    chosen: list[str] = []
    safe_sides = [pair.safe for pair in read_pairs(options.pairs)]
    for prompts, count in zip((read_prompts(options.coco), read_prompts(options.parti), safe_sides), COUNTS, strict=True):
        fitting = [prompt for prompt in dict.fromkeys(prompts) if len(prompt.split()) in WORDS and prompt not in chosen]
        chosen += generator.sample(fitting, count)
    generator.shuffle(chosen)
    with open(options.output, "w", encoding="utf-8") as stream:
        stream.write("\n".join(chosen) + "\n")


if __name__ == "__main__":
    main()
