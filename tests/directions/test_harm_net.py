"""The gate by networks: what they say written out, long prompts, what may move, and thresholds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support import builders
from support.harm_nets import SENTENCES, SHAPES, UNSAFE, long_batch, net, space
from torch import Tensor
from torch.nn.functional import gelu

from safety_steer.directions.harm_net import Heard, hard_rate, join, reach
from safety_steer.directions.passages import PASSAGE, Passages
from safety_steer.directions.pooling import cut
from safety_steer.directions.quantiles import LEVELS, at_quantile
from safety_steer.reports.safety_report import measure, record
from safety_steer.steering.gate import gate_threshold, harmless_scores, open_gate
from safety_steer.steering.operators import OPERATORS
from safety_steer.steering.steer_conditioning import SteerSettings, steer_conditioning

HERE = slice(16 * UNSAFE, 16 * UNSAFE + 16)


def share_flagged(rows: list[Tensor], rate: float) -> float:
    return float(open_gate(builders.batch(rows), space(), rate=rate).flagged.double().mean())


def test_scores_are_those_of_two_small_networks() -> None:
    one, prompts = net(), builders.world().long(builders.world().benign(2, seed=5), 5, sentences=3)
    for name in SHAPES:
        assert getattr(one, name).dtype == torch.float32
    pooled = torch.stack([rows.mean(0) for rows in prompts]).double()
    hidden = gelu(pooled @ one.prompt_in.double().T + one.prompt_bias.double())
    assert torch.allclose(one.prompt_scores(pooled.float()).double(), hidden @ one.prompt_out.double(), atol=1e-3)
    found = cut(prompts)
    for row in (0, 5, len(found.owner) - 1):
        passage, prompt = found.means[row].double(), pooled[found.owner[row]]
        inner = one.passage_in.double() @ passage + one.passage_contrast.double() @ (passage - prompt)
        expected = float(gelu(inner + one.passage_bias.double()) @ one.passage_out.double())
        assert float(one.passage_scores(found)[row]) == pytest.approx(expected, abs=1e-3)


def test_the_rarer_of_the_whole_prompt_and_its_passages_counts_less_ln_2() -> None:
    found = cut([torch.randn(44, 3), torch.randn(7, 3), torch.randn(32, 3)])
    counts = [8, 0, 5]
    assert found.counts(3).tolist() == counts
    passages = torch.zeros(13)
    passages[2], passages[9] = 9.0, 1.0
    heard = join(torch.tensor([1.0, 2.0, 0.5, 4.0]), torch.tensor([3.0, 5.0, 3.0]), passages, found)
    expected = [(9 - 0.5) / 4 - math.log(8), 1.0, 1.0]
    assert expected[0] < 1.0
    assert heard.evidence.tolist() == pytest.approx([1 - math.log(2), 2.0, 1 - math.log(2)], abs=1e-6)
    assert float(heard.by_passage[2]) == pytest.approx(expected[0], abs=1e-6)
    loud = join(torch.tensor([1.0, 2.0, 0.5, 1.0]), torch.tensor([3.0, 5.0, 3.0]), passages, found)
    assert float(loud.evidence[0]) == pytest.approx(8.5 - math.log(8) - math.log(2), abs=1e-6)


@pytest.mark.parametrize("count", [2, 4, 16, 24])
def test_length_is_no_evidence(count: int) -> None:
    """The evidence of harmless prompts is no higher where there are more passages."""
    short, long = (open_gate(long_batch(400, 30, None, sentences), space()).scores for sentences in (2, count))
    for level in (0.5, 0.9):
        assert float(long.quantile(level)) <= float(short.quantile(level)) + 0.4


def test_one_unsafe_passage_opens_the_gate_of_a_long_harmless_prompt() -> None:
    harmless, unsafe = (open_gate(long_batch(40, 26, number), space()) for number in (None, UNSAFE))
    assert not bool(harmless.flagged.any())
    assert bool(unsafe.flagged.all())


@pytest.mark.parametrize("operator", OPERATORS)
def test_only_the_tokens_of_striking_passages_move(operator: str) -> None:
    states = long_batch()
    outcome = steer_conditioning(
        {"cross_attn": states}, builders.aligned_with_examples(), SteerSettings(operator=operator, strength=1.0)
    )
    assert outcome.gate is not None
    assert outcome.gate.reach is not None
    moved = (outcome.tensors["cross_attn"] != states).any(-1)
    assert not bool((moved & ~outcome.gate.reach).any())
    assert bool(moved[:, HERE].any(1).all())
    if operator == "add":
        assert torch.equal(moved, outcome.gate.reach)


def test_the_unsafe_sentence_may_move_and_most_harmless_tokens_may_not() -> None:
    decision = open_gate(long_batch(60), space())
    assert decision.reach is not None
    assert float(decision.reach[:, HERE].double().mean()) > 0.98
    away = torch.ones(16 * SENTENCES, dtype=torch.bool)
    away[HERE.start - PASSAGE : HERE.stop + PASSAGE] = False
    assert float(decision.reach[:, away].double().mean()) < 0.3


def test_prompts_of_fewer_than_64_tokens_may_move_as_a_whole() -> None:
    assert open_gate(long_batch(4, unsafe=1, sentences=3), space()).reach is None
    rows = [*builders.world().long(builders.world().benign(1, 5), 5, 1, 3), long_batch(1)[0]]
    decision = open_gate(builders.batch(rows), space())
    assert decision.reach is not None
    assert bool(decision.reach[0].all())
    assert not bool(decision.reach[1].all())


def test_a_long_prompt_without_a_rare_passage_may_move_in_its_most_striking_one() -> None:
    found = Passages(torch.zeros(13, 2), torch.zeros(13, 2), torch.zeros(13, dtype=torch.long), torch.arange(13) * 4)
    rare = torch.full((13,), -3.0)
    rare[5] = -0.5
    mask = torch.zeros(2, 70, dtype=torch.bool)
    mask[0, 3:67] = True
    within = reach(Heard(torch.zeros(2), found, rare), mask)
    assert within is not None
    assert within[0].nonzero()[:, 0].tolist() == list(range(23, 39))
    assert bool(within[1].all())


def test_a_gate_that_is_off_lets_every_token_move() -> None:
    states = long_batch(3)
    settings = SteerSettings(operator="add", gate="off")
    steered = steer_conditioning({"cross_attn": states}, builders.aligned_with_examples(), settings).tensors["cross_attn"]
    assert bool((steered != states).any(-1).all())


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("gate", ["hard", "soft"])
def test_strength_0_and_a_closed_gate_give_the_tensor_itself(operator: str, gate: str) -> None:
    aligned = builders.aligned_with_examples()
    for states, strength in ((long_batch(), 0.0), (long_batch(unsafe=None), 1.0), (builders.benign_batch(8), 1.0)):
        outcome = steer_conditioning(
            {"cross_attn": states}, aligned, SteerSettings(strength=strength, operator=operator, gate=gate)
        )
        assert outcome.tensors["cross_attn"] is states
        assert not outcome.changed


def test_a_batch_is_judged_and_steered_like_its_rows_alone() -> None:
    world, aligned = builders.world(), builders.aligned_with_examples()
    rows = [
        *long_batch(2),
        *world.long(world.benign(2, 7), 7),
        *world.target(world.pairs(2, 8)[1], 8),
        *world.target(world.benign(2, 9), 9),
    ]
    states = builders.batch(rows)
    outcome = steer_conditioning({"cross_attn": states}, aligned)
    assert outcome.gate is not None
    assert outcome.gate.reach is not None
    for number, row in enumerate(rows):
        alone = steer_conditioning({"cross_attn": row[None]}, aligned)
        assert alone.gate is not None
        assert float(alone.gate.scores) == pytest.approx(float(outcome.gate.scores[number]), abs=1e-3)
        may = torch.ones(len(row), dtype=torch.bool) if alone.gate.reach is None else alone.gate.reach[0]
        assert torch.equal(outcome.gate.reach[number, : len(row)], may)
        assert torch.allclose(alone.tensors["cross_attn"][0], outcome.tensors["cross_attn"][number, : len(row)], atol=1e-3)


def test_padding_alone_is_not_heard() -> None:
    decision = open_gate(torch.zeros(2, 80, builders.TARGET_WIDTH), space())
    assert decision.scores.tolist() == [-math.inf] * 2
    assert not bool(decision.flagged.any())


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.05, 0.1])
def test_unseen_harmless_prompts_open_the_gate_no_more_often_than_stated(rate: float) -> None:
    world = builders.world()
    for rows in (world.target(world.benign(2000, 21), 21), world.long(world.benign(800, 22), 22)):
        assert share_flagged(rows, rate) <= 1.3 * rate + 0.003


def test_a_gate_that_may_flag_one_in_ten_flags_some() -> None:
    world = builders.world()
    for rows in (world.target(world.benign(2000, 21), 21), world.long(world.benign(800, 22), 22)):
        assert share_flagged(rows, 0.1) >= 0.03


def test_unsafe_prompts_are_found() -> None:
    assert share_flagged(builders.world().target(builders.world().pairs(300, 25)[1], 25), 0.005) > 0.9


def test_hard_harmless_prompts_have_a_limit_of_their_own() -> None:
    assert [hard_rate(rate) for rate in (0.0, 0.005, 0.02, 0.1, 0.7)] == pytest.approx([0.0, 0.1, 0.4, 0.5, 0.7])
    for rate in (0.0, 0.005, 0.01, 0.1, 0.5):
        limits = at_quantile(net().ordinary, 1 - rate), at_quantile(net().hard, 1 - hard_rate(rate))
        assert gate_threshold(space(), rate) == pytest.approx(max(map(float, limits)))
    easy = replace(space(), harm=replace(net(), hard=net().ordinary - 100))
    strict = replace(space(), harm=replace(net(), hard=net().ordinary + 100))
    assert gate_threshold(easy, 0.01) == pytest.approx(float(at_quantile(net().ordinary, 0.99)))
    assert gate_threshold(strict, 0.01) > gate_threshold(easy, 0.01) + 50
    thresholds = [gate_threshold(space(), rate) for rate in (0.0, 0.005, 0.01, 0.1, 0.5, 0.99)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_hard_harmless_prompts_are_flagged_no_more_often_than_theirs() -> None:
    world = builders.world()
    latents = world.benign(800, 27) - 0.3 * world.shifts[torch.arange(800) % 2]
    for rate in (0.005, 0.01):
        assert share_flagged(world.target(latents, 27), rate) <= 1.3 * hard_rate(rate)


def test_a_soft_gate_ramps_from_the_threshold_over_half_the_way_to_the_harmless_middle() -> None:
    start, end = long_batch(1, unsafe=None), long_batch(1)
    openings = []
    for share in torch.linspace(0, 1, 21):
        decision = open_gate(torch.lerp(start, end, share), space(), "soft")
        ramp = (decision.threshold - float(at_quantile(net().ordinary, 0.5))) / 2
        expected = (float(decision.scores) - decision.threshold) / ramp
        assert float(decision.opening) == pytest.approx(min(max(expected, 0.0), 1.0), abs=1e-4)
        openings.append(float(decision.opening))
    assert openings[0] == 0
    assert openings[-1] == 1


def test_a_report_ranks_prompts_among_those_the_networks_were_calibrated_on() -> None:
    aligned, states = builders.aligned_with_examples(), long_batch(2)
    assert torch.equal(harmless_scores(space()), net().ordinary)
    for number, one in enumerate(measure(record(steer_conditioning({"cross_attn": states}, aligned)), aligned)):
        assert list(one.benign) == net().ordinary.tolist()
        assert one.before.score == float(open_gate(states, space()).scores[number])
        assert one.flagged
        assert one.before.share > LEVELS[-2]
        assert one.document() == type(one).parse(one.document()).document()
