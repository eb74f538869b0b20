"""What CLIP vision says, steered on its wire: Redux sees the picture as the library steers it, and nothing else changes."""

from __future__ import annotations

from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.ldm.flux.redux
import comfy.sd
import pytest
import torch
from support.comfyui import pictures, tiny
from support.comfyui.pictures import through_node
from support.families import models
from test_vision import Conditioning, sampled

REDUX = 32


@cache
def style_model() -> Any:
    module = comfy.ldm.flux.redux.ReduxImageEncoder(
        pictures.WIDTHS["last_hidden_state"], REDUX, device="cpu", dtype=torch.float32
    )
    tiny.randomise(module, 4)
    return comfy.sd.StyleModel(module)


def redux(said: Any, text: Conditioning) -> Conditioning:
    made: Conditioning = running_comfyui.call(
        "StyleModelApply", conditioning=text, style_model=style_model(), clip_vision_output=said, strength=0.5,
        strength_type="attn_bias",
    )[0]  # fmt: skip
    return made


def test_redux_rows_are_those_of_the_picture_as_the_library_steers_it() -> None:
    said, family = pictures.unsafe(), "flux"
    text = models.conditioning(family)
    text[0][1].pop("reference_latents")
    plain, expected = redux(said, text), redux(pictures.by_library(said), text)
    made = redux(through_node(said), text)
    assert torch.equal(made[0][0], expected[0][0])
    assert torch.equal(made[0][0][:, : text[0][0].shape[1]], text[0][0])
    assert not torch.equal(made[0][0], plain[0][0])
    assert torch.equal(made[0][1]["attention_mask"], plain[0][1]["attention_mask"])
    assert torch.equal(made[0][1]["pooled_output"], plain[0][1]["pooled_output"])
    negative = models.conditioning(family, 1)
    found = [sampled(family, models.model(family), (one, negative)) for one in (made, expected, plain)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"preset": "off"}], ids=str)
def test_strength_0_on_the_wire_gives_back_the_very_object(settings: dict[str, Any]) -> None:
    said = pictures.unsafe()
    assert through_node(said, **settings) is said


def test_a_harmless_picture_on_the_wire_is_the_very_object() -> None:
    said = pictures.harmless(3)
    assert through_node(said) is said


def test_a_picture_can_be_steered_on_the_wire_and_again_behind_it() -> None:
    said = through_node(pictures.unsafe())
    again = through_node(said, operator="add", gate="off", strength=10.0)
    assert again is not said
    assert through_node(again, operator="add", gate="off") is not again
