"""Collecting anchors: what is kept, what is refused, and knowing the source model again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import builders, tiny_models, wording
from torch import Tensor

from safety_steer.alignment import anchors as anchors_module
from safety_steer.alignment.anchors import (
    check_source,
    choose_anchors,
    choose_passages,
    collect,
    encode_anchors,
    first_anchors,
    source_activations,
    with_anchors,
)
from safety_steer.directions.gate_examples import GateExamples
from safety_steer.directions.source import SafetyDirection, rounded
from safety_steer.errors import AlignmentError, EncoderError, MismatchError
from safety_steer.extraction.extract_direction import extract
from safety_steer.extraction.representative import representative
from safety_steer.extraction.text_model import TextModel, load_text_model, token_states

Choose = Callable[[SafetyDirection, int], list[int]]


@pytest.fixture(scope="module")
def llama(models: dict[str, Path]) -> TextModel:
    return load_text_model(models["llama"], "cpu")


@pytest.fixture(scope="module")
def direction(llama: TextModel) -> SafetyDirection:
    return extract(llama, wording.stand_in_pairs(), wording.sentences(80), layer=2)


def states(count: int, width: int = 6, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2 + number % 4, width, generator=generator) for number in range(count)]


def test_batches_are_gathered_in_order_and_pooled_over_real_tokens() -> None:
    rows = states(7)
    padded = [torch.cat([row, torch.zeros(3, 6)]) for row in rows]
    gathered = collect([{"cross_attn": padded[:3]}, {"cross_attn": padded[3:]}], 7)["cross_attn"]
    assert torch.allclose(gathered.pooled, torch.stack([row.mean(0) for row in rows]), atol=1e-6)
    assert [len(kept) for kept in gathered.tokens] == [len(row) for row in rows]
    assert torch.allclose(gathered.tokens[4].float(), rows[4], atol=1e-2)


def test_token_states_stop_at_the_budget_but_never_before_64_prompts() -> None:
    rows = [torch.ones(1, 6) for _ in range(100)]
    assert len(collect([{"a": rows}], 100, token_budget=0)["a"].tokens) == 64
    assert len(collect([{"a": rows}], 100, token_budget=80 * 12)["a"].tokens) == 80
    assert len(collect([{"a": rows}], 100)["a"].tokens) == 100
    assert len(collect([{"a": rows}], 100, token_budget=0)["a"].pooled) == 100


def test_states_beyond_half_precision_are_kept_finite() -> None:
    gathered = collect([{"a": [torch.full((2, 3), 1e6)] * 3}], 3)["a"]
    assert bool(torch.isfinite(gathered.tokens[0]).all())
    assert float(gathered.pooled.max()) == 1e6


def test_spaces_that_come_and_go_are_refused() -> None:
    with pytest.raises(EncoderError, match="for some prompts"):
        collect([{"a": states(2), "b": states(2)}, {"a": states(2)}], 4)
    with pytest.raises(EncoderError, match="for some prompts"):
        collect([{"a": states(2)}, {"b": states(2)}], 4)


@pytest.mark.parametrize("count", [3, 5])
def test_another_number_of_states_is_refused(count: int) -> None:
    with pytest.raises(EncoderError, match="4 states of a for"):
        collect([{"a": states(4)}], count)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_states_that_are_not_finite_are_refused(value: float) -> None:
    rows = states(4)
    rows[2][0, 1] = value
    with pytest.raises(EncoderError, match="NaN or Inf in a"):
        collect([{"a": rows}], 4)


@pytest.mark.parametrize("choose", [choose_anchors, first_anchors])
def test_of_an_older_direction_the_first_anchors_are_chosen_and_at_least_64(choose: Choose) -> None:
    direction = builders.planted_direction()
    assert choose(direction, 100) == list(range(100))
    assert choose(direction, 10**6) == list(range(400))
    for number in (63, 0, -1):
        with pytest.raises(AlignmentError, match="at least 64"):
            choose(direction, number)
    with pytest.raises(AlignmentError, match="got 6"):
        choose_anchors(builders.small_direction(), 4096)


def test_of_a_newer_direction_those_are_chosen_that_stand_for_all_by_kind() -> None:
    direction = builders.direction_with_examples()
    assert direction.examples is not None
    hard = direction.examples.hard
    for many in (len(hard), 10**6):
        assert choose_anchors(direction, many) == list(range(len(hard)))
    half = choose_anchors(direction, len(hard) // 2)
    assert half == representative(direction.anchor_activations, hard, len(hard) // 2)
    assert half != list(range(len(hard) // 2))
    assert int(hard[half].sum()) == int(hard.sum()) // 2
    assert first_anchors(direction, 100) == list(range(100))
    with pytest.raises(AlignmentError, match="at least 64"):
        choose_anchors(direction, 63)


def test_of_own_prompts_the_first_ones_are_taken() -> None:
    direction = builders.direction_with_examples()
    assert direction.examples is not None
    own = replace(direction, examples=replace(direction.examples, hard=torch.zeros_like(direction.examples.hard)))
    assert choose_anchors(own, 10**6) == list(range(len(own.anchors)))
    assert choose_anchors(own, 120) == list(range(120))


def test_the_choice_is_the_same_from_a_file(tmp_path: Path) -> None:
    direction = builders.direction_with_examples()
    direction.save(tmp_path / "kept.safetensors")
    assert choose_anchors(SafetyDirection.load(tmp_path / "kept.safetensors"), 100) == choose_anchors(direction, 100)


@pytest.mark.parametrize(("max_anchors", "count"), [(400, 85), (10**6, 85), (200, 43), (300, 64), (64, 32), (1, 32)])
def test_passages_are_as_large_a_share_as_the_anchors_but_at_least_32(max_anchors: int, count: int) -> None:
    direction = with_passages(builders.planted_direction(), 170)
    assert choose_passages(direction, max_anchors) == direction.passages[:count]


def test_of_many_passages_the_shorter_half_is_taken_in_order() -> None:
    direction = with_passages(builders.planted_direction(), 200)
    assert direction.examples is not None
    mixed = tuple("a" * (200 - number) for number in range(200))
    direction = replace(direction, examples=replace(direction.examples, passages=mixed))
    assert choose_passages(direction, 10**6) == mixed[100:]


def test_few_passages_are_all_taken_and_none_are_none() -> None:
    direction = builders.planted_direction()
    assert choose_passages(with_passages(direction, 20), 64) == tuple(f"passage {number}" for number in range(20))
    assert choose_passages(with_passages(direction, 0), 64) == ()
    assert choose_passages(replace(direction, examples=None), 64) == ()


def test_own_thresholds_need_no_passages() -> None:
    direction = with_passages(builders.planted_direction(), 170)
    assert choose_passages(direction, 400, "own") == ()
    assert choose_passages(direction, 400, "all") == direction.passages[:85]


def with_passages(direction: SafetyDirection, count: int) -> SafetyDirection:
    """Give a direction examples with so many passages."""
    passages = tuple(f"passage {number}" for number in range(count))
    hard = torch.zeros(len(direction.anchors), dtype=torch.bool)
    return replace(direction, examples=GateExamples(direction.unsafe_means.half(), torch.ones(3), hard, passages))


def test_anchors_are_the_token_states_at_that_layer(llama: TextModel) -> None:
    prompts = wording.sentences(5)
    gathered = encode_anchors(llama, prompts, 2)
    assert list(gathered) == ["cross_attn"]
    for row, expected in zip(gathered["cross_attn"].pooled, token_states(llama, prompts, 2), strict=True):
        assert torch.allclose(row, expected.mean(0), atol=1e-5)


def test_the_source_model_is_known_again(llama: TextModel, direction: SafetyDirection) -> None:
    check_source(direction, llama)


def test_a_model_of_another_size_is_not_the_source(direction: SafetyDirection, tmp_path: Path) -> None:
    wide = load_text_model(tiny_models.save_model("llama", tmp_path / "wide", width=32), "cpu")
    with pytest.raises(MismatchError, match="has width 32, depth 3"):
        check_source(direction, wide)


def test_another_model_of_the_same_size_is_not_the_source(
    models: dict[str, Path], direction: SafetyDirection, tmp_path: Path
) -> None:
    twin = load_text_model(tiny_models.save_model("llama", tmp_path / "twin", seed=9), "cpu")
    with pytest.raises(MismatchError, match="gives different states for the anchor prompts"):
        check_source(direction, twin)
    with pytest.raises(MismatchError):
        check_source(direction, load_text_model(models["bert"], "cpu"))


def test_own_anchors_replace_the_bundled_ones(llama: TextModel, direction: SafetyDirection) -> None:
    prompts = wording.sentences(70, seed=5)
    own = with_anchors(direction, llama, prompts)
    assert own.anchors == tuple(prompts)
    expected = rounded(direction.standardise(source_activations(direction, llama, prompts)))
    assert torch.equal(own.anchor_activations, expected)
    assert torch.equal(own.vectors, direction.vectors)
    check_source(own, llama)


def test_too_few_own_anchors_are_refused_before_encoding(llama: TextModel, direction: SafetyDirection) -> None:
    silent = replace(llama, model=None)
    with pytest.raises(AlignmentError, match="at least 64 benign prompts, but got 63"):
        with_anchors(direction, silent, wording.sentences(63))


def test_beyond_the_budget_no_later_prompt_is_kept_in_place_of_one_that_was_left_out() -> None:
    long, short = torch.ones(50, 4), torch.ones(1, 4)
    found = collect([{"cross_attn": [short, long, short, short]}], 4, token_budget=4 * 2 * 10, fewest=1)["cross_attn"]
    assert len(found.pooled) == 4
    assert [len(rows) for rows in found.tokens] == [1]


class Encoder:
    """Stands in for a model of width 4: the states of prompt "n" are two tokens of n; remembers what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
        self.model: Any = SimpleNamespace(identity=SimpleNamespace(width=4))
        self.given: list[tuple[str, bool]] = []
        lengths = {"4": 9, "7": 8, "1": 7, "5": 5, "2": 5, "6": 4, "3": 1}
        monkeypatch.setattr(anchors_module, "token_ids", lambda _, given: [[0] * lengths[prompt] for prompt in given])
        monkeypatch.setattr(anchors_module, "bears_rounding", lambda *_: True)
        monkeypatch.setattr(anchors_module, "states_in_batches", self.in_batches)
        monkeypatch.setattr(anchors_module, "token_states", self.in_order)
        monkeypatch.setattr(anchors_module, "WINDOW", 3)
        monkeypatch.setattr(anchors_module, "TOKEN_BUDGET", budget)

    def in_order(self, _model: object, prompts: Sequence[str], _layer: int, progress: Any, rounded: bool) -> list[Tensor]:
        self.given.append(("".join(prompts), rounded))
        progress(len(prompts), len(prompts))
        return [torch.full((2, 4), float(prompt)) for prompt in prompts]

    def in_batches(self, model: object, prompts: Sequence[str], layer: int, progress: Any, rounded: bool) -> Iterator[Any]:
        for rows in ([3, 6, 0], [4, 1, 5], [2]):
            yield rows, self.in_order(model, [prompts[row] for row in rows], layer, progress, rounded)


@pytest.mark.parametrize(
    ("budget", "given"), [(1000, ["471", "526", "3"]), (100, ["123", "456", "7"])], ids=["by length", "as they come"]
)
def test_anchors_are_encoded_in_an_order_that_changes_nothing(
    budget: int, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, prompts = Encoder(monkeypatch, budget), [str(number) for number in range(1, 8)]
    found = encode_anchors(encoder.model, prompts, 0, lambda *_: None)
    assert encoder.given == [(part, True) for part in given]
    assert found["cross_attn"].pooled[:, 0].tolist() == [float(prompt) for prompt in prompts]
    assert [float(rows[0, 0]) for rows in found["cross_attn"].tokens] == [float(prompt) for prompt in prompts]


@pytest.mark.parametrize("budget", [anchors_module.TOKEN_BUDGET, 1000], ids=["by length", "as they come"])
def test_progress_goes_up_to_all_anchors(budget: int, llama: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(anchors_module, "WINDOW", 30)
    monkeypatch.setattr(anchors_module, "TOKEN_BUDGET", budget)
    encode_anchors(llama, wording.sentences(70, seed=1), 2, lambda done, total: told.append((done, total)))
    assert [total for _, total in told] == [70] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (70, 70)
