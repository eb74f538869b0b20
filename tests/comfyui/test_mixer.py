"""Mixing categories: strengths as they are set, and categories that a direction lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import tiny


def test_the_mixer_sets_strengths_and_refuses_a_category_the_direction_lacks(error: Any) -> None:
    aligned = tiny.aligned("sd15")
    zeros = dict.fromkeys(tiny.CATEGORIES, 0.0)
    [mixed] = running_comfyui.call("SafetyCategoryMixer", direction=aligned, **{"global": 2.5, **zeros})
    assert dict(mixed.strengths) == {"global": 2.5}
    assert dict(aligned.strengths) == {"global": 1.0}
    [silent] = running_comfyui.call("SafetyCategoryMixer", direction=aligned, **{"global": 0.0, **zeros})
    assert dict(silent.strengths) == {}
    with pytest.raises(error, match=r"no category 'hate'.*global, fire, weapons"):
        running_comfyui.call("SafetyCategoryMixer", direction=aligned, **{"global": 0.0, **zeros, "hate": 1.0})


@pytest.mark.parametrize("name", ["self_harm", "privacy", "copyright"])
def test_an_older_direction_takes_later_sliders_at_0_and_says_that_it_is_older_above(name: str, error: Any) -> None:
    older = replace(tiny.aligned("sd15"), categories=("global", *tiny.CATEGORIES[:6]))
    saved_without = {"global": 1.0, **dict.fromkeys(tiny.CATEGORIES[:6], 0.0)}
    [mixed] = running_comfyui.call("SafetyCategoryMixer", direction=older, **saved_without)
    [same] = running_comfyui.call("SafetyCategoryMixer", direction=older, **saved_without, **{name: 0.0})
    assert dict(mixed.strengths) == dict(same.strengths) == {"global": 1.0}
    with pytest.raises(error, match=rf"older direction.*'{name}'.*disturbing\. Choose smollm2-135m-instruct-2026-11 in Load"):
        running_comfyui.call("SafetyCategoryMixer", direction=older, **saved_without, **{name: 0.5})


def test_a_later_category_of_ones_own_is_no_sign_of_age(error: Any) -> None:
    newer = replace(tiny.aligned("sd15"), categories=("global", *tiny.CATEGORIES[:7]))
    [mixed] = running_comfyui.call("SafetyCategoryMixer", direction=newer, self_harm=0.5)
    assert dict(mixed.strengths) == {"self_harm": 0.5}
    with pytest.raises(error, match="This direction has no category 'privacy'"):
        running_comfyui.call("SafetyCategoryMixer", direction=newer, privacy=0.5)
