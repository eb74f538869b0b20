"""Alignment on a planted world: what is carried over, and how it is calibrated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import builders
from support.builders import SPACE
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from safety_steer.alignment import maps
from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.alignment.held_out import held_out_report
from safety_steer.alignment.maps import MAPS
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.pooling import pool
from safety_steer.directions.source import SafetyDirection
from safety_steer.directions.space_file import space_tensors
from safety_steer.evaluation.transfer import native_direction
from safety_steer.statistics import auroc
from safety_steer.steering.gate import gate_threshold, log_odds
from safety_steer.steering.steer_conditioning import steer_conditioning

BEFORE_EXAMPLES = {
    "vectors": (-16.506645949091762, 19.477167776503787),
    "readings": (-9.476990087947343, 6.503652987710096),
    "offsets": (-0.06676474376581609, 0.0023332257788155016),
    "token_quantiles": (140.87819738733378, 516.252509555863),
    "prompt_quantiles": (190.79090447351336, 613.8623507065039),
    "phrase_quantiles": (138.05969488620758, 447.2054883838244),
    "prompt_readings": (-13.079912533401512, 27.890692143255855),
    "gate_weights": (16.984256072202697, 56.434072227293086),
    "gate_biases": (-17.429532825946808, 30.119294525319358),
    "gate_quantiles": (38.239672638475895, 848.3281003543987),
    "witness_weights": (1.5, 1.125),
    "mean": (0.26591172254120465, 0.05993121001426749),
    "scale": (31.930379927158356, 32.068816565884106),
    "fit_limit": (3.64298677444458, 13.271352638778126),
    "probes": (-19.527113139629364, 244.96363700226027),
}


def pooled_pairs(count: int = 200, seed: int = 31) -> tuple[Tensor, Tensor]:
    """Pooled target states of unseen safe and unsafe prompts."""
    safe, unsafe, _ = builders.world().pairs(count, seed)
    return tuple(pool(builders.batch(builders.world().target(part, seed + 1))) for part in (safe, unsafe))  # type: ignore[return-value]


def reading_auroc(aligned: AlignedDirection) -> float:
    safe, unsafe = pooled_pairs()
    readings = [-aligned.spaces[SPACE].unsafe_reading(part, [0])[:, 0] for part in (safe, unsafe)]
    return auroc(*readings)


def native() -> AlignedDirection:
    """The direction the target itself would give, from its own unsafe prompts."""
    safe, unsafe, pairs = builders.world().pairs(160, seed=1)
    own = [pool(builders.batch(builders.world().target(part, 41))) for part in (safe, unsafe)]
    direction = native_direction(builders.planted_states(), pairs, own[0], own[1], builders.planted_direction().anchors)
    return align(direction, {SPACE: builders.planted_states()}, "native")


@pytest.mark.parametrize("name", sorted(MAPS))
def test_the_carried_vectors_point_where_the_target_is_safer(name: str) -> None:
    vectors = builders.planted_aligned(name).spaces[SPACE].vectors
    shifts = builders.world().shifts
    for vector, shift in zip(vectors, (shifts.mean(0), *shifts), strict=True):
        truth = shift @ builders.world().target_map
        assert float(torch.nn.functional.cosine_similarity(vector, truth, dim=0)) > 0.9


@pytest.mark.parametrize("name", sorted(MAPS))
def test_the_carried_reading_separates_about_as_well_as_a_native_one(name: str) -> None:
    assert reading_auroc(builders.planted_aligned(name)) > reading_auroc(native()) - 0.02
    assert reading_auroc(native()) > 0.95


@pytest.mark.parametrize("name", sorted(MAPS))
def test_the_carried_gate_finds_unseen_unsafe_prompts(name: str) -> None:
    space = builders.planted_aligned(name).spaces[SPACE]
    safe, unsafe = pooled_pairs()
    scores = [log_odds(space.gate.gate_weights, space.gate.gate_biases, part).logsumexp(-1) for part in (safe, unsafe)]
    assert auroc(scores[1], scores[0]) > 0.95
    assert float((scores[1] > gate_threshold(space, 0.01)).double().mean()) > 0.8
    assert float((scores[0] > gate_threshold(space, 0.01)).double().mean()) < 0.05


def test_vectors_have_the_source_length_in_benign_target_units() -> None:
    direction, states = builders.planted_direction(), builders.planted_states()
    source = direction.anchor_activations.double().numpy()
    source = source - source.mean(0)
    target = states.pooled.double().numpy()
    target = target - target.mean(0)
    beta = np.median(np.linalg.norm(target, axis=1)) / np.median(np.linalg.norm(source, axis=1))
    for row, vector in enumerate(builders.planted_aligned().spaces[SPACE].vectors):
        length = np.linalg.norm(direction.vectors[row].numpy() / direction.scale.numpy())
        assert float(vector.norm()) == pytest.approx(beta * length, rel=0.01)


def test_readings_are_in_benign_token_deviations_with_median_zero() -> None:
    space, states = builders.planted_aligned().spaces[SPACE], builders.planted_states()
    unsafe = space.unsafe_reading(torch.cat([rows.float() for rows in states.tokens]))
    assert torch.allclose(unsafe.std(0), torch.ones(3), atol=0.02)
    assert torch.allclose(unsafe.median(0).values, torch.zeros(3), atol=0.02)
    highest = torch.stack([space.unsafe_reading(rows.float()).amax(0) for rows in states.tokens])
    for quantiles, values in ((space.tokens.token_quantiles, unsafe), (space.tokens.prompt_quantiles, highest)):
        expected = np.quantile(values.numpy(), [0.01, 0.5, 0.995, 1.0], axis=0).T
        assert np.allclose(quantiles[:, [0, 4, 13, 16]].numpy(), expected, atol=0.05)


def test_alignment_is_deterministic_and_leaves_inputs_and_random_state_alone() -> None:
    direction, states = builders.planted_direction(), builders.planted_states()
    before = [direction.content_hash, states.pooled.clone(), states.tokens[0].clone()]
    for name in ("ridge", "svd"):
        torch.manual_seed(7)
        random_state = torch.get_rng_state()
        again = align(direction, {SPACE: states}, "planted, layer 1", AlignSettings(map=name))
        assert torch.equal(torch.get_rng_state(), random_state)
        assert again.content_hash == builders.planted_aligned(name).content_hash
    assert direction.content_hash == before[0]
    assert torch.equal(states.pooled, before[1])
    assert torch.equal(states.tokens[0], before[2])


def test_a_direction_made_before_there_were_examples_aligns_to_the_numbers_it_did_then() -> None:
    """Sums and sums of squares of what the last version without examples made of this file and these states."""
    direction = SafetyDirection.load(Path(__file__).parents[2] / "directions" / "smollm2-135m-instruct.safetensors")
    assert direction.content_hash == "de8165abaa57870ea6ebe49fe20c3163411e392394acab81f2da0d39405e9a46"
    assert direction.examples is None
    generator = torch.Generator().manual_seed(5)
    source = direction.anchor_activations[:512].float()
    there = torch.randn(source.shape[1], 32, generator=generator) / source.shape[1] ** 0.5
    tokens = []
    for row in source @ there:
        length = int(torch.randint(4, 10, (), generator=generator))
        tokens.append(row + 0.4 * torch.randn(length, 32, generator=generator))
    states = collect([{SPACE: tokens}], 512)
    space = align(direction, states, "linear", anchors=range(512)).spaces[SPACE]
    assert space.harm is None
    for name, (total, squares) in BEFORE_EXAMPLES.items():
        values = space_tensors(space)[name].double()
        assert float(values.square().sum()) == pytest.approx(squares, rel=1e-5), name
        assert float(values.sum()) == pytest.approx(total, rel=1e-5, abs=1e-5), name


def test_every_text_space_is_aligned_and_reported() -> None:
    states = builders.planted_states()
    pooled = AnchorStates(states.pooled, [row[None].half() for row in states.pooled])
    aligned = align(builders.planted_direction(), {SPACE: states, "pooled_output": pooled}, "two")
    assert list(aligned.spaces) == [SPACE, "pooled_output"] == list(aligned.report)
    assert aligned.direction_hash == builders.planted_direction().content_hash
    assert aligned.settings["anchors"] == 400


def test_named_anchors_are_matched_to_their_states() -> None:
    rows = list(range(399, 99, -1))
    states = builders.planted_states()
    some = AnchorStates(states.pooled[rows], [states.tokens[row] for row in rows])
    aligned = align(builders.planted_direction(), {SPACE: some}, "some", anchors=rows)
    assert aligned.probe_prompts == tuple(f"benign prompt {row}" for row in range(399, 391, -1))
    assert reading_auroc(aligned) > 0.95


def test_the_report_tells_a_map_from_its_shuffled_control() -> None:
    report = builders.planted_aligned().report[SPACE]
    assert report["r2"] > 0.5 > report["shuffled_r2"]
    assert report["cosine"] > 0.8 > report["shuffled_cosine"]
    assert report["retrieval"] > 0.5 > report["shuffled_retrieval"]


def test_a_perfect_map_is_reported_as_one() -> None:
    source = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    report = held_out_report("svd", source - source.mean(0), 2 * (source - source.mean(0)))
    assert report["r2"] == pytest.approx(1, abs=1e-6)
    assert report["cosine"] == pytest.approx(1, abs=1e-6)
    assert report["retrieval"] == 1


def test_a_dead_channel_in_the_encoder_does_no_harm() -> None:
    states = builders.planted_states()
    dead = AnchorStates(states.pooled.clone(), [rows.clone() for rows in states.tokens])
    dead.pooled[:, 3] = 0
    for rows in dead.tokens:
        rows[:, 3] = 0
    aligned = align(builders.planted_direction(), {SPACE: dead}, "dead")
    unsafe = builders.unsafe_batch()
    unsafe[..., 3] = 0
    result = steer_conditioning({SPACE: unsafe}, aligned)
    assert result.changed
    assert bool(torch.isfinite(result.tensors[SPACE]).all())


class Shapes(TorchDispatchMode):
    """Records the two-dimensional shapes of everything computed inside."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self.seen.add(tuple(item.shape[-2:]))
        return result


@pytest.mark.parametrize("name", sorted(MAPS))
def test_no_square_matrix_of_the_target_width_is_ever_formed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MAX_EPOCHS", 3)
    width, count = 1100, 100
    lift = torch.randn(28, width, generator=torch.Generator().manual_seed(6))
    states = builders.planted_states()
    wide = AnchorStates(states.pooled[:count] @ lift, [(rows.float() @ lift).half() for rows in states.tokens[:count]])
    with Shapes() as shapes:
        align(builders.planted_direction(), {SPACE: wide}, "wide", AlignSettings(map=name), anchors=range(count))
    assert (count, width) in shapes.seen
    assert (width, width) not in shapes.seen


def test_strengths_start_at_global_alone() -> None:
    assert builders.planted_aligned().strengths == {"global": 1.0}
    assert replace(builders.planted_aligned(), strengths={}).strengths == {}


@pytest.mark.parametrize("estimator", ["mean", "pca", "lda", "logistic"])
def test_directions_of_every_estimator_can_be_carried(estimator: str) -> None:
    direction = builders.planted_direction(estimator=estimator)
    aligned = align(direction, {SPACE: builders.planted_states()}, "planted")
    truth = builders.world().shifts.mean(0) @ builders.world().target_map
    assert float(torch.nn.functional.cosine_similarity(aligned.spaces[SPACE].vectors[0], truth, dim=0)) > 0.85
    assert reading_auroc(aligned) > 0.9
