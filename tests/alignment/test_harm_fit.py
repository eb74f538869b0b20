"""Teaching the networks: the same bits every time, in wide spaces, with few long prompts or none, and controls."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from support import builders
from support.brief import briefly_taught
from support.builders import SPACE
from torch import Tensor

from safety_steer.alignment import harm_fit
from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates
from safety_steer.alignment.harm_fit import AXES, Frame
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.source import SafetyDirection
from safety_steer.directions.space_file import space_tensors
from safety_steer.directions.tensor_fields import axes_of
from safety_steer.evaluation.transfer import random_direction, shuffled_direction
from safety_steer.steering.gate import open_gate


def fitted(
    direction: SafetyDirection | None = None, passages: AnchorStates | None = None, settings: AlignSettings | None = None
) -> AlignedSpace:
    """The planted world's target aligned to a direction, with its passages or others."""
    return align(
        direction or builders.direction_with_examples(),
        {SPACE: builders.states_with_examples()},
        "planted, layer 1",
        settings,
        passages={SPACE: passages or builders.passage_states()},
    ).spaces[SPACE]


def net(space: AlignedSpace) -> HarmNet:
    assert space.harm is not None
    return space.harm


def assert_same(one: HarmNet, other: HarmNet) -> None:
    for name in axes_of(HarmNet):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def share(space: AlignedSpace, rows: list[Tensor], rate: float = 0.01) -> float:
    return float(open_gate(builders.batch(rows), space, rate=rate).flagged.double().mean())


@cache
def unsafe_prompts() -> list[Tensor]:
    return builders.world().target(builders.world().pairs(200, 25)[1], 25)


@cache
def long_unsafe_prompts() -> list[Tensor]:
    return builders.world().long(builders.world().benign(100, 26), 26, unsafe=2, sentences=6)


@cache
def harmless_prompts() -> list[list[Tensor]]:
    world = builders.world()
    return [world.target(world.benign(1000, 21), 21), world.long(world.benign(400, 22), 22)]


def test_fitting_again_gives_the_same_bits_and_leaves_inputs_and_random_state_alone() -> None:
    torch.manual_seed(7)
    random_state, kept = torch.get_rng_state(), builders.passage_states().pooled.clone()
    again = fitted()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(builders.passage_states().pooled, kept)
    assert_same(net(again), net(builders.aligned_with_examples().spaces[SPACE]))
    assert not any(getattr(net(again), name).requires_grad for name in axes_of(HarmNet))


def test_under_inference_mode_the_bits_are_the_same() -> None:
    states, long = builders.states_with_examples(), builders.passage_states()
    with torch.inference_mode():
        copies = [AnchorStates(part.pooled.clone(), [rows.clone() for rows in part.tokens]) for part in (states, long)]
        assert copies[0].pooled.is_inference()
        aligned = align(builders.direction_with_examples(), {SPACE: copies[0]}, "planted", passages={SPACE: copies[1]})
        space = aligned.spaces[SPACE]
        assert share(space, long_unsafe_prompts()[:10]) == 1
    assert_same(net(space), net(builders.aligned_with_examples().spaces[SPACE]))


def test_without_passages_the_passage_network_is_silent_and_the_other_one_decides() -> None:
    space = builders.aligned_with_examples(long=False).spaces[SPACE]
    assert not bool(net(space).passage_in.any() | net(space).passage_contrast.any() | net(space).passage_out.any())
    assert share(space, unsafe_prompts()) > 0.9
    assert all(share(space, rows) <= 0.02 for rows in harmless_prompts())
    assert share(space, long_unsafe_prompts()) < 0.1
    decision = open_gate(builders.batch(long_unsafe_prompts()), space)
    assert net(space).silent
    assert decision.reach is None


def test_an_encoder_that_pads_all_prompts_to_one_length_has_no_passages() -> None:
    states = builders.states_with_examples()
    padded = [torch.cat([rows, rows[-1:].expand(77 - len(rows), -1)])[:77] for rows in states.tokens]
    all_long = AnchorStates(torch.stack([rows.float().mean(0) for rows in padded]), padded)
    passages = {SPACE: builders.passage_states()}
    with briefly_taught():
        space = align(builders.direction_with_examples(), {SPACE: all_long}, "planted", passages=passages).spaces[SPACE]
    assert net(space).silent
    assert bool(torch.isfinite(net(space).ordinary).all())


@pytest.mark.parametrize(("count", "speaks"), [(31, False), (32, True)])
def test_the_passage_network_needs_32_long_prompts(count: int, speaks: bool) -> None:
    long = builders.passage_states()
    with briefly_taught():
        space = fitted(passages=AnchorStates(long.pooled[:count], long.tokens[:count]))
    assert bool(net(space).passage_in.any()) == speaks


def test_passages_whose_tokens_were_not_kept_are_heard_as_a_whole() -> None:
    long = builders.passage_states()
    space = fitted(passages=AnchorStates(long.pooled, long.tokens[:16]))
    assert not bool(net(space).passage_in.any())
    assert share(space, unsafe_prompts()) > 0.9


def test_passages_make_the_difference_in_long_prompts() -> None:
    space = builders.aligned_with_examples().spaces[SPACE]
    assert share(space, long_unsafe_prompts()) > 0.95
    assert share(space, unsafe_prompts()) > 0.9


def test_a_wide_space_is_heard_along_its_leading_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harm_fit, "AXES", 32)
    lift = torch.randn(builders.TARGET_WIDTH, 1100, generator=torch.Generator().manual_seed(6))

    def wide(states: AnchorStates) -> dict[str, AnchorStates]:
        return {SPACE: AnchorStates(states.pooled @ lift, [(rows.float() @ lift).half() for rows in states.tokens])}

    passages = wide(builders.passage_states())
    space = align(builders.direction_with_examples(), wide(builders.states_with_examples()), "wide", passages=passages).spaces[
        SPACE
    ]
    assert net(space).prompt_in.shape[1] == 1100
    assert int(torch.linalg.matrix_rank(net(space).prompt_in * space.encoder.scale)) <= 32
    assert share(space, [rows @ lift for rows in unsafe_prompts()]) > 0.9
    assert share(space, [rows @ lift for rows in long_unsafe_prompts()]) > 0.9
    assert all(share(space, [row @ lift for row in rows]) <= 0.02 for rows in harmless_prompts())


@pytest.mark.parametrize("width", [40, 1100])
def test_weights_in_a_frame_read_raw_channels_alike(width: int) -> None:
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(600, width, generator=generator) * 3 + 5
    mean, scale = states.mean(0), states.std(0)
    frame = Frame.around(mean, scale, states)
    assert (frame.axes is None) == (width == 40)
    rows = frame.standardised(states)
    assert rows.shape[1] == min(width, AXES)
    weights = torch.randn(4, rows.shape[1], generator=generator)
    assert torch.allclose((states - mean) @ frame.raw(weights).T, rows @ weights.T, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_direction_flags_no_more_prompts_than_stated_be_they_harmless_or_not(seed: int) -> None:
    space = fitted(random_direction(builders.direction_with_examples(), seed))
    assert all(share(space, rows) <= 0.015 for rows in harmless_prompts())
    assert share(space, unsafe_prompts()) <= 0.015
    assert share(space, long_unsafe_prompts()) <= 0.03


def test_examples_of_a_random_direction_are_not_the_unsafe_ones() -> None:
    original = builders.direction_with_examples()
    random, again = random_direction(original, 1).examples, random_direction(original, 1).examples
    assert original.examples is not None
    assert random is not None
    assert again is not None
    assert torch.equal(random.unsafe, again.unsafe)
    assert random.unsafe.shape == original.examples.unsafe.shape
    means = [part.unsafe.double().mean(0) for part in (original.examples, random)]
    assert abs(float(torch.nn.functional.cosine_similarity(*means, dim=0))) < 0.6
    shuffled = shuffled_direction(original, seed=1).examples
    assert shuffled is not None
    assert int(shuffled.hard.sum()) == int(original.examples.hard.sum())
    assert not torch.equal(shuffled.hard, original.examples.hard)


def test_a_direction_without_examples_has_the_older_gate() -> None:
    older, newer = (
        fitted(replace(builders.direction_with_examples(), examples=None)),
        builders.aligned_with_examples().spaces[SPACE],
    )
    assert older.harm is None
    for name in ("vectors", "readings", "gate_weights", "gate_quantiles", "token_quantiles"):
        assert torch.equal(space_tensors(older)[name], space_tensors(newer)[name]), name


def test_thresholds_of_own_prompts_alone_keep_the_older_gate() -> None:
    world = builders.world()
    rows = world.target(world.benign(200, seed=61), seed=61)
    own = AnchorStates(torch.stack([row.mean(0) for row in rows]), rows)
    space = align(
        builders.direction_with_examples(),
        {SPACE: builders.states_with_examples()},
        "own",
        AlignSettings(thresholds="own"),
        extra_benign={SPACE: own},
    ).spaces[SPACE]
    assert space.harm is None


def test_further_harmless_prompts_count_for_what_is_normal() -> None:
    """Prompts like the unsafe ones, given as harmless, are flagged far less often."""
    world = builders.world()
    rows = world.target(world.pairs(400, seed=71)[1], seed=71)
    extra = {SPACE: AnchorStates(torch.stack([row.mean(0) for row in rows]), rows)}
    told = align(
        builders.direction_with_examples(), {SPACE: builders.states_with_examples()}, "told", extra_benign=extra
    ).spaces[SPACE]
    assert share(builders.aligned_with_examples(long=False).spaces[SPACE], unsafe_prompts()) > 0.9
    assert share(told, unsafe_prompts()) < 0.1


def test_passages_of_another_space_are_not_asked_for() -> None:
    long = {"elsewhere": builders.passage_states()}
    with briefly_taught():
        space = align(
            builders.direction_with_examples(), {SPACE: builders.states_with_examples()}, "planted", passages=long
        ).spaces[SPACE]
    assert not bool(net(space).passage_in.any())


def test_only_the_deciding_space_has_networks() -> None:
    states, long = builders.states_with_examples(), builders.passage_states()
    pooled = [AnchorStates(part.pooled, [row[None].half() for row in part.pooled]) for part in (states, long)]
    with briefly_taught():
        aligned: AlignedDirection = align(
            builders.direction_with_examples(),
            {"pooled_output": pooled[0], SPACE: states},
            "two",
            passages={"pooled_output": pooled[1], SPACE: long},
        )
    assert list(aligned.spaces) == [SPACE, "pooled_output"]
    assert aligned.spaces[SPACE].harm is not None
    assert aligned.spaces["pooled_output"].harm is None


def test_hard_anchors_count_as_ordinary_where_there_are_hardly_others() -> None:
    direction = builders.direction_with_examples()
    assert direction.examples is not None
    hard = replace(direction, examples=replace(direction.examples, hard=torch.ones(len(direction.anchors), dtype=torch.bool)))
    rows, states = list(range(200)), builders.states_with_examples()
    some = AnchorStates(states.pooled[:200], states.tokens[:200])
    space = align(hard, {SPACE: some}, "hard", anchors=rows).spaces[SPACE]
    assert torch.equal(net(space).hard, net(space).ordinary)
    assert share(space, unsafe_prompts()) > 0.8


@pytest.mark.parametrize("name", ["svd", "mlp"])
def test_examples_go_through_every_map(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety_steer.alignment.maps.MAX_EPOCHS", 5)
    space = fitted(settings=AlignSettings(map=name))
    world = builders.world()
    assert share(space, world.target(world.pairs(3000, 125)[1], 125)) > 0.9
    assert share(space, long_unsafe_prompts()) > 0.9
