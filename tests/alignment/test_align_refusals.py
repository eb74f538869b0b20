"""What alignment refuses: encoders without the source's meaning, too few prompts, states that do not belong to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import builders
from support.builders import SPACE

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates
from safety_steer.alignment.held_out import held_out_report, refuse_chance
from safety_steer.alignment.maps import MAPS
from safety_steer.errors import AlignmentError, DataError
from safety_steer.evaluation.transfer import shuffled_direction


@pytest.mark.parametrize("name", ["ridge", "svd"])
def test_shuffled_anchors_are_refused(name: str) -> None:
    shuffled = shuffled_direction(builders.planted_direction(), seed=3)
    with pytest.raises(AlignmentError, match="no better than chance"):
        align(shuffled, {SPACE: builders.planted_states()}, "planted", AlignSettings(map=name))
    settings = AlignSettings(map=name, require_better_than_chance=False)
    assert align(shuffled, {SPACE: builders.planted_states()}, "planted", settings).spaces[SPACE].width == 28


@pytest.mark.parametrize("count", [64, 400])
def test_unrelated_encoders_are_refused_and_related_ones_accepted_whatever_the_luck(count: int) -> None:
    accepted = {"unrelated": 0, "related": 0}
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        latent, other = (torch.randn(count, 12, dtype=torch.float64, generator=generator) for _ in range(2))
        views = [torch.randn(12, width, dtype=torch.float64, generator=generator) for width in (20, 28)]
        for name, target in (("unrelated", other), ("related", latent)):
            try:
                refuse_chance(held_out_report("ridge", latent @ views[0], target @ views[1]), SPACE)
            except AlignmentError:
                continue
            accepted[name] += 1
    assert accepted["related"] == 30
    assert accepted["unrelated"] <= 1


def test_too_few_anchors_are_refused() -> None:
    states = builders.planted_states()
    few = AnchorStates(states.pooled[:63], states.tokens[:63])
    with pytest.raises(AlignmentError, match=r"at least 64 benign anchors, but got 63"):
        align(builders.planted_direction(), {SPACE: few}, "few", anchors=range(63))
    with pytest.raises(AlignmentError, match="at least 64"):
        align(builders.small_direction(), {SPACE: few}, "few")


def test_no_text_space_is_refused() -> None:
    with pytest.raises(AlignmentError, match="no text states"):
        align(builders.planted_direction(), {}, "nothing")


@pytest.mark.parametrize("count", [399, 64, 0])
def test_states_of_another_number_of_prompts_are_refused(count: int) -> None:
    states = builders.planted_states()
    with pytest.raises(AlignmentError, match=f"Got {count} states of cross_attn for 400 anchors"):
        align(builders.planted_direction(), {SPACE: AnchorStates(states.pooled[:count], states.tokens[:count])}, "short")


def test_an_encoder_that_says_the_same_to_every_prompt_is_refused() -> None:
    constant = AnchorStates(torch.full((400, 28), 0.3), [torch.full((3, 28), 0.3).half()] * 400)
    with pytest.raises(AlignmentError, match="the same cross_attn for every prompt"):
        align(builders.planted_direction(), {SPACE: constant}, "constant")


@pytest.mark.parametrize("name", sorted(MAPS))
def test_a_direction_whose_anchors_all_have_the_same_state_is_refused(name: str) -> None:
    direction = builders.planted_direction()
    same = replace(direction, anchor_activations=torch.full_like(direction.anchor_activations, 0.3))
    with pytest.raises(AlignmentError, match="the same state for every anchor"):
        align(same, {SPACE: builders.planted_states()}, "planted", AlignSettings(map=name))


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(DataError, match="Expected map"):
        align(builders.planted_direction(), {SPACE: builders.planted_states()}, "planted", AlignSettings(map="affine"))
