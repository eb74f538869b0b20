"""Paired prompts to a SafetyDirection: one pass over the data, all layers scored, the best ones kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..directions.gate_examples import GateExamples, gate_examples, split_by_length
from ..directions.source import ModelIdentity, SafetyDirection, rounded
from ..errors import DataError
from ..statistics import auroc, mean_pairwise_cosine
from ..storage.prompt_files import Pair, category_rows, pairs_hash
from ..version import __version__
from .estimators import ESTIMATORS, Estimate, logistic_probe, within_class
from .text_model import Progress, TextModel, pooled_activations
from .usable_states import all_alike, check_differing, check_finite

ActivationsOf = Callable[[Sequence[str], Sequence[int]], Tensor]

MIN_PAIRS = 8  # by hand
MIN_ANCHORS = 64  # by hand; for a direction and for a map
SPREAD_RANK = 128  # by hand
CHANCE = 0.5  # the AUROC of a reading that tells nothing
SCALE_FLOOR = 1e-6  # by hand; keeps constant channels from dividing by 0


@dataclass(frozen=True)
class LayerScore:
    """One layer on the curve: Safety Awareness Score (arXiv 2507.13255) and held-out separation (AUROC)."""

    layer: int
    awareness: float
    separation: float


def extract(
    text_model: TextModel,
    pairs: Sequence[Pair],
    anchors: Sequence[str],
    layer: str | int = "auto",
    pooling: str = "mean",
    estimator: str = "mean",
    progress: Progress | None = None,
) -> SafetyDirection:
    """Extract a direction per category and its benign anchors from a source model.

    `layer` is "auto", a layer number from 0 to the model's depth, or several joined by commas, whose states are put side
    by side. "auto" takes the layer with the highest Safety Awareness Score, the embedding, and one a third of the way up
    between them: early states carry over best, late ones know most.
    `anchors` are harmless prompts of any length; long ones become passages, which say what is normal in long prompts.
    Raises DataError for an unknown setting, fewer than 8 pairs, or fewer than 64 short anchors, and EncoderError for states
    that are not finite or that do not differ.
    """

    def activations_of(texts: Sequence[str], layers: Sequence[int]) -> Tensor:
        return pooled_activations(text_model, texts, layers, pooling, progress=progress)

    return extract_with(
        activations_of, text_model.identity, text_model.last_layer, pairs, anchors, layer, pooling=pooling, estimator=estimator
    )


def extract_with(
    activations_of: ActivationsOf,
    source: ModelIdentity,
    last_layer: int,
    pairs: Sequence[Pair],
    anchors: Sequence[str],
    layer: str | int = "auto",
    pooling: str = "mean",
    estimator: str = "mean",
) -> SafetyDirection:
    """Extract a direction from any model that gives pooled activations (N, L, D) of texts at layers, as `extract` does."""
    anchors, passages = split_by_length(anchors)
    check_settings(pairs, anchors, estimator)
    chosen = _layers(layer, last_layer)
    texts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs] + list(anchors)
    activations = activations_of(texts, chosen)
    check_finite(activations, chosen)
    count = len(pairs)
    safe, unsafe, benign = activations[:count], activations[count : 2 * count], activations[2 * count :]
    curve = [score_layer(number, safe[:, index], unsafe[:, index], benign[:, index]) for index, number in enumerate(chosen)]
    kept = list(range(len(chosen)))
    if layer == "auto":
        best = max(kept, key=lambda index: curve[index].awareness)
        kept = sorted({0, round(best / 3), best})
    chosen_states = (safe[:, kept].flatten(1), unsafe[:, kept].flatten(1), benign[:, kept].flatten(1))
    # The states of all layers weigh more than the fit; the chosen ones are copies.
    del activations, safe, unsafe, benign
    return fit_direction(
        source=source,
        layers=tuple(chosen[index] for index in kept),
        pooling=pooling,
        estimator=estimator,
        pairs=pairs,
        anchors=anchors,
        activations=chosen_states,
        report={"layer_curve": [[score.layer, score.awareness, score.separation] for score in curve]},
        passages=passages,
    )


def check_settings(pairs: Sequence[Pair], anchors: Sequence[str], estimator: str) -> None:
    """Raise DataError when a setting is unknown or the data are too few to mean anything."""
    if estimator not in ESTIMATORS:
        raise DataError(f"Expected estimator {', '.join(ESTIMATORS)}, but got '{estimator}'.")
    _check_number("pairs", pairs, len({(pair.safe, pair.unsafe) for pair in pairs}), MIN_PAIRS, "pairs")
    _check_number("benign anchors", anchors, len(set(anchors)), MIN_ANCHORS, "benign prompts")
    different = {name: {(pairs[row].safe, pairs[row].unsafe) for row in rows} for name, rows in category_rows(pairs).items()}
    single = [name for name, kept in different.items() if len(kept) < 2]
    if estimator == "lda" and single:
        raise DataError(
            f"Expected at least 2 pairs in each category for the estimator lda, but got 1 in {', '.join(single)}. Add pairs, "
            "or choose the estimator mean."
        )


def _check_number(name: str, given: Sequence[object], different: int, least: int, more: str) -> None:
    """Raise DataError for too few; copies of one do not count, since each says what it said before."""
    if different < least:
        copies = f", of which {different} differ" if different < len(given) else ""
        raise DataError(f"Expected at least {least} {name}, but got {len(given)}{copies}. Add {more}.")


def score_layer(layer: int, safe: Tensor, unsafe: Tensor, benign: Tensor) -> LayerScore:
    """Score one layer from raw pooled activations (N, d), (N, d) and (M, d).

    Separation is the AUROC of the shrinkage-LDA reading of one half of the pairs on the other half, both ways. A layer that
    says the same of all pairs, as the embedding of a last token that never changes, is no better than chance.
    """
    mean, scale = channel_statistics(benign)
    safe, unsafe = standardised(safe, mean, scale), standardised(unsafe, mean, scale)
    awareness = mean_pairwise_cosine(safe - unsafe)
    if all_alike(safe, unsafe):
        return LayerScore(layer, awareness, CHANCE)
    even, odd = torch.arange(0, len(safe), 2), torch.arange(1, len(safe), 2)
    held_out = []
    for train, test in ((even, odd), (odd, even)):
        reading = ESTIMATORS["lda"](safe[train], unsafe[train]).reading
        held_out.append(auroc(safe[test] @ reading, unsafe[test] @ reading))
    return LayerScore(layer, awareness, sum(held_out) / 2)


def fit_direction(
    source: ModelIdentity,
    layers: tuple[int, ...],
    pooling: str,
    estimator: str,
    pairs: Sequence[Pair],
    anchors: Sequence[str],
    activations: tuple[Tensor, Tensor, Tensor],
    report: Mapping[str, Any],
    passages: Sequence[str] = (),
) -> SafetyDirection:
    """Fit vectors, readings, probes, class statistics and examples from raw activations of (safe, unsafe, anchors).

    The three tensors are (N, d), (N, d) and (M, d), d the source width times the number of layers. Raises EncoderError for
    states that are the same for all prompts, or for both sides of all pairs of a category.
    """
    rows = category_rows(pairs)
    check_differing(*activations, rows)
    mean, scale = channel_statistics(activations[2])
    safe, unsafe, benign = (standardised(states, mean, scale) for states in activations)
    estimates = [ESTIMATORS[estimator](safe[index], unsafe[index]) for index in rows.values()]
    probes = [logistic_probe(unsafe[index], safe) for index in rows.values()]
    made = {"version": __version__, "pairs": pairs_hash(pairs)}
    return SafetyDirection(
        source=source,
        layers=layers,
        pooling=pooling,
        estimator=estimator,
        categories=tuple(rows),
        vectors=torch.stack([estimate.vector * scale for estimate in estimates]).float(),
        readings=torch.stack([unit_reading(estimate, benign) for estimate in estimates]).float(),
        mean=mean.float(),
        scale=scale.float(),
        probe_weights=torch.stack([weights for weights, _ in probes]).float(),
        probe_biases=torch.stack([bias for _, bias in probes]).float(),
        safe_means=torch.stack([safe[index].mean(0) for index in rows.values()]).float(),
        unsafe_means=torch.stack([unsafe[index].mean(0) for index in rows.values()]).float(),
        spread=covariance_factor(within_class(safe, unsafe), SPREAD_RANK).half(),
        anchors=tuple(anchors),
        anchor_activations=rounded(benign),
        report={**report, "pairs": {name: len(index) for name, index in rows.items()}, "made": made},
        examples=_rounded_examples(gate_examples(unsafe, pairs, anchors, passages)),
    )


def _rounded_examples(examples: GateExamples) -> GateExamples:
    return replace(examples, unsafe=rounded(examples.unsafe), weights=examples.weights.float())


def channel_statistics(benign: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation per channel of (M, d) benign activations, in float64."""
    rows = benign.double()
    return rows.mean(0), rows.std(0).clamp(min=SCALE_FLOOR)


def standardised(states: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return (states - mean) / scale of (N, d) states of any precision, in float64."""
    return (states.double() - mean).div_(scale)


def unit_reading(estimate: Estimate, benign: Tensor) -> Tensor:
    """Scale a reading to a standard deviation of 1 over benign activations (M, d)."""
    return estimate.reading / (benign @ estimate.reading).std().clamp(min=SCALE_FLOOR)


def covariance_factor(rows: Tensor, rank: int) -> Tensor:
    """Return F (r, d), r <= rank, with F^T F the best approximation of rows^T rows for rows (M, d)."""
    if min(rows.shape) <= rank:
        return rows if len(rows) <= rank else torch.linalg.qr(rows).R
    width = rows.shape[1]
    if width <= 2048:
        values, axes = torch.linalg.eigh(rows.T @ rows)
        factor: Tensor = axes[:, -rank:].T * values[-rank:].clamp(min=0).sqrt()[:, None]
        return factor
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, values, axes = torch.svd_lowrank(rows.float(), q=rank, niter=4)
    return (axes.T * values[:, None]).double()


def _layers(layer: str | int, last: int) -> list[int]:
    """Parse "auto", N or "N,N,..." into distinct layer numbers; raises DataError for anything else."""
    if layer == "auto":
        return list(range(last + 1))
    parts = str(layer).split(",")
    if not all(part.isdecimal() and int(part) <= last for part in parts) or len(set(parts)) != len(parts):
        raise DataError(f"Expected layer auto, N or N,N,... from 0 to {last}, but got '{layer}'.")
    return [int(part) for part in parts]
