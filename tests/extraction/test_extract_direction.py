"""Extraction: what is kept per category and layer, which layer is chosen, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import wording
from torch import Tensor

from safety_steer.directions.source import ModelIdentity, SafetyDirection, rounded
from safety_steer.errors import DataError, EncoderError
from safety_steer.extraction.estimators import ESTIMATORS
from safety_steer.extraction.extract_direction import check_settings, covariance_factor, extract, extract_with, score_layer
from safety_steer.extraction.text_model import TextModel, load_text_model, pooled_activations
from safety_steer.statistics import auroc
from safety_steer.storage.prompt_files import Pair

PAIRS, ANCHORS = wording.stand_in_pairs(), wording.sentences(80)


@pytest.fixture(scope="module")
def llama(models: dict[str, Path]) -> TextModel:
    return load_text_model(models["llama"], "cpu")


def raw(llama: TextModel, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Raw activations of safe sides, unsafe sides and anchors at one layer, in float64."""
    texts = ([pair.safe for pair in PAIRS], [pair.unsafe for pair in PAIRS], ANCHORS)
    return tuple(pooled_activations(llama, part, [layer])[:, 0].double() for part in texts)  # type: ignore[return-value]


def test_vectors_are_mean_raw_differences_per_category(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=2)
    safe, unsafe, _ = raw(llama, 2)
    assert direction.categories == ("global", "blades", "fires")
    for vector, category in zip(direction.vectors, direction.categories, strict=True):
        rows = [number for number, pair in enumerate(PAIRS) if category in ("global", pair.category)]
        expected = np.mean([(safe[row] - unsafe[row]).numpy() for row in rows], axis=0)
        assert np.allclose(vector.numpy(), expected, atol=1e-4)


def test_statistics_are_those_of_the_benign_anchors(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=2)
    benign = raw(llama, 2)[2].numpy()
    assert np.allclose(direction.mean.numpy(), benign.mean(0), atol=1e-4)
    assert np.allclose(direction.scale.numpy(), benign.std(0, ddof=1), atol=1e-4)
    assert direction.anchors == tuple(ANCHORS)
    standardised = (benign - benign.mean(0)) / benign.std(0, ddof=1)
    expected = rounded(torch.from_numpy(standardised))
    assert torch.allclose(direction.anchor_activations.float(), expected.float(), rtol=1 / 8, atol=5e-3)
    assert float((direction.anchor_activations == expected).double().mean()) > 0.998  # the rest lies on a rounding edge


def test_readings_have_unit_deviation_over_benign_anchors(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=2)
    assert torch.allclose(direction.score(raw(llama, 2)[2]).std(0), torch.ones(3).double(), atol=1e-3)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_a_swapped_word_is_found_by_every_estimator(llama: TextModel, estimator: str) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=1, estimator=estimator)
    safe, unsafe, _ = raw(llama, 1)
    blades = [number for number, pair in enumerate(PAIRS) if pair.category == "blades"]
    scores = [direction.score(part[blades])[:, 1] for part in (safe, unsafe)]
    assert auroc(*scores) > 0.9
    probes = [direction.probe(part)[:, 0] for part in (unsafe, safe)]
    assert auroc(*probes) > 0.9
    assert float((probes[0] > 0).double().mean()) > 0.8 > 0.2 > float((probes[1] > 0).double().mean())


def test_class_means_and_spread_describe_the_two_sides(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=2)
    safe, unsafe = (direction.standardise(part).numpy() for part in raw(llama, 2)[:2])
    assert np.allclose(direction.safe_means[0].numpy(), safe.mean(0), atol=1e-3)
    assert np.allclose(direction.unsafe_means[0].numpy(), unsafe.mean(0), atol=1e-3)
    covariance = (np.cov(safe.T, bias=True) + np.cov(unsafe.T, bias=True)) / 2
    spread = direction.spread.double().numpy()
    assert np.allclose(spread.T @ spread, covariance, atol=0.02 * np.abs(covariance).max())


def test_auto_keeps_the_most_aware_layer_and_the_whole_curve(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS)
    curve = direction.report["layer_curve"]
    assert [row[0] for row in curve] == [0, 1, 2, 3]
    assert max(curve, key=lambda row: row[1])[0] in direction.layers
    assert direction.width == 48 * len(direction.layers)
    assert all(-1 <= row[1] <= 1 and 0 <= row[2] <= 1 for row in curve)


def test_layers_side_by_side_are_the_layers_alone(llama: TextModel) -> None:
    both, first, second = (extract(llama, PAIRS, ANCHORS, layer=layer) for layer in ("1,3", 1, "3"))
    assert both.layers == (1, 3)
    assert torch.allclose(both.vectors, torch.cat([first.vectors, second.vectors], dim=1), atol=1e-5)


def test_the_last_token_can_be_pooled(llama: TextModel) -> None:
    direction = extract(llama, PAIRS, ANCHORS, layer=2, pooling="last")
    texts = [pair.safe for pair in PAIRS], [pair.unsafe for pair in PAIRS]
    safe, unsafe = (pooled_activations(llama, part, [2], "last")[:, 0] for part in texts)
    assert direction.pooling == "last"
    assert torch.allclose(direction.vectors[0], (safe - unsafe).mean(0), atol=1e-4)


def test_extraction_is_deterministic_and_fits_in_a_file(llama: TextModel, tmp_path: Path) -> None:
    direction = extract(llama, PAIRS, ANCHORS)
    assert extract(llama, PAIRS, ANCHORS).content_hash == direction.content_hash
    direction.save(tmp_path / "direction.safetensors")
    assert SafetyDirection.load(tmp_path / "direction.safetensors").content_hash == direction.content_hash


@pytest.mark.parametrize("layer", ["4", "-1", "x", "", "1,1", "1,,2", "1,4", "1.5", -1, 4])
def test_layers_the_model_does_not_have_are_refused(layer: str | int, llama: TextModel) -> None:
    with pytest.raises(DataError, match=r"Expected layer auto, N or N,N,\.\.\. from 0 to 3"):
        extract(llama, PAIRS, ANCHORS, layer=layer)


def test_unknown_settings_and_too_few_data_are_refused(llama: TextModel) -> None:
    with pytest.raises(DataError, match="Expected estimator"):
        extract(llama, PAIRS, ANCHORS, estimator="median")
    with pytest.raises(DataError, match="Expected pooling"):
        extract(llama, PAIRS, ANCHORS, pooling="max")
    with pytest.raises(DataError, match="at least 8 pairs, but got 7"):
        extract(llama, PAIRS[:7], ANCHORS)
    with pytest.raises(DataError, match="benign anchors, but got 3"):
        extract(llama, PAIRS, ANCHORS[:3])
    with pytest.raises(DataError, match="at least 8 pairs, but got 30, of which 1 differ"):
        extract(llama, PAIRS[:1] * 30, ANCHORS)
    with pytest.raises(DataError, match="benign anchors, but got 70, of which 7 differ"):
        extract(llama, PAIRS, ANCHORS[:7] * 10)


def test_copies_of_a_pair_are_no_second_pair_of_a_category() -> None:
    lone = replace(PAIRS[0], category="alone")
    with pytest.raises(DataError, match="at least 2 pairs in each category for the estimator lda, but got 1 in alone"):
        check_settings([*PAIRS, lone, lone], ANCHORS, "lda")
    check_settings([*PAIRS, lone, lone], ANCHORS, "mean")


def test_a_layer_is_scored_on_pairs_its_reading_has_not_seen() -> None:
    generator = torch.Generator().manual_seed(4)
    safe, noise, benign = (torch.randn(60, 30, generator=generator) for _ in range(3))
    shift = torch.zeros(30)
    shift[0] = 3.0
    informative, empty = score_layer(1, safe, noise - shift, benign), score_layer(2, safe, noise, benign)
    assert informative.separation > 0.9
    assert 0.3 < empty.separation < 0.7
    assert informative.awareness > empty.awareness + 0.1


@pytest.mark.parametrize(("count", "width", "rank"), [(5, 9, 8), (40, 9, 12), (40, 9, 3), (9, 40, 3)])
def test_a_covariance_factor_is_the_best_of_its_rank(count: int, width: int, rank: int) -> None:
    rows = torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    factor = covariance_factor(rows, rank).numpy()
    left, values, right = np.linalg.svd(rows.numpy(), full_matrices=False)
    kept = min(rank, len(values))
    assert factor.shape[0] <= max(rank, min(count, width))
    assert np.allclose(factor.T @ factor, (right[:kept].T * values[:kept] ** 2) @ right[:kept])
    assert left.shape[0] == count


WIDTH, LAST = 12, 3


def made(layers: dict[int, Callable[[Tensor], Tensor]], pairs: list[Pair] = PAIRS, **settings: Any) -> SafetyDirection:
    """Extract from a stand-in whose states are noise that tells the sides apart, but for what `layers` makes of some layers."""

    def activations_of(texts: Sequence[str], numbers: Sequence[int]) -> Tensor:
        states = torch.randn(len(texts), LAST + 1, WIDTH, generator=torch.Generator().manual_seed(5))
        states[len(pairs) : 2 * len(pairs), :, 0] -= 3
        for layer, change in layers.items():
            states[:, layer] = change(states[:, layer])
        return states[:, list(numbers)]

    return extract_with(activations_of, ModelIdentity("stand-in", "", WIDTH, LAST), LAST, pairs, ANCHORS, **settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_states_that_are_not_finite_are_refused_with_their_layers(value: float) -> None:
    def broken(states: Tensor) -> Tensor:
        return torch.where(torch.arange(len(states))[:, None] == 30, value, states)

    with pytest.raises(EncoderError, match=r"NaN or Inf at layer 1, 3\."):
        made({1: broken, 3: broken})
    assert made({1: broken}, layer=2).layers == (2,)


@pytest.mark.parametrize("value", [0.0, 0.1, 5.0])
@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("layer", ["auto", 2, "1,3"])
def test_a_model_that_says_the_same_to_every_prompt_is_refused(value: float, estimator: str, layer: str | int) -> None:
    silent = dict.fromkeys(range(LAST + 1), lambda states: torch.full_like(states, value))
    with pytest.raises(EncoderError, match="the same states for every prompt"):
        made(silent, layer=layer, estimator=estimator)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_one_silent_layer_is_no_better_than_chance_and_the_others_are_read(estimator: str) -> None:
    """The embedding of a last token that never changes, such as T5's, says the same of every prompt."""
    direction = made({0: lambda states: torch.full_like(states, 0.1)}, estimator=estimator)
    curve = {int(layer): (awareness, separation) for layer, awareness, separation in direction.report["layer_curve"]}
    assert curve[0][0] < 0
    assert curve[0][1] == 0.5
    assert min(separation for layer, (_, separation) in curve.items() if layer) > 0.8
    assert 0 in direction.layers
    assert float(direction.vectors[:, :WIDTH].abs().max()) < 1e-15 * float(direction.vectors[:, WIDTH:].abs().max())
    assert bool(torch.isfinite(direction.vectors).all() and torch.isfinite(direction.readings).all())


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_a_category_whose_sides_have_the_same_states_is_refused_by_name(estimator: str) -> None:
    rows = [number for number, pair in enumerate(PAIRS) if pair.category == "fires"]

    def same(states: Tensor) -> Tensor:
        changed = states.clone()
        changed[[len(PAIRS) + row for row in rows]] = states[rows]
        return changed

    with pytest.raises(EncoderError, match=r"both sides of every pair of fires:"):
        made({2: same}, layer=2, estimator=estimator)


def test_lda_asks_for_two_pairs_in_a_category_before_anything_is_encoded() -> None:
    alone = [*PAIRS, Pair("a red kite", "a red sword", "swords")]
    with pytest.raises(DataError, match=r"2 pairs in each category for the estimator lda, but got 1 in swords\."):
        made({}, alone, layer=2, estimator="lda")
    for estimator in set(ESTIMATORS) - {"lda"}:
        assert "swords" in made({}, alone, layer=2, estimator=estimator).categories
