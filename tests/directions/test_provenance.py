"""Where a direction comes from, as it can be shown: also of a file by a stranger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import builders

from safety_steer import __version__
from safety_steer.directions.provenance import MAX_SHOWN, UNKNOWN, pairs_of, provenance
from safety_steer.storage.prompt_files import Pair, pairs_hash, prompts_hash
from safety_steer.storage.signature import State, Verdict

UNSIGNED = Verdict(State.UNSIGNED)


def deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def test_an_extracted_direction_says_its_pairs_and_version() -> None:
    direction = builders.direction_with_examples()
    known = provenance(direction, UNSIGNED)
    _, _, pairs = builders.world().pairs(160, seed=1)
    assert known["pairs"] == pairs_hash(pairs)
    assert known["version"] == __version__
    assert known["harmless prompts"] == prompts_hash([*direction.anchors, *direction.passages])
    assert known["content"] == direction.content_hash


def test_an_older_direction_says_that_it_does_not_say() -> None:
    known = provenance(builders.small_direction(), UNSIGNED)
    assert (known["version"], known["pairs"]) == (UNKNOWN, UNKNOWN)
    told = Verdict(State.TRUSTED, "Ada", "ab" * 32, pairs="1" * 64)
    assert provenance(builders.small_direction(), told)["pairs"] == "1" * 64


def test_an_aligned_direction_says_its_encoder_and_what_it_was_fitted_from() -> None:
    aligned = builders.planted_aligned()
    known = provenance(aligned, UNSIGNED)
    assert (known["encoder"], known["version"]) == ("planted, layer 1", __version__)
    assert known["direction"] == builders.planted_direction().content_hash


@pytest.mark.parametrize(
    "made",
    [None, 7, "text", [], {}, {"version": 7, "pairs": []}, {"version": deep(900), "pairs": deep(900)}],
    ids=["none", "number", "text", "list", "empty", "kinds", "deep"],
)
def test_what_is_no_text_is_not_said(made: Any) -> None:
    direction = replace(builders.small_direction(), report={"made": made})
    known = provenance(direction, UNSIGNED)
    assert (known["version"], known["pairs"]) == (UNKNOWN, UNKNOWN)
    assert pairs_of(direction, UNSIGNED) == ""


def test_what_is_shown_is_short_and_printable() -> None:
    direction = replace(builders.small_direction(), report={"made": {"version": "1\x1b[31m\n2", "pairs": "x" * 4000}})
    known = provenance(direction, UNSIGNED)
    assert all(text.isprintable() and len(text) <= 4 * MAX_SHOWN for text in known.values())


def test_hashes_tell_pairs_and_prompts_apart() -> None:
    pair = Pair("a map", "a sword", "blades")
    assert pairs_hash([pair]) != pairs_hash([replace(pair, category="fires")])
    assert pairs_hash([pair]) != pairs_hash([replace(pair, source="a set")])
    assert pairs_hash([pair, replace(pair, safe="a kite")]) != pairs_hash([replace(pair, safe="a kite"), pair])
    assert prompts_hash(["a", "b"]) != prompts_hash(["b", "a"])
