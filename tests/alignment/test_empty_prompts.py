"""A prompt of no tokens at all (Lens gives one for an empty text): nothing to steer, and nothing breaks."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
import torch
from support import builders

from safety_steer import SteerSettings, steer_conditioning
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import ImageRowReading
from safety_steer.directions.pooling import pool
from safety_steer.reports.picture import draw_reports
from safety_steer.reports.safety_report import measure, record
from safety_steer.reports.summary import summary
from safety_steer.reports.text import as_text, sentence
from safety_steer.steering.gate import MODES
from safety_steer.steering.operators import OPERATORS, steer
from safety_steer.steering.steer_conditioning import Outcome

EMPTY = torch.zeros(2, 0, builders.TARGET_WIDTH)


def with_pictures() -> AlignedDirection:
    """An alignment to an encoder that takes pictures."""
    aligned = builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    width = space.width
    told = replace(space, images=ImageRowReading(torch.ones(3, width), torch.ones(3), torch.ones(width)))
    return replace(aligned, spaces=MappingProxyType({"cross_attn": told}))


ALIGNED = {"witnesses": builders.planted_aligned, "networks": builders.aligned_with_examples, "pictures": with_pictures}


def outcome_of(kind: str, operator: str = "erase", gate: str = "hard", pictured: bool = False) -> Outcome:
    settings = SteerSettings(operator=operator, gate=gate)
    return steer_conditioning({"cross_attn": EMPTY}, ALIGNED[kind](), settings, pictured=pictured)


@pytest.mark.parametrize("kind", ALIGNED)
@pytest.mark.parametrize("gate", MODES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_prompt_without_tokens_comes_back_itself(operator: str, gate: str, kind: str) -> None:
    for pictured in (False, True):
        outcome = outcome_of(kind, operator, gate, pictured)
        assert outcome.tensors["cross_attn"] is EMPTY
        assert not outcome.changed
        assert "cross_attn: unchanged" in summary(outcome, ALIGNED[kind]())
        assert "prompt 2: nothing to steer, as it has no tokens" in summary(outcome, ALIGNED[kind]())


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_by_itself_takes_one(operator: str) -> None:
    aligned = builders.planted_aligned()
    steered = steer(EMPTY, aligned.spaces["cross_attn"], aligned.categories, {"global": 1.0, "blades": 1.0}, operator)
    assert steered.states is EMPTY
    assert steered.moved.shape == (2, 0)


@pytest.mark.parametrize("kind", ALIGNED)
def test_a_report_on_one_says_that_nothing_was_changed(kind: str) -> None:
    aligned = ALIGNED[kind]()
    reports = measure(record(outcome_of(kind)), aligned)
    assert len(reports) == 2
    for report in reports:
        assert sentence(report) == "Not flagged: nothing was changed."
        assert "unchanged" in as_text(report, sentence(report))
    assert draw_reports(reports).height > 0


def test_another_space_of_the_same_prompt_is_steered_all_the_same() -> None:
    aligned = builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    both = replace(aligned, spaces=MappingProxyType({"cross_attn": space, "pooled_output": space}))
    pooled = pool(builders.unsafe_batch(2))
    settings = SteerSettings(operator="add", gate="off")
    outcome = steer_conditioning({"cross_attn": EMPTY, "pooled_output": pooled}, both, settings)
    assert outcome.tensors["cross_attn"] is EMPTY
    assert not torch.equal(outcome.tensors["pooled_output"], pooled)
