"""Safety reports as values: what they say agrees with the tensors, and nothing moved is nothing reported."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer import SteerSettings, steer_conditioning
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.pooling import phrase_peaks, pool, token_peaks
from safety_steer.directions.quantiles import LEVELS, at_quantile
from safety_steer.errors import FileFormatError
from safety_steer.reports.safety_report import Record, SafetyReport, measure, record, with_words
from safety_steer.reports.text import as_text, sentence, standing, verdict
from safety_steer.reports.token_words import Word, numbered
from safety_steer.steering.gate import gate_threshold, joined_evidence, open_gate, opening_log_odds, witnesses
from safety_steer.steering.operators import OPERATORS

NOTHING = "Not flagged: nothing was changed."


def two_spaces() -> AlignedDirection:
    aligned = builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    return replace(aligned, spaces={"cross_attn": space, "pooled_output": space})


def reports(states: Tensor, aligned: AlignedDirection | None = None, **settings: object) -> list[SafetyReport]:
    aligned = aligned or builders.planted_aligned()
    outcome = steer_conditioning({"cross_attn": states}, aligned, SteerSettings(**settings))  # type: ignore[arg-type]
    return measure(record(outcome), aligned)


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_unflagged_prompt_reports_no_movement(operator: str) -> None:
    for one in reports(builders.benign_batch(5), operator=operator):
        assert not one.flagged
        assert not one.changed
        assert one.before == one.after
        assert one.spaces[0].before == one.spaces[0].after
        assert not any(one.spaces[0].moved)
        assert sentence(one) == NOTHING


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_tokens_that_are_reported_are_those_that_moved(operator: str, dtype: torch.dtype) -> None:
    states, aligned = builders.unsafe_batch().to(dtype), builders.planted_aligned()
    kept = states.clone()
    outcome = steer_conditioning({"cross_attn": states}, aligned, SteerSettings(operator=operator))
    found = measure(record(outcome), aligned)
    assert torch.equal(states, kept)
    assert len(found) == len(states)
    steered, padding = outcome.tensors["cross_attn"], (states == 0).all(-1)
    assert bool(padding.any())
    for row, one in enumerate(found):
        space = one.spaces[0]
        distance = (steered[row].float() - states[row].float()).norm(dim=-1) / states[row].float().norm(dim=-1).clamp(min=1e-12)
        assert torch.allclose(torch.tensor(space.moved), distance)
        assert [moved > 0 for moved in space.moved] == (steered[row] != states[row]).any(-1).tolist()
        assert list(space.padding) == padding[row].tolist()
        assert all(
            before == after == 0 for before, after, pad in zip(space.before, space.after, space.padding, strict=True) if pad
        )
        assert any(space.erased) == (operator == "erase")
        assert one.flagged
        assert one.changed
        assert one.after.score < one.before.score


def test_readings_are_in_units_of_the_rare_harmless_token() -> None:
    states, aligned = builders.unsafe_batch(1), builders.planted_aligned()
    space = aligned.spaces["cross_attn"]
    limits = at_quantile(space.tokens.token_quantiles, 0.995)
    real = (states[0] != 0).any(-1)
    expected = (space.unsafe_reading(states[0]) / limits).amax(-1) * real
    assert torch.allclose(torch.tensor(reports(states)[0].spaces[0].before), expected)
    blades = replace(aligned, strengths={"blades": 1.0})
    column = aligned.categories.index("blades")
    expected = (space.unsafe_reading(states[0])[:, column] / limits[column]) * real
    assert torch.allclose(torch.tensor(reports(states, blades)[0].spaces[0].before), expected, atol=1e-6)


def test_the_score_before_steering_is_the_score_of_the_gate() -> None:
    states, space = builders.unsafe_batch(), builders.planted_aligned().spaces["cross_attn"]
    decision = open_gate(states, space)
    for row, one in enumerate(reports(states)):
        assert one.before.score == float(decision.scores[row])
        assert one.before.by_category == tuple(decision.by_category[row].tolist())
        assert one.threshold == decision.threshold == gate_threshold(space)
        assert one.category == builders.planted_aligned().categories[1:][int(decision.by_category[row].argmax())]


def test_the_gate_opens_where_the_line_is_drawn() -> None:
    states = torch.cat([builders.unsafe_batch(3)[:, :4], builders.benign_batch(3)[:, :4]])
    space = builders.planted_aligned().spaces["cross_attn"]
    decision = open_gate(states, space)
    mask = (states != 0).any(-1)
    unsafe = space.unsafe_reading(states)
    alone = opening_log_odds(space, decision)[:, None]
    heard = witnesses(space.tokens, alone, token_peaks(unsafe, mask), phrase_peaks(unsafe, mask))
    assert torch.allclose(
        joined_evidence(space.gate.gate_quantiles[:3], space.gate.witness_weights, heard),
        torch.full((6,), decision.threshold),
        atol=1e-4,
    )
    deaf = replace(space, gate=replace(space.gate, witness_weights=torch.tensor([0.0, 1.0, 1.0])))
    assert bool(opening_log_odds(deaf, decision).isnan().all())


def test_shares_of_harmless_prompts_follow_the_stored_quantiles() -> None:
    [one] = reports(builders.benign_batch(1))
    benign = builders.planted_aligned().spaces["cross_attn"].gate.gate_quantiles[-1]
    assert list(one.benign) == benign.tolist()
    below = [level for level, value in zip(LEVELS, benign.tolist(), strict=True) if value <= one.before.score]
    assert max(below) <= one.before.share <= min(level for level in LEVELS if level > max(below))
    assert reports(builders.unsafe_batch(1))[0].before.share == 1.0


def test_the_gate_of_the_settings_decides_what_is_flagged() -> None:
    strict, gentle = (reports(builders.benign_batch(1), false_positive_rate=rate)[0] for rate in (0.02, 0.002))
    space = builders.planted_aligned().spaces["cross_attn"]
    assert strict.threshold == gate_threshold(space, 0.02) < gate_threshold(space, 0.002) == gentle.threshold


def test_strength_0_is_measured_and_said() -> None:
    unsafe, harmless = reports(builders.unsafe_batch(1), strength=0.0), reports(builders.benign_batch(1), strength=0.0)
    assert not unsafe[0].changed
    assert not unsafe[0].steered
    assert "every strength is 0, so nothing was changed" in sentence(unsafe[0])
    assert sentence(harmless[0]) == NOTHING


def test_steered_text_that_was_not_used_is_no_movement() -> None:
    outcome = steer_conditioning({"cross_attn": builders.unsafe_batch(1)}, builders.planted_aligned())
    assert outcome.changed
    [one] = measure(record(outcome, used=False), builders.planted_aligned())
    assert not one.changed
    assert not any(one.spaces[0].erased)
    assert sentence(one) == f"Flagged as {one.category}, but nothing was changed."


def test_a_record_keeps_what_came_in_itself() -> None:
    tensors = {"cross_attn": builders.unsafe_batch(1), "pooled_output": pool(builders.unsafe_batch(1)), "other": torch.ones(1)}
    kept = record(steer_conditioning(tensors, two_spaces()))
    assert list(kept.before) == list(kept.after) == ["cross_attn", "pooled_output"]
    assert all(kept.before[name] is tensors[name] for name in kept.before)
    benign = {"cross_attn": builders.benign_batch(1)}
    kept = record(steer_conditioning(benign, builders.planted_aligned()))
    assert kept.after["cross_attn"] is kept.before["cross_attn"] is benign["cross_attn"]


def test_every_space_is_reported_and_the_one_with_several_tokens_is_shown() -> None:
    states = builders.unsafe_batch(2)
    aligned = two_spaces()
    swapped = replace(aligned, spaces=dict(reversed(list(aligned.spaces.items()))))
    outcome = steer_conditioning({"cross_attn": states, "pooled_output": pool(states)}, swapped)
    for one in measure(record(outcome), swapped):
        assert [space.name for space in one.spaces] == ["pooled_output", "cross_attn"]
        assert [len(space.before) for space in one.spaces] == [1, states.shape[1]]
        assert one.shown.name == "cross_attn"


@pytest.mark.parametrize(
    "states", [builders.unsafe_batch(2), builders.benign_batch(2), torch.zeros(1, 5, builders.TARGET_WIDTH)]
)
def test_a_document_is_json_and_reads_back_the_same(states: Tensor) -> None:
    for one in reports(states, operator="erase"):
        named = with_words(one, {"cross_attn": numbered(states.shape[1]), "elsewhere": (Word("x", 0, 1),)})
        document = json.loads(json.dumps(named.document(), allow_nan=False))
        assert document["flagged"] == one.flagged
        again = SafetyReport.parse(document)
        assert again.document() == named.document()
        assert again == named


def test_a_document_of_another_kind_is_refused() -> None:
    with pytest.raises(FileFormatError, match="Expected a file of kind 'safety-report'"):
        SafetyReport.parse({"kind": "direction"})


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every value of a JSON document stands."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from places(item, (*at, key))


def test_a_document_with_any_part_missing_or_odd_is_refused() -> None:
    [one] = reports(builders.unsafe_batch(1), operator="erase")
    document = with_words(one, {"cross_attn": (Word("x", 0, 1),)}).document()
    found = [place for place in places(document) if place != ("flagged",)]  # said for readers, and worked out anew
    assert len(found) > 30
    for *way, last in found:
        for odd in (None, object()):
            broken = copy.deepcopy(document)
            holder = broken
            for key in way:
                holder = holder[key]
            if odd is not None:
                holder[last] = odd
            elif isinstance(holder, dict):
                del holder[last]
            else:
                continue
            with pytest.raises(FileFormatError):
                SafetyReport.parse(broken)


def test_a_prompt_of_nothing_but_padding_has_no_score_and_no_movement() -> None:
    [one] = reports(torch.zeros(1, 5, builders.TARGET_WIDTH))
    assert one.document()["before"]["score"] is None
    assert not one.flagged
    assert all(one.spaces[0].padding)
    assert sentence(one) == NOTHING


def test_sentences_count_words_and_leave_out_frames_padding_and_punctuation() -> None:
    states = builders.unsafe_batch(1)[:, :4]
    [one] = reports(states)
    space = replace(
        one.spaces[0],
        moved=(0.5, 0.5, 0.5, 0.5, 0.0, 0.0),
        erased=(False, True, True, False, False, False),
        before=(0.0,) * 6,
        after=(0.0,) * 6,
        padding=(False,) * 5 + (True,),
        words=(Word("start", 0, 1, True), Word("knife", 1, 3), Word("sea", 3, 4), Word(",", 4, 5), Word("", 5, 6)),
    )
    made = replace(one, spaces=(space,))
    assert sentence(made) == "Flagged as blades: 1 of 2 words was taken out, and 1 other turned toward safe."
    assert "cross_attn, taken out: knife\n  cross_attn, moved toward safe: sea" in as_text(made, sentence(made))
    gentle = replace(space, erased=(False,) * 6)
    assert sentence(replace(made, spaces=(gentle,))) == "Flagged as blades: 2 of 2 words were moved toward safe."
    unknown = replace(gentle, words=())
    assert sentence(replace(made, spaces=(unknown,))) == "Flagged as blades: 4 of 5 tokens were moved toward safe."


def test_an_open_gate_steers_a_harmless_prompt_and_says_so() -> None:
    [one] = reports(builders.benign_batch(1), operator="add", gate="off")
    assert sentence(one).startswith("Not flagged, but steered all the same: ")


def test_the_verdict_before_sampling_and_the_standing() -> None:
    [unsafe], [harmless] = reports(builders.unsafe_batch(1)), reports(builders.benign_batch(1))
    assert verdict(unsafe) == f"Stands out as {unsafe.category}: the gate would open for this prompt."
    assert verdict(harmless).startswith("Harmless to the gate")
    assert "stands out more than any of the harmless prompts" in standing(unsafe)
    assert f"{100 * harmless.before.share:.1f} of 100 harmless prompts" in standing(harmless)


def test_text_that_was_left_alone_is_named() -> None:
    states = builders.benign_batch(1)
    [one] = measure(Record({"cross_attn": states}, {"cross_attn": states}, left_alone=("pooled_output",)), two_spaces())
    assert "left alone, because the direction is not aligned to it: pooled_output" in as_text(one, sentence(one))
