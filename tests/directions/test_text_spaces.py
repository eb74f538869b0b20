"""Cutting text spaces out of conditioning entries and putting them back."""

from __future__ import annotations

import pytest
import torch

from safety_steer.directions.pooling import token_mask
from safety_steer.directions.text_spaces import PICTURES, Place, copies, fits, left_alone, pictured, put_back, take, take_hidden
from safety_steer.errors import FileFormatError

STATES = torch.arange(2 * 4 * 6, dtype=torch.float32).reshape(2, 4, 6) + 1


def test_a_whole_tensor_is_taken_as_it_is() -> None:
    assert take({"cross_attn": STATES}, Place("cross_attn")) is STATES
    assert take({"cross_attn": STATES}, Place("cross_attn", width=6, stop=6)) is STATES


def test_channels_are_cut_out_and_put_back_and_nothing_else_changes() -> None:
    entry, place = {"cross_attn": STATES.clone(), "guidance": 3.5}, Place("cross_attn", 2, 4, 6)
    part = take(entry, place)
    assert torch.equal(part, STATES[..., 2:4])
    changed = put_back(entry, {"middle": place}, {"middle": -part})
    assert set(changed) == {"cross_attn"}
    assert torch.equal(changed["cross_attn"][..., 2:4], -STATES[..., 2:4])
    assert torch.equal(changed["cross_attn"][..., :2], STATES[..., :2])
    assert torch.equal(changed["cross_attn"][..., 4:], STATES[..., 4:])
    assert torch.equal(entry["cross_attn"], STATES)


def test_two_spaces_of_one_tensor_go_into_one_copy() -> None:
    entry = {"cross_attn": STATES.clone()}
    places = {"left": Place("cross_attn", 0, 2, 6), "right": Place("cross_attn", 2, 6, 6)}
    changed = put_back(entry, places, {name: take(entry, place) * 2 for name, place in places.items()})
    assert torch.equal(changed["cross_attn"], STATES * 2)


def test_masked_rows_are_taken_as_zeros_and_keep_their_values() -> None:
    mask = torch.tensor([[1, 1, 0, 1]])
    entry, place = {"cross_attn": STATES.clone(), "attention_mask": mask}, Place("cross_attn")
    part = take(entry, place)
    assert torch.equal(part[:, 2], torch.zeros(2, 6))
    assert torch.equal(part[:, [0, 1, 3]], STATES[:, [0, 1, 3]])
    changed = put_back(entry, {"all": place}, {"all": part * 3})["cross_attn"]
    assert torch.equal(changed[:, 2], STATES[:, 2])
    assert torch.equal(changed[:, [0, 1, 3]], STATES[:, [0, 1, 3]] * 3)


def test_hidden_rows_are_taken_apart_and_put_back_among_the_others() -> None:
    mask = torch.tensor([[1, 1, 0, 1]])
    entry, place = {"cross_attn": STATES.clone(), "attention_mask": mask}, Place("cross_attn", 2, 4, 6)
    part, hidden = take(entry, place), take_hidden(entry, place)
    assert hidden is not None
    assert torch.equal(part + hidden, STATES[..., 2:4])
    assert not bool(hidden[:, [0, 1, 3]].any())
    changed = put_back(entry, {"all": place}, {"all": part * 3}, {"all": hidden * 2})["cross_attn"]
    assert torch.equal(changed[..., 2:4], part * 3 + hidden * 2)
    assert torch.equal(changed[..., [0, 1, 4, 5]], STATES[..., [0, 1, 4, 5]])
    alone = put_back(entry, {"all": place}, {}, {"all": hidden * 2})["cross_attn"]
    assert torch.equal(alone[..., 2:4], part + hidden * 2)


@pytest.mark.parametrize("mask", [None, torch.ones(1, 4), torch.zeros(1, 3)])
def test_without_hidden_rows_there_is_nothing_to_take(mask: torch.Tensor | None) -> None:
    assert take_hidden({"cross_attn": STATES, "attention_mask": mask}, Place("cross_attn")) is None


def test_hidden_rows_of_another_encoder_are_not_taken() -> None:
    states = STATES.clone()
    states[:, :2, 3:] = 0
    entry = {"cross_attn": states, "attention_mask": torch.tensor([[1, 0, 0, 1]])}
    narrow, wide = (
        take_hidden(entry, Place("cross_attn", stop=stop, width=6, rows=rows, edge=3))
        for rows, stop in (("narrow", 3), ("wide", 0))
    )
    assert narrow is not None
    assert wide is not None
    assert token_mask(narrow)[0].tolist() == [False, True, False, False]
    assert token_mask(wide)[0].tolist() == [False, False, True, False]


def test_a_mask_of_another_length_is_no_mask_of_these_rows() -> None:
    entry = {"cross_attn": STATES, "attention_mask": torch.zeros(1, 3)}
    assert take(entry, Place("cross_attn")) is STATES


def test_encoders_of_two_widths_on_the_tokens_are_told_apart_by_their_zeros() -> None:
    states = STATES.clone()
    states[:, :2, 3:] = 0
    entry = {"cross_attn": states}
    narrow, wide = (Place("cross_attn", stop=stop, width=6, rows=rows, edge=3) for rows, stop in (("narrow", 3), ("wide", 0)))
    assert torch.equal(take(entry, narrow)[:, :2], states[:, :2, :3])
    assert not take(entry, narrow)[:, 2:].any()
    assert torch.equal(take(entry, wide)[:, 2:], states[:, 2:])
    assert not take(entry, wide)[:, :2].any()
    changed = put_back(entry, {"n": narrow, "w": wide}, {"n": take(entry, narrow) + 0.5, "w": take(entry, wide) * 2})[
        "cross_attn"
    ]
    assert torch.equal(changed[:, :2, :3], states[:, :2, :3] + 0.5)
    assert not changed[:, :2, 3:].any()
    assert torch.equal(changed[:, 2:], states[:, 2:] * 2)


def test_one_layer_of_many_is_taken_and_put_back() -> None:
    layers = torch.stack([STATES, STATES * 10], 1)
    entry, place = {"conditioning_llama3": layers}, Place("conditioning_llama3", width=6, layer=1)
    assert torch.equal(take(entry, place), STATES * 10)
    changed = put_back(entry, {"second": place}, {"second": STATES})["conditioning_llama3"]
    assert torch.equal(changed, torch.stack([STATES, STATES], 1))


def test_a_pooled_state_is_cut_by_channels() -> None:
    entry, place = {"pooled_output": STATES[:, 0]}, Place("pooled_output", 3, 6, 6)
    assert torch.equal(take(entry, place), STATES[:, 0, 3:])
    changed = put_back(entry, {"right": place}, {"right": torch.zeros(2, 3)})["pooled_output"]
    assert torch.equal(changed, torch.cat([STATES[:, 0, :3], torch.zeros(2, 3)], -1))


@pytest.mark.parametrize(
    ("tensor", "place"),
    [
        (None, Place("cross_attn")),
        (STATES, Place("cross_attn", width=5)),
        (STATES, Place("cross_attn", layer=0)),
        (STATES[:, None], Place("cross_attn")),
        (STATES[:, None], Place("cross_attn", layer=1)),
    ],
)
def test_what_a_place_does_not_fit_is_said(tensor: torch.Tensor | None, place: Place) -> None:
    assert not fits({"cross_attn": tensor}, place)
    assert fits({"cross_attn": STATES}, Place("cross_attn", width=6))


def test_text_that_no_place_reaches_is_named() -> None:
    entry = {"cross_attn": STATES, "conditioning_llama3": STATES, "conditioning_byt5small": STATES, "pooled_output": None}
    assert left_alone(entry, {"x": Place("cross_attn")}) == ["conditioning_llama3", "conditioning_byt5small"]
    assert left_alone(entry, {"x": Place("cross_attn"), "y": Place("conditioning_llama3", layer=0)}) == [
        "conditioning_byt5small"
    ]


def test_a_further_text_in_the_same_spaces_is_no_text_left_alone() -> None:
    places = {"x": Place("cross_attn", width=6)}
    assert copies({"cross_attn": STATES, "cross_attn_pose": STATES[:1]}, places) == ["cross_attn_pose"]
    assert left_alone({"cross_attn": STATES, "cross_attn_pose": STATES[:1]}, places) == []
    for other in (STATES[..., :5], STATES[0, 0], None, [STATES]):
        entry = {"cross_attn": STATES, "cross_attn_pose": other}
        assert copies(entry, places) == []
        assert left_alone(entry, places) == ([] if other is None else ["cross_attn_pose"])
    assert copies({"cross_attn_pose": STATES}, {"y": Place("pooled_output")}) == []


def test_a_place_goes_through_a_document() -> None:
    place = Place("cross_attn", 2, 4, 6, 3, "wide", 5)
    assert Place.parse(place.document()) == place


@pytest.mark.parametrize(
    "change", [{"start": 4}, {"start": -1}, {"stop": "4"}, {"rows": "some"}, {"layer": -2}, {"width": -1}, {"key": None}]
)
def test_a_place_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FileFormatError):
        Place.parse(Place("cross_attn", 2, 4, 6).document() | change)


@pytest.mark.parametrize("key", PICTURES)
def test_an_entry_with_a_picture_beside_its_text_is_known(key: str) -> None:
    assert pictured({"cross_attn": STATES, key: [STATES]})
    assert not pictured({"cross_attn": STATES, key: None})
    assert not pictured({"cross_attn": STATES})
