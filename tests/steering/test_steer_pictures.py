"""Steering of pictures that come in: identity, consistency of what generators read, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.directions import vision_spaces
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.text_spaces import Place
from safety_steer.errors import MismatchError
from safety_steer.steering.steer_conditioning import SteerSettings, steer_conditioning
from safety_steer.steering.steer_pictures import require_text, require_vision, steer_output, steer_pictures

SPACES = ("last_hidden_state", "penultimate_hidden_states")


def vision(names: tuple[str, ...] = SPACES) -> AlignedDirection:
    """The planted direction as if its encoder were CLIP vision."""
    text = builders.planted_aligned()
    spaces = MappingProxyType(dict.fromkeys(names, text.spaces["cross_attn"]))
    return replace(text, spaces=spaces, places={name: Place(name) for name in names}, report={})


def said(states: Tensor, **more: Any) -> SimpleNamespace:
    """What CLIP vision says of pictures."""
    return SimpleNamespace(**{**dict.fromkeys(SPACES, states), "image_sizes": [(3, 8, 8)], "mm_projected": None, **more})


@pytest.mark.parametrize(
    "settings",
    [SteerSettings(), SteerSettings(gate="soft"), SteerSettings(operator="clip"), SteerSettings(operator="project")],
    ids=str,
)
def test_a_harmless_picture_is_the_very_object_that_came_in(settings: SteerSettings) -> None:
    output = said(builders.benign_batch())
    made, outcome = steer_output(output, vision(), settings)
    assert made is output
    assert not outcome.changed


@pytest.mark.parametrize(
    "settings", [SteerSettings(strength=0.0), SteerSettings(strength=0.0, gate="off", operator="add")], ids=str
)
def test_strength_0_gives_back_the_very_object(settings: SteerSettings) -> None:
    output = said(builders.unsafe_batch())
    assert steer_output(output, vision(), settings)[0] is output


def test_an_unsafe_picture_is_steered_in_a_copy_and_the_original_is_not_written_to() -> None:
    states = builders.unsafe_batch()
    output, before = said(states), states.clone()
    made, outcome = steer_output(output, vision())
    assert outcome.changed
    assert made is not output
    assert type(made) is type(output)
    assert output.last_hidden_state is states
    assert torch.equal(states, before)
    assert made.image_sizes is output.image_sizes
    assert not torch.equal(made.last_hidden_state, states)


def test_every_space_is_steered_as_the_library_steers_its_tensor() -> None:
    states = builders.unsafe_batch()
    made, outcome = steer_output(said(states), vision())
    expected = steer_conditioning(dict.fromkeys(SPACES, states), vision(), check=False)
    for name in SPACES:
        assert torch.equal(getattr(made, name), expected.tensors[name])
        assert torch.equal(outcome.tensors[name], expected.tensors[name])
    assert torch.equal(made.last_hidden_state, made.penultimate_hidden_states)


def test_pictures_of_a_batch_are_judged_one_by_one() -> None:
    unsafe, benign = builders.unsafe_batch(2), builders.benign_batch(2)
    states = builders.batch([*unsafe.unbind(0), *benign.unbind(0)])
    made, outcome = steer_output(said(states), vision())
    assert outcome.gate is not None
    assert outcome.gate.flagged.tolist() == [True, True, False, False]
    assert torch.equal(made.last_hidden_state[2:], states[2:])
    assert not torch.equal(made.last_hidden_state[0], states[0])


def test_the_stack_of_layers_says_what_the_penultimate_states_say() -> None:
    states = builders.unsafe_batch()
    stack = torch.stack([2 * states, states, 3 * states], 1)
    made, _ = steer_output(said(states, all_hidden_states=stack), vision())
    assert torch.equal(made.all_hidden_states[:, -2], made.penultimate_hidden_states)
    assert torch.equal(made.all_hidden_states[:, 0], stack[:, 0])
    assert torch.equal(made.all_hidden_states[:, -1], stack[:, -1])
    assert torch.equal(stack[:, -2], states)


def test_an_embedding_is_steered_in_its_own_shape() -> None:
    pooled = torch.stack([rows[:4].mean(0) for rows in builders.unsafe_batch()])
    made, outcome = steer_output(SimpleNamespace(image_embeds=pooled), vision(("image_embeds",)), SteerSettings(gate="off"))
    assert outcome.changed
    assert made.image_embeds.shape == pooled.shape


def test_a_frozen_value_of_the_library_can_be_steered() -> None:
    @dataclass(frozen=True)
    class States:
        last_hidden_state: Tensor

    states = builders.unsafe_batch()
    made, _ = steer_output(States(states), vision(("last_hidden_state",)))
    assert isinstance(made, States)
    assert torch.equal(made.last_hidden_state, steer_output(said(states), vision())[0].last_hidden_state)


def test_a_direction_for_text_is_refused() -> None:
    with pytest.raises(
        MismatchError, match=r"Expected a direction for pictures, but this direction is fitted to the text encoder"
    ):
        steer_pictures({"last_hidden_state": builders.unsafe_batch()}, builders.planted_aligned())
    with pytest.raises(MismatchError, match="but direction of Some Node is fitted to the text encoder"):
        require_vision(builders.planted_aligned(), "direction of Some Node")


def test_a_direction_for_pictures_is_refused_where_text_is_meant() -> None:
    with pytest.raises(MismatchError, match="Expected a direction for text, but direction of Some Node is fitted to pictures"):
        require_text(vision(), "direction of Some Node")
    require_text(builders.planted_aligned(), "direction of Some Node")


def test_another_vision_model_is_noticed() -> None:
    with pytest.raises(MismatchError, match="another CLIP vision model looked at it"):
        steer_pictures({"last_hidden_state": builders.unsafe_batch()[..., :-1]}, vision())
    with pytest.raises(MismatchError, match=r"This picture lies \d+\.\d deviations from those of the alignment"):
        steer_pictures({"last_hidden_state": builders.benign_batch() + 100}, vision())
    with pytest.raises(MismatchError, match="none of the states of CLIP vision"):
        steer_output(SimpleNamespace(), vision())
    with pytest.raises(MismatchError, match="holds NaN or Inf"):
        steer_pictures({"last_hidden_state": builders.benign_batch() * torch.nan}, vision())


def test_pictures_that_were_steered_before_may_lie_far_out() -> None:
    steer_pictures({"last_hidden_state": builders.benign_batch() + 100}, vision(), check=False)


EMBEDS = torch.arange(12.0).view(1, 3, 4)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"cross_attn": EMBEDS, "concat_latent_image": EMBEDS}, EMBEDS[0]),
        ({"cross_attn": torch.cat([EMBEDS, EMBEDS], -1), "concat_latent_image": EMBEDS}, EMBEDS[0]),
        ({"cross_attn": EMBEDS, "concat_latent_image": EMBEDS, "pooled_output": None}, None),
        ({"cross_attn": EMBEDS}, None),
        ({"cross_attn": EMBEDS[..., :3], "concat_latent_image": EMBEDS}, None),
        ({"concat_latent_image": EMBEDS}, None),
    ],
    ids=["SVD", "Stable Zero123", "text with a picture", "no picture", "another width", "nothing"],
)
def test_an_embedding_in_place_of_text_is_known(entry: dict[str, Any], found: Tensor | None) -> None:
    got = vision_spaces.embedding_for_text(entry, 4)
    assert (got is None) if found is None else (got is not None and torch.equal(got, found))


def test_what_clip_vision_says_is_found_and_replaced_wherever_an_entry_has_it() -> None:
    items = [SimpleNamespace(number=number) for number in range(6)]
    entry = {
        "clip_vision_output": items[0],
        "clip_vision_output_pose": items[1],
        "clip_vision_output_ref": None,
        "clip_vision_outputs": [items[2], None],
        "unclip_conditioning": [{"clip_vision_output": items[3], "strength": 0.5}, {"clip_vision_output": items[0]}],
    }
    assert [item.number for item in vision_spaces.outputs(entry)] == [0, 1, 2, 3, 0]
    new = {id(items[0]): items[4], id(items[3]): items[5]}
    made = vision_spaces.with_outputs(entry, new)
    assert [item.number for item in vision_spaces.outputs(made)] == [4, 1, 2, 5, 4]
    assert made["unclip_conditioning"][0]["strength"] == 0.5
    assert [item.number for item in vision_spaces.outputs(entry)] == [0, 1, 2, 3, 0]


def test_ways_past_clip_vision_are_named() -> None:
    assert vision_spaces.past_vision({"concat_latent_image": EMBEDS, "reference_latents": None}) == ["concat_latent_image"]
