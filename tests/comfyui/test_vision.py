"""Pictures that come in, in ComfyUI's real classes: they are steered as the library steers them, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import pictures, tiny, words
from support.comfyui.pictures import through_node
from support.families import models
from test_steering import apply, apply_conditioning

Conditioning = list[list[Any]]


def unclip(said: Any) -> dict[str, Any]:
    return {"unclip_conditioning": [{"clip_vision_output": said, "strength": 0.8, "noise_augmentation": 0.1}]}


# By family: what its nodes put into both prompts, the CLIP whose prompts have its widths, and which states it reads.
CARRIED: dict[str, tuple[Callable[[Any], dict[str, Any]], str, str]] = {
    "wan_i2v": (lambda said: {"clip_vision_output": said}, "wan", "penultimate_hidden_states"),
    "hunyuan_video_15": (lambda said: {"clip_vision_output": said}, "wan", "last_hidden_state"),
    "sd21_unclip_l": (unclip, "sd15", "image_embeds"),
    "stable_cascade": (unclip, "sd15", "image_embeds"),
}
FAMILIES = [name for name in CARRIED if models.available(name)]


@cache
def model(family: str) -> Any:
    return models.model(family)


def prompts(family: str, said: Any, text: str = words.HARMLESS) -> tuple[Conditioning, Conditioning]:
    """Return the positive and the negative prompt, both of which carry the picture, as image-to-video nodes make them."""
    carried, kind, _ = CARRIED[family]
    more = {name: value for name, value in models.extras(family).items() if "clip" not in name}
    made = [tiny.encode(tiny.clip(kind), prompt) for prompt in (text, "blurry")]
    positive, negative = ([[states, {**extras, **more, **carried(said)}] for states, extras in entries] for entries in made)
    return positive, negative


def sampled(family: str, patched: Any, texts: tuple[Conditioning, Conditioning]) -> torch.Tensor:
    settings = {"seed": 1, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    made: torch.Tensor = running_comfyui.call(
        "KSampler", model=patched, positive=texts[0], negative=texts[1], latent_image=models.latent(family), **settings
    )[0]["samples"]
    return made


def text_direction(family: str) -> Any:
    return tiny.aligned(CARRIED[family][1])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep what nodes say."""
    texts: list[str] = []
    monkeypatch.setattr(
        running_comfyui.module("adapters.node_text"), "show", lambda _node, text, _kind=None: texts.append(text)
    )
    return texts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_generator_sees_the_picture_as_the_library_steers_it(family: str) -> None:
    said = pictures.unsafe()
    before = {name: getattr(said, name).clone() for name in pictures.WIDTHS}
    plain = sampled(family, model(family), prompts(family, said))
    expected = sampled(family, model(family), prompts(family, pictures.by_library(said)))
    patched = apply(model(family), text_direction(family), vision_direction=pictures.aligned())
    steered = sampled(family, patched, prompts(family, said))
    assert torch.isfinite(steered).all()
    assert not torch.equal(plain, expected)
    assert torch.equal(steered, expected)
    assert all(torch.equal(getattr(said, name), before[name]) for name in before)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_harmless_picture_changes_no_bit(family: str) -> None:
    texts = prompts(family, pictures.harmless())
    patched = apply(model(family), text_direction(family), vision_direction=pictures.aligned())
    assert torch.equal(sampled(family, patched, texts), sampled(family, model(family), texts))


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"preset": "off"}, {"start_percent": 1.0}], ids=str)
def test_what_steers_nothing_changes_no_bit(settings: dict[str, Any]) -> None:
    texts = prompts("wan_i2v", pictures.unsafe())
    patched = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned(), **settings)
    assert torch.equal(sampled("wan_i2v", patched, texts), sampled("wan_i2v", model("wan_i2v"), texts))


def test_a_part_of_the_steps_sees_the_steered_picture() -> None:
    said = pictures.unsafe()
    plain, whole = (sampled("wan_i2v", model("wan_i2v"), prompts("wan_i2v", one)) for one in (said, pictures.by_library(said)))
    patched = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned(), end_percent=0.3)
    partly = sampled("wan_i2v", patched, prompts("wan_i2v", said))
    assert not torch.equal(partly, plain)
    assert not torch.equal(partly, whole)
    texts = prompts("wan_i2v", said)
    given = {"vision_direction": pictures.aligned(), "end_percent": 0.3}
    by_conditioning = tuple(apply_conditioning(one, text_direction("wan_i2v"), **given) for one in texts)
    assert [len(one) for one in by_conditioning] == [2, 2]
    assert torch.equal(sampled("wan_i2v", model("wan_i2v"), by_conditioning), partly)


def test_text_and_picture_are_steered_by_one_node() -> None:
    said = pictures.unsafe()
    texts = prompts("wan_i2v", said, words.DANGEROUS)
    [[states, extras]], negative = prompts("wan_i2v", pictures.by_library(said), words.DANGEROUS)
    [[steered_states, _]] = apply_conditioning([[states, {"pooled_output": None}]], text_direction("wan_i2v"))
    assert not torch.equal(steered_states, states)
    expected = sampled("wan_i2v", model("wan_i2v"), ([[steered_states, extras]], negative))
    patched = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned())
    assert torch.equal(sampled("wan_i2v", patched, texts), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_latent_masks_and_text_are_the_very_objects_that_came_in(family: str) -> None:
    said = pictures.unsafe()
    [[states, extras]], _ = prompts(family, said)
    [[new_states, new]] = apply_conditioning([[states, extras]], text_direction(family), vision_direction=pictures.aligned())
    field = CARRIED[family][2]
    of = running_comfyui.module("safety_steer.directions.vision_spaces").outputs
    [before], [after] = list(of(extras)), list(of(new))
    assert before is said
    assert torch.equal(getattr(after, field), getattr(pictures.by_library(said), field))
    assert not torch.equal(getattr(after, field), getattr(said, field))
    assert new_states is states
    same = extras.keys() - {"clip_vision_output", "unclip_conditioning"}
    assert {name for name in same if new[name] is not extras[name]} == set()
    assert after.image_sizes is before.image_sizes


def test_other_pictures_of_the_negative_prompt_stay_as_they_are() -> None:
    said, other = pictures.unsafe(), pictures.unsafe(2)
    positive, _ = prompts("wan_i2v", said)
    _, negative = prompts("wan_i2v", other)
    expected, _ = prompts("wan_i2v", pictures.by_library(said))
    patched = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned())
    for single in (other.penultimate_hidden_states, other.last_hidden_state):
        assert len(single) == 2
    other.penultimate_hidden_states = other.penultimate_hidden_states[:1]
    made = sampled("wan_i2v", patched, (positive, negative))
    assert torch.equal(made, sampled("wan_i2v", model("wan_i2v"), (expected, negative)))


def test_two_nodes_in_a_row_steer_twice() -> None:
    said = pictures.unsafe()
    once = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned())
    twice = apply(once, text_direction("wan_i2v"), vision_direction=pictures.aligned(), operator="add", gate="off")
    assert torch.isfinite(sampled("wan_i2v", twice, prompts("wan_i2v", said))).all()


def test_the_node_says_what_it_did_to_pictures_and_what_it_cannot_reach(shown: list[str]) -> None:
    patched = apply(model("wan_i2v"), text_direction("wan_i2v"), vision_direction=pictures.aligned())
    sampled("wan_i2v", patched, prompts("wan_i2v", pictures.unsafe()))
    assert "picture 1: flagged as weapons" in shown[-1]
    assert "only partly reached: a picture comes in as concat_latent_image too, which stays as it is" in shown[-1]
    apply_conditioning(
        tiny.encode(tiny.clip("sd15"), words.HARMLESS), tiny.aligned("sd15"), vision_direction=pictures.aligned()
    )
    assert "pictures: none came in through CLIP vision, so none was steered" in shown[-1]


class SvdVae:
    """Stands in for the VAE of SVD, of which only the shape of a latent counts."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(pixels), 4, pixels.shape[1] // 8, pixels.shape[2] // 8)


def svd(said: Any) -> tuple[Conditioning, Conditioning]:
    vision = SimpleNamespace(encode_image=lambda _image: said)
    size = {"width": 64, "height": 64, "video_frames": 3, "motion_bucket_id": 127, "fps": 6, "augmentation_level": 0.0}
    positive, negative, _ = running_comfyui.call(
        "SVD_img2vid_Conditioning",
        clip_vision=vision,
        init_image=torch.zeros(len(said.image_embeds), 64, 64, 3),
        vae=SvdVae(),
        **size,
    )
    return positive, negative


def test_the_embedding_that_svd_carries_in_place_of_text_is_steered() -> None:
    said = pictures.unsafe()
    positive, negative = svd(said)
    library = running_comfyui.module("safety_steer.steering.steer_conditioning")
    expected = library.steer_conditioning({"image_embeds": said.image_embeds}, pictures.aligned()).tensors["image_embeds"]
    [[states, extras]] = apply_conditioning(positive, pictures.aligned())
    assert torch.equal(states, expected[None])
    assert not torch.equal(states, positive[0][0])
    assert extras["concat_latent_image"] is positive[0][1]["concat_latent_image"]
    [[harmless, _]] = svd(pictures.harmless())[0]
    [[same, _]] = apply_conditioning([[harmless, positive[0][1]]], pictures.aligned())
    assert same is harmless
    assert not negative[0][0].any()


MISUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a direction for pictures on text": (
        lambda: apply_conditioning(tiny.encode(tiny.clip("sd15"), "a cat"), pictures.aligned()),
        "Expected a direction for text, but the direction input is fitted to pictures",
    ),
    "the same while sampling": (
        lambda: sampled("wan_i2v", apply(model("wan_i2v"), pictures.aligned()), prompts("wan_i2v", pictures.harmless())),
        "Expected a direction for text, but the direction input is fitted to pictures",
    ),
    "a direction for text on pictures": (
        lambda: apply(model("wan_i2v"), tiny.aligned("wan"), vision_direction=tiny.aligned("wan")),
        "Expected a direction for pictures, but vision_direction of Apply Safety Steer is fitted to the text encoder",
    ),
    "a direction for text on the wire": (
        lambda: through_node(pictures.harmless(), direction=tiny.aligned("wan")),
        r"direction of Apply Safety Steer \(CLIP Vision Output\) is fitted to the text encoder",
    ),
    "directions the other way round": (
        lambda: apply(model("wan_i2v"), pictures.aligned(), vision_direction=tiny.aligned("wan")),
        "Expected a direction for text, but direction of Apply Safety Steer is fitted to pictures",
    ),
    "a score of text": (
        lambda: running_comfyui.call(
            "SafetyScore", direction=pictures.aligned(), conditioning=tiny.encode(tiny.clip("sd15"), "a cat")
        ),
        "but direction of Safety Score is fitted to pictures",
    ),
    "the cross-attention site": (
        lambda: apply(model("wan_i2v"), tiny.aligned("wan"), vision_direction=pictures.aligned(), site="cross-attention"),
        "Set site to 'conditioning' on Apply Safety Steer",
    ),
    "another CLIP vision model": (
        partial(
            lambda widths: through_node(pictures.output(torch.zeros(1, pictures.LATENT), widths=widths)), {"image_embeds": 16}
        ),
        "another CLIP vision model looked at it",
    ),
}


@pytest.mark.parametrize("name", MISUSED)
def test_one_clear_error_for_each_misuse(name: str, error: Any) -> None:
    act, message = MISUSED[name]
    with pytest.raises(error, match=message):
        act()
