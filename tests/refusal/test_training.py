"""Training on a tiny model: the refusal is learned, harmless requests are kept, and the states are the model's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import refusals, tiny_models, wording

from safety_steer.directions.prober import train_prober
from safety_steer.errors import DataError, EncoderError
from safety_steer.refusal import training
from safety_steer.refusal.evaluate import same_answers, write_answers
from safety_steer.refusal.head import RefusalHead
from safety_steer.refusal.language_model import LanguageModel, decoded, load_language_model, request_ids
from safety_steer.refusal.states import plain_states, refused_states
from safety_steer.refusal.training import TrainReport, TrainSettings, train, train_steer
from safety_steer.statistics import auroc

SETTINGS = TrainSettings(refusal=refusals.REFUSAL)
Made = tuple[LanguageModel, RefusalHead, TrainReport]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    writer = refusals.load_writer(tmp_path_factory.mktemp("writer"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 120)
        patch.setattr(training, "LEARNING_RATE", 1e-2)
        head, report = train(writer, refusals.pairs(), wording.sentences(20), SETTINGS)
    return writer, head, report


def test_the_refusal_is_learned_for_requests_of_that_kind(made: Made) -> None:
    writer, head, report = made
    assert report.loss_after < 0.5 * report.loss_before
    assert report.held_out_auroc > 0.9
    assert head.layer == max(report.curve, key=lambda row: row[1])[0] > 0
    assert head.threshold >= 0.5
    unsafe = [pair.unsafe for pair in refusals.pairs()]
    before = write_answers(writer, head, unsafe, 0.0, max_tokens=5)
    after = write_answers(writer, head, unsafe, max_tokens=5)
    said = [text == refusals.REFUSAL for text in decoded(writer, after.numbers)]
    assert refusals.REFUSAL not in decoded(writer, before.numbers)
    assert sum(said) >= 0.8 * len(said)


def test_requests_under_the_threshold_are_answered_as_before(made: Made) -> None:
    writer, head, _ = made
    harmless = [pair.safe for pair in refusals.pairs()]
    before, after = (write_answers(writer, head, harmless, strength, max_tokens=5) for strength in (0.0, None))
    closed = ~after.flagged
    assert int(closed.sum()) >= 0.9 * len(harmless)
    assert same_answers(before, after, closed) == int(closed.sum())
    assert torch.equal(before.scores, after.scores)
    assert after.document()["requests"] == len(harmless)


def test_training_is_the_same_every_time(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _, _ = made
    monkeypatch.setattr(training, "STEPS", 3)
    one, other = (train(writer, refusals.pairs(32), settings=SETTINGS)[0] for _ in range(2))
    assert torch.equal(one.steer, other.steer)
    assert torch.equal(one.prober.inner, other.prober.inner)
    assert one.threshold == other.threshold


def test_states_are_those_of_the_model_alone_and_unpadded(made: Made) -> None:
    writer, _, _ = made
    ids = request_ids(writer, ["a kite", "a young baker selling a red basket in the garden", "the map"])
    refusal = training.refusal_ids(writer, refusals.REFUSAL)
    assert refusal[-1] == 3
    refused, plain = refused_states(writer, ids, refusal), plain_states(writer, ids, 2)
    close = {"rtol": 1e-4, "atol": 1e-4}
    for row, numbers in enumerate(ids):
        with torch.no_grad():
            output = writer.text.model(input_ids=torch.tensor([[*numbers, *refusal[:-1]]]), output_hidden_states=True)
        for layer in range(3):
            torch.testing.assert_close(refused.layers[row, layer], output.hidden_states[layer][0, len(numbers) - 1], **close)
            torch.testing.assert_close(plain.layers[row, layer], output.hidden_states[layer][0, len(numbers) - 1], **close)
        torch.testing.assert_close(refused.final[row], output.last_hidden_state[0, len(numbers) - 1 :], **close)
        torch.testing.assert_close(plain.final[row], output.last_hidden_state[0, len(numbers) - 2 : len(numbers)], **close)


def test_w_brings_the_targets_and_keeps_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 200, bias=False)
    head.weight.data = torch.randn(200, 16, generator=generator)
    head.requires_grad_(False)
    hidden, kept = torch.randn(2, 60, 16, generator=generator)
    hidden[:, 0], kept[:, 0] = 6.0, 0.0
    weight = head.weight.clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 300)
        patch.setattr(training, "LEARNING_RATE", 1e-2)
        steer, (before, after) = train_steer(
            head, hidden, torch.full((60,), 7), kept, TrainSettings(strength=0.2), torch.device("cpu")
        )
    assert torch.equal(head.weight, weight)
    assert after < 0.2 * before
    moved = head(hidden + 0.2 * hidden @ steer.T).argmax(-1)
    assert float((moved == 7).float().mean()) > 0.9
    still = head(kept + 0.2 * kept @ steer.T).argmax(-1)
    assert float((still == head(kept).argmax(-1)).float().mean()) > 0.8


def test_prober_tells_what_no_line_can_tell() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(400, 8, generator=generator) * torch.tensor([100.0, *[1.0] * 7]) + 50
    inside = ((rows[:, 1:3] - 50) ** 2).sum(1) < 1.4
    train_rows, test_rows = slice(0, 300), slice(300, 400)
    prober = train_prober(rows[train_rows][inside[train_rows]], rows[train_rows][~inside[train_rows]])
    scores = prober.scores(rows[test_rows])
    assert auroc(scores[inside[test_rows]], scores[~inside[test_rows]]) > 0.9
    with pytest.raises(DataError, match="at least 10 states of each side, but got 7 unsafe"):
        train_prober(rows[:7], rows[7:])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (TrainSettings(refusal=" "), "The sentence to refuse with is empty"),
        (TrainSettings(refusal="two\nlines"), "Expected a refusal of one line"),
        (TrainSettings(system="x" * 5000), "Expected a system message of one line"),
        (TrainSettings(strength=0.0), "cannot be trained for strength 0"),
        (TrainSettings(strength=-1.0), "Expected a strength from 0 to 10, but got -1"),
        (TrainSettings(), "needs 32 pairs of requests or more, but got 31"),
    ],
)
def test_settings_are_checked_before_the_work(made: Made, settings: TrainSettings, says: str) -> None:
    pairs = refusals.pairs(31 if "31" in says else 32)
    with pytest.raises(DataError, match=says):
        train(made[0], pairs, settings=settings)


def test_a_model_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.save_model("t5", tmp_path / "t5")
    with pytest.raises(EncoderError, match="Cannot load a text model"):
        load_language_model(folder, "cpu")


def test_requests_are_framed_by_the_chat_template_where_there_is_one(made: Made) -> None:
    writer = made[0]
    with pytest.raises(DataError, match="There are no requests"):
        request_ids(writer, [])
    with pytest.raises(DataError, match="at most 2,048 are read"):
        request_ids(writer, ["a kite " * 1100])
    tokenizer = writer.text.tokenizer
    bare = request_ids(writer, ["a kite"], "the old map")
    assert tokenizer.decode(bare[0]) == "the old map a kite"
    tokenizer.chat_template = (
        "{% for turn in messages %}{{ 'red ' if turn.role == 'system' else 'blue ' }}{{ turn.content + ' ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'the' }}{% endif %}"
    )
    try:
        framed = request_ids(writer, ["a kite"], "old map")
        assert tokenizer.decode(framed[0]) == "red old map blue a kite the"
    finally:
        tokenizer.chat_template = None
