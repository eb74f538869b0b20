"""Through text, by pictures, or either: which spaces are shared is found by what is said, and refused where none is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.alignment.align_direction import align
from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.alignment.through_text import SHARED, agreement, agreements, shared_spaces
from safety_steer.alignment.vision_ways import REVERSE_ANCHORS, WAYS, Captioned, anchors_read
from safety_steer.directions.vision_spaces import is_vision
from safety_steer.errors import AlignmentError
from safety_steer.statistics import auroc
from safety_steer.steering.gate import open_gate

PICTURES, GAP = 320, 7.0
LAST, EMBEDS = "last_hidden_state", "image_embeds"
CAPTIONS = tuple(f"a drawing of thing {number}" for number in range(PICTURES))


def embedded(latents: Tensor) -> Tensor:
    """Return the embeddings of pictures: those of their captions, but around another middle, as those of CLIP are."""
    return latents @ builders.world().target_map + GAP


def patches(latents: Tensor, seed: int) -> list[Tensor]:
    """Return states of another width, which no text space shares."""
    view = torch.randn(builders.LATENT, 20, generator=torch.Generator().manual_seed(9))
    noise = torch.randn(len(latents), 6, builders.LATENT, generator=torch.Generator().manual_seed(seed))
    return list((latents[:, None] + 0.3 * noise) @ view)


def looked(latents: Tensor, seed: int) -> dict[str, AnchorStates]:
    states = {LAST: patches(latents, seed), EMBEDS: list(embedded(latents)[:, None])}
    return collect([states], len(latents))


def read(latents: Tensor) -> dict[str, AnchorStates]:
    """Return what a text encoder says, by word and as a whole; the whole is as wide as the embedding."""
    words = builders.world().target(latents, seed=3)
    return collect(
        [{"cross_attn": [rows[:, :24] for rows in words], "pooled_output": list(embedded(latents)[:, None] - GAP)}],
        len(latents),
    )


@cache
def known() -> Captioned:
    latents = builders.world().benign(PICTURES, 7)
    return Captioned(CAPTIONS, looked(latents, 8), read(latents), read(builders.world().benign(400, 2)))


def unshared() -> Captioned:
    """Return the same with an embedding that is as wide as the text's and says it otherwise."""
    turn = torch.linalg.qr(torch.randn(28, 28, generator=torch.Generator().manual_seed(4))).Q
    turned = AnchorStates(
        known().pictures[EMBEDS].pooled @ turn, [rows.float() @ turn for rows in known().pictures[EMBEDS].tokens]
    )
    return replace(known(), pictures={LAST: known().pictures[LAST], EMBEDS: turned})


def test_agreement_is_half_by_chance_and_whole_for_the_same_whatever_the_middle() -> None:
    rows = torch.randn(200, 16, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    assert agreement(rows, 3 * rows + 5) == 1.0
    assert abs(agreement(rows, rows[order]) - 0.5) < 0.05
    assert agreement(rows, torch.ones(200, 16)) == 0.5
    assert agreement(rows[:2], rows[[1, 0]]) == 0.0


def test_a_shared_space_is_found_by_what_is_said_and_not_by_its_name() -> None:
    found = shared_spaces(known().said, known().pictures)
    assert {name: one.text for name, one in found.items()} == {EMBEDS: "pooled_output"}
    assert found[EMBEDS].agreement > 0.99
    assert set(agreements(known().said, unshared().pictures)) == {EMBEDS}
    assert agreements(known().said, unshared().pictures)[EMBEDS].agreement < SHARED
    renamed = {"cross_attn": known().said["pooled_output"]}
    assert shared_spaces(renamed, {LAST: known().pictures[EMBEDS]})[LAST].text == "cross_attn"


def test_through_text_is_the_alignment_of_text_with_pictures_for_what_is_normal() -> None:
    found = WAYS["through text"](builders.planted_direction(), known(), "planted vision")
    assert tuple(found.spaces) == (EMBEDS,)
    assert is_vision(found)
    assert found.report[EMBEDS]["agreement"] > 0.99
    assert found.probe_prompts == CAPTIONS[:8]
    text = align(builders.planted_direction(), {"pooled_output": known().anchors["pooled_output"]}, "planted text")
    assert torch.equal(found.spaces[EMBEDS].vectors, text.spaces["pooled_output"].vectors)
    safe, unsafe, _ = builders.world().pairs(100, seed=31)
    space = found.spaces[EMBEDS]
    assert auroc(*(open_gate(embedded(part)[:, None], space).scores for part in (unsafe, safe))) > 0.95
    benign = open_gate(embedded(builders.world().benign(400, 22))[:, None], space)
    assert float(benign.flagged.double().mean()) < 0.03


def test_pictures_far_from_text_are_at_home_and_those_of_another_model_are_not() -> None:
    space = WAYS["through text"](builders.planted_direction(), known(), "planted vision").spaces[EMBEDS]
    shown = embedded(builders.world().benign(50, 5))
    counts = torch.ones(len(shown))
    assert float(space.encoder.distance(shown, counts).max()) < float(space.encoder.fit_limit)
    assert float(space.encoder.distance(shown + 40, counts).min()) > float(space.encoder.fit_limit)
    assert torch.equal(space.encoder.probes, known().pictures[EMBEDS].pooled[:8])


def test_where_no_space_is_shared_through_text_is_refused_with_what_was_found() -> None:
    with pytest.raises(AlignmentError, match=r"image_embeds is as wide as pooled_output, .* \d+% of the others: 50% is chance"):
        WAYS["through text"](builders.planted_direction(), unshared(), "planted vision")
    only = replace(known(), pictures={LAST: known().pictures[LAST]})
    with pytest.raises(
        AlignmentError, match=r"no two of them are equally wide: cross_attn 24, pooled_output 28 of the clip, last_hi"
    ):
        WAYS["through text"](builders.planted_direction(), only, "planted vision")


def test_too_few_pictures_cannot_say_what_is_normal() -> None:
    latents = builders.world().benign(199, 7)
    few = replace(known(), captions=CAPTIONS[:199], pictures=looked(latents, 8), said=read(latents))
    with pytest.raises(AlignmentError, match="at least 200 captioned pictures for the way through text"):
        WAYS["through text"](builders.planted_direction(), few, "planted vision")
    assert set(WAYS["auto"](builders.planted_direction(), few, "planted vision").spaces) == {LAST, EMBEDS}


def test_auto_goes_through_text_where_it_can_decides_there_and_by_the_map_elsewhere() -> None:
    ways = {name: way(builders.planted_direction(), known(), "planted vision") for name, way in WAYS.items()}
    found = ways["auto"]
    assert tuple(found.spaces) == (EMBEDS, LAST)
    assert set(found.places) == set(found.report) == {EMBEDS, LAST}
    assert torch.equal(found.spaces[EMBEDS].gate.gate_weights, ways["through text"].spaces[EMBEDS].gate.gate_weights)
    assert torch.equal(found.spaces[LAST].gate.gate_weights, ways["pictures"].spaces[LAST].gate.gate_weights)
    assert not torch.equal(found.spaces[EMBEDS].gate.gate_weights, ways["pictures"].spaces[EMBEDS].gate.gate_weights)


def test_auto_is_the_map_where_nothing_is_shared() -> None:
    direction = builders.planted_direction()
    assert WAYS["auto"](direction, unshared(), "v").content_hash == WAYS["pictures"](direction, unshared(), "v").content_hash


def test_auto_leaves_out_what_a_map_cannot_reach() -> None:
    order = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(3)).tolist()
    last = known().pictures[LAST]
    mixed = AnchorStates(last.pooled[order], [last.tokens[row] for row in order])
    found = WAYS["auto"](builders.planted_direction(), replace(known(), pictures={**known().pictures, LAST: mixed}), "v")
    assert tuple(found.spaces) == (EMBEDS,)
    assert "no better than chance" in found.report[LAST]["left_out"]


def test_text_is_read_as_far_as_a_way_needs_it() -> None:
    direction = builders.planted_direction()
    assert {anchors_read(direction, way) for way in WAYS} == {400}
    many = replace(direction, anchors=direction.anchors * 5)
    assert anchors_read(many, "pictures") == REVERSE_ANCHORS
    assert anchors_read(many, "through text") == anchors_read(many, "auto") == 2000
