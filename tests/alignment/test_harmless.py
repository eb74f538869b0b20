"""The harmless prompts that come along: none twice, short and long ones of every kind, and none of those kept for judging."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from safety_steer.storage.prompt_files import Pair, read_prompts
from tools.data.choose_anchors import LISTED, LONG, SAFE_SIDES, SHORT, drawn, is_short, mixed, words
from tools.data.plain_sides import may_be_shown

ROOT = Path(__file__).parents[2]

LIST = ROOT / "directions" / "harmless_prompts.txt"
PROMPTS = LIST.read_text(encoding="utf-8").removesuffix("\n").split("\n")
KINDS = {
    "caption", "edit", "language", "list", "lyrics", "paragraph", "plain-hard", "tags", "template", "video", "weights",
}  # fmt: skip


def rows(name: str) -> list[dict[str, str]]:
    text = (ROOT / "tools" / "data" / "harmless" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def test_every_line_is_a_prompt_and_none_is_there_twice() -> None:
    assert read_prompts(LIST) == PROMPTS
    assert len({plain(prompt) for prompt in PROMPTS}) == len(PROMPTS)


def test_there_are_as_many_short_and_long_ones_as_were_wanted() -> None:
    short = [prompt for prompt in PROMPTS if is_short(prompt)]
    long = [words(prompt) for prompt in PROMPTS if not is_short(prompt)]
    assert len(short) == sum(LISTED.values()) + sum(SAFE_SIDES.values()) + sum(SHORT.values())
    assert len(long) == sum(sum(kinds.values()) for kinds in LONG.values()) == 170
    assert 85 <= statistics.median(long) <= 100
    assert sum(200 <= count <= 350 for count in long) == 12


def test_lengths_are_spread_and_bounded() -> None:
    counts = [len(prompt.split()) for prompt in PROMPTS]
    assert max(counts) <= 420
    assert sum(counts) <= 50_000
    for low, high, least in ((1, 5, 100), (6, 10, 500), (11, 20, 800), (21, 40, 100), (41, 80, 50), (81, 160, 60)):
        assert sum(low <= count <= high for count in counts) >= least, (low, high)


@pytest.mark.parametrize("size", [200, 512, 1024])
def test_the_first_so_many_are_a_fair_mix(size: int) -> None:
    part = sum(not is_short(prompt) for prompt in PROMPTS[:size]) / size
    assert part == pytest.approx(170 / len(PROMPTS), rel=0.2)


def test_none_is_kept_for_judging() -> None:
    kept = {plain(row["text"]) for row in rows("heldout")}
    assert not kept & {plain(prompt) for prompt in PROMPTS}
    assert not kept & {plain(row["text"]) for row in rows("corpus")}


def test_what_comes_from_the_corpus_is_of_every_kind() -> None:
    kinds = {row["text"]: row["kind"] for row in rows("corpus")}
    assert {kinds[prompt] for prompt in PROMPTS if prompt in kinds} == KINDS
    assert sum(prompt in kinds for prompt in PROMPTS) >= 500


@pytest.mark.parametrize("name", ["corpus", "heldout"])
def test_a_corpus_row_says_what_it_is_and_whose(name: str) -> None:
    found = rows(name)
    assert all(set(row) == {"text", "kind", "source", "licence"} and all(row.values()) for row in found)
    assert {row["kind"] for row in found} == KINDS
    assert {row["licence"] for row in found} <= {"CC0-1.0", "Apache-2.0", "MIT", "CC-BY-4.0", "Apache-2.0 AND MIT"}
    assert all(row["text"] == " ".join(row["text"].split()) and len(row["text"].split()) <= 420 for row in found)
    assert len({plain(row["text"]) for row in found}) == len(found)


def test_no_repository_is_in_both_files() -> None:
    sources = [
        {part.split()[0] for row in rows(name) for part in row["source"].split(" + ") if "/" in part.split()[0]}
        for name in ("corpus", "heldout")
    ]
    assert not set.intersection(*sources)


def test_every_licence_is_there() -> None:
    for name in ("NASK-AISafety", "Visualignment", "OVERT", "harmless_prompts"):
        assert (ROOT / "directions" / f"LICENSE.{name}.txt").stat().st_size > 500


@pytest.mark.parametrize(("text", "count"), [("a red kite", 3), ("一只猫坐在窗边", 4), ("猫 and cat", 3), ("", 0)])
def test_words_are_counted_in_every_script(text: str, count: int) -> None:
    assert words(text) == count


def test_a_draw_does_not_change_with_what_is_not_drawn() -> None:
    kites = [f"kite {number}" for number in range(20)]
    chosen = drawn({"kites": kites}, {"kites": 5})
    left = next(kite for kite in kites if kite not in chosen)
    assert drawn({"kites": [*reversed([kite for kite in kites if kite != left])]}, {"kites": 5}) == chosen
    assert sorted(mixed([chosen, chosen[:2]])) == sorted(chosen)
    with pytest.raises(ValueError, match="21 prompts of kites"):
        drawn({"kites": kites}, {"kites": 21})


@pytest.mark.parametrize(
    ("pair", "kept"),
    [
        (Pair("a toy gun in a shop window", "x", "violence", "safesteer"), True),
        (Pair("a massacre in a film", "x", "violence", "safesteer"), False),
        (Pair("a bank heist in a video game", "x", "illegal_activity", "overt"), True),
        (Pair("a person who cannot swim", "x", "hate", "overt"), False),
        (Pair("a chef tastes the soup", "x", "disturbing", "coprov2"), True),
        (Pair("a nude statue", "x", "sexual", "coprov2"), False),
    ],
)
def test_sides_that_show_harm_are_left_out(pair: Pair, kept: bool) -> None:
    assert may_be_shown(pair) is kept
