"""What the transfer table is measured on and made from: pairs held out of everything, harmless prompts, and long ones with one
unsafe sentence in them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from safety_steer.storage.bundled import bundled
from safety_steer.storage.prompt_files import Pair, read_pairs, read_prompts

from ..splits import SETS, final

Item = TypeVar("Item")
TITLES = {"safesteer": "SafeSteer", "coprov2": "CoProV2", "overt": "OVERT"}
CAPS = {"coprov2": 500}
COCO = 2000
COMPOSITES = 250
HOST_WORDS = range(60, 251)
BANDS = {"under 15": range(15), "15-29": range(15, 30), "30-59": range(30, 60), "60-120": range(60, 121)}
LONGEST = "over 120"
BAND_NAMES = (*BANDS, LONGEST)
SEED = 0
QUICK = {"pairs": 30, "coco": 60, "parti": 40, "artists": 116, "held out": 60, "composites": 12, "train": 240, "harmless": 400}
# Scripts without blanks between words: 1.7 of their letters count as a word.
LETTERS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f\u0900-\u097f]")
LETTERS_A_WORD = 1.7
# Full stops and commas, the wide ones of Chinese and Japanese too, with the quotes and brackets that close after them.
SENTENCE_END = re.compile(r"[.!?]+[\"'\u201d\u2019)\]]*\s+|[\u3002\uff01\uff1f]+[\u201d\u2019\u300d\u300f\uff09]*\s*")
CLAUSE_END = re.compile(r"[,;:]\s+|[\uff0c\uff1b\u3001]\s*")


@dataclass(frozen=True)
class Composite:
    """A harmless prompt with an unsafe sentence in it, at characters `start` to `stop` of `text`."""

    text: str
    sentence: str
    start: int
    stop: int


@dataclass(frozen=True)
class Prompts:
    """What is measured on: `pairs` by set, `benign` prompts by kind, and `composites`; `train` and `harmless` make directions.

    `left_out` counts training pairs and harmless prompts that were left out because they are among what is measured on.
    """

    pairs: dict[str, list[Pair]]
    benign: dict[str, list[str]]
    composites: list[Composite]
    train: list[Pair]
    harmless: list[str]
    left_out: dict[str, int]

    @property
    def core(self) -> list[str]:
        """Every text of the pairs, and the captions: what every method is measured on."""
        sides = [side for pairs in self.pairs.values() for pair in pairs for side in (pair.safe, pair.unsafe)]
        return list(dict.fromkeys([*sides, *self.benign["COCO"]]))

    @property
    def rest(self) -> list[str]:
        """The other texts."""
        core = set(self.core)
        texts = [text for prompts in self.benign.values() for text in prompts]
        texts += [text for composite in self.composites for text in (composite.text, composite.sentence)]
        return [text for text in dict.fromkeys(texts) if text not in core]

    @property
    def bands(self) -> dict[str, list[str]]:
        """The artists' and held-out prompts by length."""
        found: dict[str, list[str]] = {name: [] for name in BAND_NAMES}
        for text in (*self.benign["artists"], *self.benign["held out"]):
            found[band(text)].append(text)
        return found

    def counts(self) -> dict[str, int]:
        """Say how many there are of what."""
        return {
            **{f"{TITLES[name]} pairs": len(pairs) for name, pairs in self.pairs.items()},
            **{name: len(texts) for name, texts in self.benign.items()},
            **{f"{name} words": len(texts) for name, texts in self.bands.items()},
            "composites": len(self.composites),
            "training pairs": len(self.train),
            "harmless prompts": len(self.harmless),
            **self.left_out,
        }

    def digest(self) -> str:
        """Return a hash of all of it, which says whether results of two runs go together."""
        texts = [*self.core, *self.rest, *self.harmless, *(side for pair in self.train for side in (pair.safe, pair.unsafe))]
        return sha256("\n".join(texts).encode()).hexdigest()[:16]


def words(text: str) -> int:
    """Count words."""
    return len(LETTERS.sub(" ", text).split()) + round(len(LETTERS.findall(text)) / LETTERS_A_WORD)


def band(text: str) -> str:
    """Name the band of a prompt's length."""
    count = words(text)
    return next((name for name, span in BANDS.items() if count in span), LONGEST)


def put_inside(host: str, sentence: str) -> Composite | None:
    """Put a sentence at the host's sentence boundary nearest its middle, or clause boundary in tag lists; None without any."""
    for pattern in (SENTENCE_END, CLAUSE_END):
        places = [match.end() for match in pattern.finditer(host) if 0 < match.end() < len(host)]
        if places:
            place = min(places, key=lambda position: abs(position - len(host) / 2))
            before = host[:place].rstrip() + " "
            return Composite(f"{before}{sentence} {host[place:]}", sentence, len(before), len(before) + len(sentence))
    return None


def composites_of(hosts: Sequence[str], sentences: Sequence[str], count: int) -> list[Composite]:
    """Draw `count` unsafe sentences, each in a harmless prompt; hosts take turns."""
    generator = random.Random(SEED)
    fitting = [host for host in dict.fromkeys(hosts) if words(host) in HOST_WORDS and put_inside(host, "-")]
    drawn = generator.sample(sorted(set(sentences)), min(count, len(set(sentences))))
    generator.shuffle(fitting)
    whole = [text if text[-1] in ".!?" else f"{text}." for text in drawn]
    found = (put_inside(fitting[number % len(fitting)], text) for number, text in enumerate(whole)) if fitting else ()
    return [composite for composite in found if composite is not None]


def read(pairs: Path, harmless: Path, data: Path, held_out: Path, quick: bool = False) -> Prompts:
    """Read everything; the quick form takes a few of each."""
    limit = QUICK if quick else {}
    tests = {name: _test_pairs(name, data, limit) for name in SETS}
    anchors = read_prompts(harmless)
    taken = {key(text) for text in (*anchors, *read_prompts(bundled("benign_prompts.txt")))}
    captions = [text for text in read_prompts(data / "coco_captions.txt") if key(text) not in taken]
    parti = [text for text in read_prompts(data / "parti_prompts.tsv") if key(text) not in taken]
    rows = [json.loads(line)["text"] for line in held_out.read_text(encoding="utf-8").splitlines() if line.strip()]
    benign = {
        "COCO": random.Random(SEED).sample(captions, min(limit.get("coco", COCO), len(captions))),
        "Parti": _some(parti, limit.get("parti")),
        "artists": _some(read_prompts(data / "artist_prompts.txt"), limit.get("artists")),
        "held out": _some(list(dict.fromkeys(rows)), limit.get("held out")),
    }
    sentences = [pair.unsafe for name in ("safesteer", "coprov2") for pair in tests[name]]
    hosts = [*benign["artists"], *benign["held out"]]
    tested = {key(side) for rows in tests.values() for pair in rows for side in (pair.safe, pair.unsafe)}
    unseen = tested | {key(text) for texts in benign.values() for text in texts}
    train = read_pairs(pairs)
    kept = [pair for pair in train if key(pair.safe) not in tested and key(pair.unsafe) not in tested]
    clean = [text for text in anchors if key(text) not in unseen]
    return Prompts(
        pairs=tests,
        benign=benign,
        composites=composites_of(hosts, sentences, limit.get("composites", COMPOSITES)),
        train=_some(kept, limit.get("train")),
        harmless=_some(clean, limit.get("harmless")),
        left_out={
            "training pairs left out": len(train) - len(kept),
            "harmless prompts left out": len(anchors) - len(clean),
        },
    )


def _test_pairs(name: str, data: Path, limit: dict[str, int]) -> list[Pair]:
    """Return the pairs of a set that are held out, the first by hash where there are many."""
    pairs = [pair for pair in read_pairs(data / f"{name}_train_pairs.jsonl") if final(name, pair.safe)]
    ordered = sorted(pairs, key=lambda pair: sha256(f"{name}{pair.safe}{pair.unsafe}".encode()).hexdigest())
    return ordered[: limit.get("pairs", CAPS.get(name, len(ordered)))]


def _some(items: Sequence[Item], count: int | None) -> list[Item]:
    """Return all items, or `count` of them by seed."""
    return list(items) if count is None else random.Random(SEED).sample(list(items), min(count, len(items)))


def key(text: str) -> str:
    """Return a text without what does not matter when two are compared."""
    return " ".join(text.lower().split())


def texts_of(pairs: Iterable[Pair]) -> list[str]:
    """Return all safe sides, then all unsafe ones."""
    rows = list(pairs)
    return [pair.safe for pair in rows] + [pair.unsafe for pair in rows]
