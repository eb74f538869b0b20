"""A direction carried to CLIP vision by harmless captioned pictures: what it finds, what it refuses, and that it is kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.alignment.vision import align_pictures, captions_in_source
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.vision_spaces import FIELDS, is_vision
from safety_steer.errors import AlignmentError
from safety_steer.statistics import auroc
from safety_steer.steering.gate import open_gate

PICTURES = 320
CAPTIONS = tuple(f"a drawing of thing {number}" for number in range(PICTURES))


@cache
def seen(latents_seed: int = 7, count: int = PICTURES) -> dict[str, AnchorStates]:
    """What a planted vision model says of pictures: patches, and an embedding that is another linear view of the same."""
    latents = builders.world().benign(count, latents_seed)
    patches = builders.world().target(latents, seed=8)
    return collect([{"last_hidden_state": patches, "image_embeds": list(embedded(latents)[:, None])}], count)


def embedded(latents: Tensor) -> Tensor:
    view = torch.randn(builders.LATENT, 16, generator=torch.Generator().manual_seed(9))
    return latents @ view


@cache
def source() -> Tensor:
    """The source's standardised states of the captions of those pictures."""
    activations = builders.world().source(builders.world().benign(PICTURES, 7))
    return builders.planted_direction().standardise(activations).float()


@cache
def aligned() -> AlignedDirection:
    return align_pictures(builders.planted_direction(), CAPTIONS, source(), seen(), "planted vision")


def test_unsafe_pictures_stand_out_though_none_was_seen() -> None:
    unsafe, benign = builders.unsafe_batch(60), builders.batch(builders.world().target(builders.world().benign(200, 21), 21))
    space = aligned().spaces["last_hidden_state"]
    scores = [open_gate(states, space).scores for states in (unsafe, benign)]
    assert auroc(*scores) > 0.95
    assert float(open_gate(benign, space, rate=0.01).flagged.double().mean()) < 0.05


def test_it_names_its_spaces_its_model_and_the_direction_it_came_from() -> None:
    assert is_vision(aligned())
    assert not is_vision(builders.planted_aligned())
    assert set(aligned().spaces) == {"last_hidden_state", "image_embeds"} <= set(FIELDS)
    assert {name: place.key for name, place in aligned().places.items()} == {name: name for name in aligned().spaces}
    assert aligned().encoder == "planted vision"
    assert aligned().direction_hash == builders.planted_direction().content_hash
    assert aligned().probe_prompts == CAPTIONS[:8]


def test_a_direction_with_examples_teaches_its_gate_networks_here_too() -> None:
    direction = builders.direction_with_examples()
    activations = builders.world().source(builders.world().benign(PICTURES, 7))
    found = align_pictures(direction, CAPTIONS, direction.standardise(activations).float(), seen(), "planted vision")
    assert next(iter(found.spaces.values())).harm is not None
    unsafe, benign = builders.unsafe_batch(60), builders.batch(builders.world().target(builders.world().benign(200, 21), 21))
    space = found.spaces["last_hidden_state"]
    assert auroc(*(open_gate(states, space).scores for states in (unsafe, benign))) > 0.95


def test_it_is_saved_and_loaded_as_a_direction_for_text_is(tmp_path: Path) -> None:
    aligned().save(tmp_path / "vision.safetensors")
    assert AlignedDirection.load(tmp_path / "vision.safetensors").content_hash == aligned().content_hash


def test_pictures_with_each_others_captions_are_refused() -> None:
    order = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(3))
    with pytest.raises(AlignmentError, match="no better than chance"):
        align_pictures(builders.planted_direction(), CAPTIONS, source()[order], seen(), "planted vision")


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(AlignmentError, match="at least 64 captioned pictures, but got 63"):
        align_pictures(builders.planted_direction(), CAPTIONS[:63], source()[:63], seen(7, 63), "planted vision")


def text(latents: Tensor) -> dict[str, AnchorStates]:
    """What a text encoder with two spaces says of prompts."""
    return {
        "cross_attn": AnchorStates(latents @ builders.world().target_map, []),
        "pooled_output": AnchorStates(latents[:, :5], []),
    }


def test_captions_come_to_the_source_through_a_text_encoder() -> None:
    world, direction = builders.world(), builders.planted_direction()
    found = captions_in_source(direction, text(world.benign(400, 2)), text(world.benign(PICTURES, 7)))
    cosine = torch.nn.functional.cosine_similarity(found, source(), dim=-1)
    assert found.shape == source().shape
    assert float(cosine.min()) > 0.9
    assert align_pictures(direction, CAPTIONS, found, seen(), "planted vision").report["image_embeds"]["cosine"] > 0.9


def test_some_of_the_anchors_do_too() -> None:
    world, direction = builders.world(), builders.planted_direction()
    rows = list(range(0, 400, 2))
    found = captions_in_source(direction, text(world.benign(400, 2)[rows]), text(world.benign(PICTURES, 7)), rows)
    assert float(torch.nn.functional.cosine_similarity(found, source(), dim=-1).min()) > 0.9


def test_a_text_encoder_that_says_nothing_of_the_source_is_refused() -> None:
    world = builders.world()
    direction = builders.planted_direction()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(3))
    shuffled = replace(direction, anchor_activations=direction.anchor_activations[order])
    with pytest.raises(AlignmentError, match="from this text encoder is no better than chance"):
        captions_in_source(shuffled, text(world.benign(400, 2)), text(world.benign(PICTURES, 7)))


def test_an_embedding_wider_than_there_are_pictures_is_aligned() -> None:
    latents = builders.world().benign(PICTURES, 7)
    view = torch.randn(builders.LATENT, 2 * PICTURES, generator=torch.Generator().manual_seed(9))
    states = collect([{"image_embeds": list((latents @ view)[:, None])}], PICTURES)
    found = align_pictures(builders.planted_direction(), CAPTIONS, source(), states, "planted vision")
    safe, unsafe, _ = builders.world().pairs(60, seed=31)
    space = found.spaces["image_embeds"]
    assert auroc(*(open_gate((part @ view)[:, None], space).scores for part in (unsafe, safe))) > 0.95
    assert float(space.unsafe_reading(unsafe @ view)[:, 0].mean()) > float(space.unsafe_reading(safe @ view)[:, 0].mean()) + 1
