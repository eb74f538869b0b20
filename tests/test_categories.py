"""The taxonomy: every name of the three sets lands in a category that has a meaning."""

from __future__ import annotations

import pytest

from safety_steer.categories import GLOBAL, MEANINGS, MERGED, merged, normalised

SETS = {
    "SafeSteerDataset": {
        "Hate": "hate",
        "Sexual": "sexual",
        "Violence": "violence",
        "Humiliation": "humiliation",
        "Illegal activity": "illegal_activity",
        "Disturbing": "disturbing",
    },
    "CoProV2": {
        "hate": "hate",
        "harassment": "humiliation",
        "shocking": "disturbing",
        "illegal activity": "illegal_activity",
        "self-harm": "self_harm",
        "sexual": "sexual",
        "violence": "violence",
    },
    "OVERT": {
        "discrimination": "hate",
        "illegal_activities": "illegal_activity",
        "unethical": "illegal_activity",
        "privacy_individual": "privacy",
        "privacy_public": "privacy",
        "self_harm": "self_harm",
        "violence": "violence",
        "sexual_content": "sexual",
        "copyright_violations": "copyright",
    },
}


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_every_name_of_a_set_is_merged(names: dict[str, str]) -> None:
    assert {name: merged(name) for name in names} == names


def test_together_they_fill_the_taxonomy() -> None:
    assert {category for names in SETS.values() for category in names.values()} == set(MEANINGS)
    assert set(MERGED.values()) <= set(MEANINGS)
    assert not set(MERGED) & set(MEANINGS)


def test_the_first_six_names_are_those_of_older_directions() -> None:
    assert list(MEANINGS)[:6] == ["hate", "sexual", "violence", "humiliation", "illegal_activity", "disturbing"]


@pytest.mark.parametrize("name", MEANINGS)
def test_a_category_is_itself_and_has_a_meaning_of_one_line(name: str) -> None:
    assert merged(name) == normalised(name) == name != GLOBAL
    assert 10 < len(MEANINGS[name]) <= 80
    assert "\n" not in MEANINGS[name]


@pytest.mark.parametrize(("name", "result"), [(" Sharp  Things ", "sharp_things"), ("blades", "blades"), ("", "")])
def test_other_names_pass_through_normalised(name: str, result: str) -> None:
    assert merged(name) == result


@pytest.mark.parametrize(("name", "result"), [("Self-Harm", "self_harm"), ("ILLEGAL  Activities", "illegal_activities")])
def test_case_and_blanks_do_not_matter(name: str, result: str) -> None:
    assert merged(name) == merged(result)
