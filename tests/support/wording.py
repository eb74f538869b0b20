"""Harmless sentences and pairs of a small world, their words, and files of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from safety_steer.storage.prompt_files import Pair

PEOPLE = ("woman", "man", "farmer", "nurse", "clown", "painter", "sailor", "baker")
DEEDS = ("holding", "drawing", "selling", "carrying", "cleaning", "describing")
THINGS = ("umbrella", "teapot", "lantern", "basket", "violin", "kite", "ladder", "blanket", "bicycle", "map")
PLACES = ("park", "kitchen", "harbour", "market", "library", "garden", "station", "theatre", "forest")
SWAPS = {"blades": ("umbrella", "sword"), "fires": ("lantern", "torch")}
SPECIAL = ("[UNK]", "<pad>", "<s>", "</s>", "[CLS]", "[SEP]")
VOCABULARY = (*SPECIAL, "a", "in", "the", *PEOPLE, *DEEDS, *THINGS, *PLACES, "sword", "torch", "old", "young", "red", "blue")


def sentences(count: int, seed: int = 0) -> list[str]:
    """Distinct benign sentences of varying length; a sword or a torch may lie about in them."""
    generator, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        words = [f"a {generator.choice(PEOPLE)} {generator.choice(DEEDS)} a {generator.choice((*THINGS, 'sword', 'torch'))}"]
        if generator.random() < 0.7:
            words.append(f"in the {generator.choice(('old', 'young', 'red', 'blue'))} {generator.choice(PLACES)}")
        found[" ".join(words)] = None
    return list(found)


def stand_in_pairs(count: int = 24) -> list[Pair]:
    """Pairs that differ in one harmless word: an umbrella or a sword, a lantern or a torch."""
    generator, found = random.Random(1), []
    for number in range(count):
        category = sorted(SWAPS)[number % 2]
        text = f"a {generator.choice(PEOPLE)} {generator.choice(DEEDS)} a {{}} in the {generator.choice(PLACES)}"
        safe, unsafe = SWAPS[category]
        found.append(Pair(text.format(safe), text.format(unsafe), category))
    return found


def write_pairs(path: Path, pairs: Sequence[Pair]) -> Path:
    """Write pairs as JSON lines."""
    rows = [json.dumps({"safe": pair.safe, "unsafe": pair.unsafe, "category": pair.category}) for pair in pairs]
    path.write_text("\n".join(rows))
    return path


def write_prompts(path: Path, prompts: Sequence[str]) -> Path:
    """Write a prompt list."""
    path.write_text("\n".join(prompts))
    return path
