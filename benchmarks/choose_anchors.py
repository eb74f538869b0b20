"""Draw the bundled benign anchors from COCO captions and Parti prompts: 1,024 of each, in shuffled order.

python benchmarks/choose_anchors.py coco_captions.txt parti_prompts.tsv -o directions/benign_prompts.txt
"""

from __future__ import annotations

import argparse
import random

from safety_steer.data import read_prompts

COUNTS = (1024, 1024)
WORDS = range(2, 41)


def main() -> None:
    """Draw with seed 0 among prompts of 2 to 40 words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("coco")
    parser.add_argument("parti")
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()
    generator = random.Random(0)
    chosen: list[str] = []
    for path, count in zip((options.coco, options.parti), COUNTS, strict=True):
        prompts = [prompt for prompt in read_prompts(path) if len(prompt.split()) in WORDS and prompt not in chosen]
        chosen += generator.sample(prompts, count)
    generator.shuffle(chosen)
    with open(options.output, "w", encoding="utf-8") as stream:
        stream.write("\n".join(chosen) + "\n")


if __name__ == "__main__":
    main()
