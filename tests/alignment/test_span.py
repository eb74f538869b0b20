"""A wide space in its own axes: nothing a prompt says is lost where few prompts name them, and weights go back to channels."""

from __future__ import annotations

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.alignment import anchors, harm_fit, reducer
from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, collect, collect_passages, spans_of
from safety_steer.alignment.span import Span
from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.passages import Passages
from safety_steer.directions.pooling import cut
from safety_steer.directions.space_file import space_tensors
from safety_steer.errors import AlignmentError, EncoderError
from safety_steer.steering.gate import open_gate

SPACE, WIDTH = "cross_attn", 300


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prompts(count: int, longest: int = 8, seed: int = 1) -> list[Tensor]:
    """Token states of prompts that differ in 20 dimensions out of 300, with outlier channels."""
    mixing = seeded(20, WIDTH, seed=2) * (1 + 50 * (torch.arange(WIDTH) % 97 == 0))
    return [3 + seeded(1 + row * 7 % longest, 20, seed=seed + row) @ mixing for row in range(count)]


@pytest.fixture(autouse=True)
def _narrow_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "WIDEST", 100)


def test_weights_read_channels_as_they_read_coordinates() -> None:
    pooled = torch.stack([rows.mean(0) for rows in prompts(80)])
    span = Span.around(pooled)
    assert span.axes.shape == (20, WIDTH)
    torch.testing.assert_close(span.axes.float() @ span.axes.float().T, torch.eye(20), atol=2e-3, rtol=0)
    back = span.standardised(span.coordinates(pooled))
    torch.testing.assert_close(back, ((pooled - span.mean) / span.scale).float(), atol=5e-3, rtol=5e-3)
    weights = seeded(5, 20)
    raw = span.standardised(weights).double() / span.scale
    read = (pooled.double() @ raw.T - raw @ span.mean).float()
    torch.testing.assert_close(read, span.coordinates(pooled) @ weights.T, atol=1e-3, rtol=1e-3)


def test_networks_hear_channels_as_they_hear_coordinates() -> None:
    rows = prompts(40, longest=60)
    pooled = torch.stack([part.mean(0) for part in rows])
    span, found = Span.around(pooled), cut(rows)
    parts = [seeded(4, 20, seed=7), seeded(4), seeded(4), seeded(4, 20, seed=8), seeded(4, 20, seed=9), seeded(4), seeded(4)]
    net = HarmNet(*parts, units=torch.zeros(4), ordinary=torch.zeros(17), hard=torch.zeros(17))
    inside = Passages(span.coordinates(found.means), span.coordinates(found.whole), found.owner, found.starts)
    lifted = span.lifted(net)
    torch.testing.assert_close(lifted.prompt_scores(pooled), net.prompt_scores(span.coordinates(pooled)), atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(lifted.passage_scores(found), net.passage_scores(inside), atol=2e-3, rtol=1e-3)


def test_prompts_after_the_first_are_kept_as_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducer, "FIRST", 100)
    monkeypatch.setattr(reducer, "WAITING_BYTES", 7 * 4 * WIDTH)
    rows = prompts(260, longest=50)
    batches = [{SPACE: rows[start : start + 30]} for start in range(0, 260, 30)]
    [found] = collect(batches, 260, token_budget=0, fewest=70, spans={}).values()
    assert len(found) == 260
    assert found.reduced is not None
    assert len(found.pooled) == len(found.tokens) == 70
    whole = torch.stack([part.mean(0) for part in rows])
    torch.testing.assert_close(found.pooled, whole[:70])
    torch.testing.assert_close(found.reduced.pooled, found.reduced.span.coordinates(whole), atol=2e-3, rtol=2e-3)
    assert float(found.reduced.pooled.mean(0).abs().max()) < 1e-4
    torch.testing.assert_close(found.reduced.span.mean.float(), whole.mean(0), atol=0.1, rtol=0.01)
    owners = {row for row in range(260) if len(rows[row]) >= 32 and not 70 <= row < 100}
    assert set(found.reduced.passages.owner.tolist()) == owners


def test_long_prompts_are_cut_as_they_come() -> None:
    rows = prompts(90, longest=60)
    states = collect([{SPACE: rows}], 90, spans={})
    [long] = collect_passages([{SPACE: rows[:50]}, {SPACE: rows[50:]}], 90, spans_of(states)).values()
    assert long.reduced is not None
    assert list(long.tokens) == []
    expected, span = cut(rows), long.reduced.span
    assert torch.equal(long.reduced.passages.owner, expected.owner)
    torch.testing.assert_close(long.reduced.passages.means, span.coordinates(expected.means), atol=0.05, rtol=0.01)
    torch.testing.assert_close(long.reduced.passages.whole, span.coordinates(expected.whole), atol=0.05, rtol=0.01)


def test_states_that_cannot_be_reduced_are_refused() -> None:
    rows = prompts(70)
    with pytest.raises(EncoderError, match="70 states of cross_attn for 71"):
        collect([{SPACE: rows}], 71, spans={})
    with pytest.raises(EncoderError, match="NaN or Inf"):
        collect([{SPACE: [*rows[:-1], rows[-1] * float("nan")]}], 70, spans={})
    same = collect([{SPACE: [torch.full((3, WIDTH), 0.3)] * 400}], 400, spans={})
    with pytest.raises(AlignmentError, match="the same cross_attn"):
        align(builders.planted_direction(), same, "constant")
    assert collect([{SPACE: rows}], 70)[SPACE].reduced is None


def widened(states: AnchorStates) -> list[Tensor]:
    """Widen planted states to 1,100 channels, more than single tokens are read with exactly."""
    lift = seeded(28, 1100, seed=6)
    return [rows.float() @ lift for rows in states.tokens]


@pytest.mark.parametrize("name", ["ridge", "svd"])
def test_a_reduced_space_is_aligned_as_the_whole_one_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducer, "FIRST", 200)
    rows = widened(builders.planted_states())
    full, reduced = (
        align(builders.planted_direction(), collect([{SPACE: rows}], 400, spans=spans), "wide", AlignSettings(map=name))
        for spans in (None, {})
    )
    for field in ("vectors", "mean", "scale", "gate_quantiles"):
        expected, found = (space_tensors(part.spaces[SPACE])[field] for part in (full, reduced))
        assert float((found - expected).norm() / expected.norm()) < 0.05, field
    # Along channels in which no prompt differs, readings are as they happen to be.
    tokens = torch.cat(rows)
    for read in (AlignedSpace.unsafe_reading, AlignedSpace.safe_score):
        expected, found = (read(part.spaces[SPACE], tokens) for part in (full, reduced))
        assert float((found - expected).norm() / expected.norm()) < 0.05, read
    assert reduced.report[SPACE]["r2"] == pytest.approx(full.report[SPACE]["r2"], abs=0.01)


def test_networks_of_a_reduced_space_decide_as_those_of_the_whole_one_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducer, "FIRST", 200)
    monkeypatch.setattr(harm_fit, "AXES", 32)
    direction = builders.direction_with_examples()
    rows, long = widened(builders.states_with_examples()), widened(builders.passage_states())
    full, reduced = (collect([{SPACE: rows}], len(rows), spans=spans) for spans in (None, {}))
    passages = [collect([{SPACE: long}], len(long)), collect_passages([{SPACE: long}], len(long), spans_of(reduced))]
    with pytest.raises(AlignmentError, match="the anchors' spans"):
        align(direction, reduced, "mixed", passages=passages[0])
    spaces = [
        align(direction, part, "wide", passages=further).spaces[SPACE]
        for part, further in zip((full, reduced), passages, strict=True)
    ]
    unsafe = builders.world().target(builders.world().pairs(100, 25)[1], 25)
    lift = seeded(28, 1100, seed=6)
    for states in (unsafe, builders.planted_states().tokens[:100]):
        decisions = [open_gate(builders.batch([rows.float() @ lift for rows in states]), space, rate=0.05) for space in spaces]
        assert float((decisions[0].flagged == decisions[1].flagged).double().mean()) >= 0.95
