"""Merging the published pairs: what is held out stays out, categories are merged, and the largest set is capped evenly."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.splits import SETS, final
from safety_steer.storage.prompt_files import Pair, read_pairs
from tools.data import merge_pairs

ROOT = Path(__file__).parents[2]


def pairs(count: int, name: str, category: str) -> list[Pair]:
    return [Pair(f"{name} kite {number}", f"{name} sword {number}", category) for number in range(count)]


def usable(count: int, name: str, category: str) -> int:
    return sum(not final(name, pair.safe) for pair in pairs(count, name, category))


def test_the_rule_of_the_split_does_not_change() -> None:
    held_out = [number for number in range(40) if final("safesteer", f"a kite {number}")]
    assert held_out == [3, 9, 10, 12, 24, 28, 35, 36]
    assert [final(name, "a map") for name in SETS] == [False, False, False]


def test_about_one_in_seven_is_held_out_and_sets_differ() -> None:
    shares = {name: [final(name, f"a kite {number}") for number in range(4000)] for name in SETS}
    assert all(sum(share) / 4000 == pytest.approx(0.15, abs=0.02) for share in shares.values())
    assert len({tuple(share) for share in shares.values()}) == len(SETS)
    with pytest.raises(ValueError, match="no set 'mine'"):
        final("mine", "a kite")


def test_rows_are_merged_named_and_never_of_those_held_out() -> None:
    sets = {
        "safesteer": pairs(50, "safesteer", "hate"),
        "coprov2": pairs(50, "coprov2", "shocking"),
        "overt": pairs(50, "overt", "unethical"),
    }
    found = merge_pairs.merge(sets)
    assert {(pair.source, pair.category) for pair in found} == {
        ("safesteer", "hate"), ("coprov2", "disturbing"), ("overt", "illegal_activity"),
    }  # fmt: skip
    assert not any(final(pair.source, pair.safe) for pair in found)
    assert len(found) == sum(usable(50, name, "") for name in SETS)


def test_the_cap_is_even_and_does_not_depend_on_the_order() -> None:
    many = [*pairs(100, "a", "hate"), *pairs(100, "b", "violence"), *pairs(4, "c", "sexual")]
    chosen = merge_pairs.capped(many, 24)
    assert Counter(pair.category for pair in chosen) == {"hate": 10, "violence": 10, "sexual": 4}
    assert set(merge_pairs.capped(many[::-1], 24)) == set(chosen)
    assert len(merge_pairs.capped(many, 1000)) == 204


def test_repeats_are_dropped_whatever_their_case() -> None:
    rows = [
        Pair("a kite", "a sword", "x"),
        Pair("A  kite", "an axe", "y"),
        Pair("a map", "A SWORD", "x"),
        Pair("a cup", "A cup", "x"),
    ]
    assert merge_pairs.distinct(rows) == rows[:1]


def test_the_command_writes_what_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["merge_pairs.py", "--cap", "5", "-o", str(tmp_path / "merged.jsonl")]
    for name in SETS:
        path = tmp_path / f"{name}.jsonl"
        rows = [{"safe": pair.safe, "unsafe": pair.unsafe, "category": "Hate"} for pair in pairs(20, name, "")]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        arguments += [f"--{name}", str(path)]
    monkeypatch.setattr(sys, "argv", arguments)
    merge_pairs.main()
    found = read_pairs(tmp_path / "merged.jsonl")
    assert Counter(pair.source for pair in found)["coprov2"] == 5
    assert {pair.category for pair in found} == {"hate"}
    assert f"{len(found):,}" in capsys.readouterr().out
