"""A model with a refusal head on: what a closed gate leaves alone, what an open one does, and that nothing stays behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import refusals
from torch import Tensor

from safety_steer.errors import DataError, MismatchError
from safety_steer.refusal.guard import Guard, embedding_rows, refusing
from safety_steer.refusal.head import RefusalHead
from safety_steer.refusal.language_model import LanguageModel, answers, left_padded, request_ids

REQUESTS = [pair.unsafe for pair in refusals.pairs(5)] + ["a kite in the old park", "the map", "a baker"]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return refusals.load_writer(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def head(writer: LanguageModel) -> RefusalHead:
    made = refusals.random_head()
    return replace(made, rows=embedding_rows(writer.causal.get_input_embeddings(), made.tokens, writer.device).half())


def logits(writer: LanguageModel, requests: list[str] = REQUESTS) -> Tensor:
    tokens, mask = left_padded(request_ids(writer, requests), 1)
    with torch.no_grad():
        found: Tensor = writer.causal(input_ids=tokens, attention_mask=mask).logits
    return found


def test_the_head_is_given_the_very_tensor_when_every_gate_is_closed_or_strength_is_0(head: RefusalHead) -> None:
    hidden, states = torch.randn(3, 4, 48), torch.randn(3, 4, 48)
    for guard in (Guard(head, 0.0, 0.0), Guard(head, 0.5, 1.0)):
        assert guard.change(hidden) is hidden
        guard.read(1, states)
        assert guard.change(hidden) is hidden
    assert Guard(head, 0.5, 0.0).change(hidden) is hidden, "nothing was read yet"


def test_open_rows_move_as_the_formula_says_and_closed_ones_not_a_bit(head: RefusalHead) -> None:
    generator = torch.Generator().manual_seed(0)
    states, hidden = torch.randn(6, 4, 48, generator=generator), torch.randn(6, 4, 48, generator=generator)
    vocabulary = torch.randn(90, 48, generator=generator)
    scores = head.prober.scores(states[:, -1])
    guard = Guard(head, 0.3, float(scores.median()))
    guard.read(1, states)
    before = hidden.clone()
    changed = guard.change(hidden)
    assert torch.equal(hidden, before)
    assert guard.open is not None
    assert 0 < int(guard.open.sum()) < 6
    assert torch.equal(changed[~guard.open], hidden[~guard.open])
    by_formula = hidden @ (vocabulary + 0.3 * vocabulary @ head.steer).T
    torch.testing.assert_close((changed @ vocabulary.T)[guard.open], by_formula[guard.open], rtol=1e-4, atol=1e-3)


def test_prober_says_what_the_network_says_in_any_dtype(head: RefusalHead) -> None:
    prober, states = head.prober, torch.randn(5, 48)
    network = torch.nn.Sequential(torch.nn.Linear(48, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2), torch.nn.Softmax(-1))
    for parameter, value in zip(
        network.parameters(), (prober.inner, prober.inner_bias, prober.outer, prober.outer_bias), strict=True
    ):
        parameter.data = value
    torch.testing.assert_close(prober.scores(states), network(states)[:, 1].detach())
    half = states.to(torch.bfloat16)
    assert torch.equal(prober.scores(half), prober.scores(half.float()))


def test_logits_and_answers_are_the_same_with_strength_0_and_with_closed_gates(
    writer: LanguageModel, head: RefusalHead
) -> None:
    alone, written = logits(writer), answers(writer, REQUESTS, 8)
    for strength, threshold in ((0.0, 0.0), (0.5, 1.0)):
        with refusing(writer, head, strength, threshold) as guard:
            assert torch.equal(logits(writer), alone)
            assert answers(writer, REQUESTS, 8) == written
            assert guard.open is not None
            assert bool(guard.open.all()) == (threshold == 0)


def test_open_requests_change_and_closed_ones_beside_them_do_not(writer: LanguageModel, head: RefusalHead) -> None:
    alone, written = logits(writer), answers(writer, REQUESTS, 8)
    with refusing(writer, head, 0.5, 0.0) as guard:
        logits(writer)
        assert guard.scores is not None
        threshold = float(guard.scores.median())
    with refusing(writer, head, 0.5, threshold) as guard:
        found = logits(writer)
        assert guard.open is not None
        opened = guard.open.clone()
        changed = answers(writer, REQUESTS, 8)
    assert 0 < int(opened.sum()) < len(REQUESTS)
    assert torch.equal(found[~opened], alone[~opened])
    assert not torch.equal(found[opened], alone[opened])
    assert [row == other for row, other in zip(changed, written, strict=True)].count(False) > 0
    assert all(changed[row] == written[row] for row in (~opened).nonzero().flatten().tolist())


def test_the_gate_is_read_from_the_last_token_of_its_layer_and_holds_while_writing(
    writer: LanguageModel, head: RefusalHead
) -> None:
    tokens, mask = left_padded(request_ids(writer, REQUESTS[:3]), 1)
    with torch.no_grad():
        states = writer.causal(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    expected = head.prober.scores(states[head.layer][:, -1])
    with refusing(writer, head) as guard:
        answers(writer, REQUESTS[:3], 4)
        assert guard.scores is not None
        order = [REQUESTS.index(request) for request in REQUESTS[:3]]
        torch.testing.assert_close(guard.scores.sort().values, expected[order].sort().values, rtol=1e-4, atol=1e-5)


def test_nothing_stays_on_the_model_even_after_an_error(writer: LanguageModel, head: RefusalHead) -> None:
    def hooks() -> int:
        return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in writer.causal.modules())

    alone, hooked = logits(writer), hooks()
    before = {name: value.clone() for name, value in writer.causal.state_dict().items()}
    with refusing(writer, head, 0.5, 0.0):
        logits(writer)
        assert hooks() == hooked + 2
    with pytest.raises(DataError, match="There are no requests"), refusing(writer, head, 0.5, 0.0):
        answers(writer, [], 3)
    assert hooks() == hooked
    assert torch.equal(logits(writer), alone)
    assert all(torch.equal(value, before[name]) for name, value in writer.causal.state_dict().items())


def test_another_model_is_refused(writer: LanguageModel, head: RefusalHead, tmp_path: Path) -> None:
    wide = refusals.load_writer(tmp_path / "wide", width=64)
    with (
        pytest.raises(MismatchError, match=r"3 blocks of width 48\), but got a model with 3 blocks of width 64"),
        refusing(wide, head),
    ):
        pass
    other = refusals.load_writer(tmp_path / "other", seed=1)
    with pytest.raises(MismatchError, match="has other embeddings"), refusing(other, head):
        pass
    far = replace(head, tokens=torch.tensor([4, 7, 10_000]))
    with pytest.raises(MismatchError, match="has other embeddings"), refusing(writer, far):
        pass
    with pytest.raises(MismatchError, match="width 48, but got 47"):
        head.prober.scores(torch.randn(2, 47))


@pytest.mark.parametrize(("strength", "threshold"), [(-0.1, 0.5), (11.0, 0.5), (float("nan"), 0.5), (0.1, -0.1), (0.1, 1.1)])
def test_settings_out_of_range_are_refused(head: RefusalHead, strength: float, threshold: float) -> None:
    with pytest.raises(DataError, match=r"Expected a (strength|threshold) from 0"):
        Guard(head, strength, threshold)
