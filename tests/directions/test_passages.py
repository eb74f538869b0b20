"""Passages: sixteen tokens every four, the last one up to the end, as means written out by hand."""

from __future__ import annotations

import pytest
import torch
from support import builders

from safety_steer.directions.harm_net import hear
from safety_steer.directions.passages import LONG, PASSAGE, STEP, passage_starts
from safety_steer.directions.pooling import cut
from safety_steer.steering.gate import open_gate


def rows(*lengths: int, width: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, width, generator=generator) for length in lengths]


@pytest.mark.parametrize("lengths", [(), (0,), (1, 16, LONG - 1)])
def test_short_prompts_have_no_passages(lengths: tuple[int, ...]) -> None:
    found = cut(rows(*lengths))
    assert [len(part) for part in (found.means, found.whole, found.owner, found.starts)] == [0] * 4
    assert found.counts(len(lengths)).tolist() == [0] * len(lengths)


@pytest.mark.parametrize("length", [LONG, 33, 34, 35, 36, 64, 77, 500])
def test_passages_start_every_four_tokens_and_the_last_one_ends_with_the_prompt(length: int) -> None:
    starts = passage_starts(length).tolist()
    assert starts[:-1] == list(range(0, length - PASSAGE, STEP))
    assert starts[-1] + PASSAGE == length
    covered = {place for start in starts for place in range(start, start + PASSAGE)}
    assert covered == set(range(length))


def test_a_passage_is_the_mean_of_its_tokens_beside_that_of_its_prompt() -> None:
    prompts = rows(40, 7, 53)
    found = cut(prompts)
    assert found.counts(3).tolist() == [7, 0, 11]
    assert found.owner.tolist() == [0] * 7 + [2] * 11
    for mean, whole, owner, start in zip(found.means, found.whole, found.owner, found.starts, strict=True):
        assert torch.allclose(mean, prompts[owner][start : start + PASSAGE].mean(0), atol=1e-5)
        assert torch.allclose(whole, prompts[owner].mean(0), atol=1e-5)


def test_half_precision_is_summed_in_single() -> None:
    prompts = [part.half() * 100 for part in rows(4000)]
    found = cut(prompts)
    assert found.means.dtype == torch.float32
    exact = prompts[0].double()
    for at in (0, 500, len(found.starts) - 1):
        start = int(found.starts[at])
        assert torch.allclose(found.means[at].double(), exact[start : start + PASSAGE].mean(0), atol=0.05)


def test_padding_anywhere_changes_nothing() -> None:
    world, space = builders.world(), builders.aligned_with_examples().spaces["cross_attn"]
    states = builders.batch(world.long(world.benign(3, seed=5), seed=5, unsafe=1, sentences=5))
    spread = torch.zeros(3, 2 * states.shape[1] + 9, states.shape[2])
    spread[:, 1 : 2 * states.shape[1] : 2] = states
    plain, padded = open_gate(states, space), open_gate(spread, space)
    assert torch.equal(plain.scores, padded.scores)
    assert plain.reach is not None
    assert padded.reach is not None
    assert torch.equal(padded.reach[:, 1 : 2 * states.shape[1] : 2], plain.reach)
    assert int(padded.reach.sum()) == int(plain.reach.sum())


def test_a_prompt_is_heard_alike_alone_and_among_others() -> None:
    world = builders.world()
    net = builders.aligned_with_examples().spaces["cross_attn"].harm
    assert net is not None
    prompts = [*world.long(world.benign(4, seed=6), 6, unsafe=1), *world.target(world.benign(4, seed=7), 7)]
    pooled = torch.stack([part.mean(0) for part in prompts])
    together = hear(net, pooled, cut(prompts))
    for number, part in enumerate(prompts):
        alone = hear(net, pooled[number : number + 1], cut([part]))
        assert torch.allclose(alone.evidence[0], together.evidence[number], atol=1e-4)
        assert torch.allclose(alone.by_passage, together.by_passage[together.passages.owner == number], atol=1e-4)
