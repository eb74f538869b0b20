"""Native against transferred against controls on the planted world, and the pictures of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from support import builders
from support.brief import briefly_taught

from safety_steer.alignment import maps
from safety_steer.directions.pooling import pool
from safety_steer.directions.source import SafetyDirection
from safety_steer.evaluation.transfer import (
    Row,
    TargetData,
    align_to,
    as_table,
    compare,
    native_direction,
    prompt_scores,
    random_direction,
    shuffled_direction,
)


@cache
def native() -> SafetyDirection:
    safe, unsafe, pairs = builders.world().pairs(160, seed=1)
    own = [pool(builders.batch(builders.world().target(part, 41))) for part in (safe, unsafe)]
    return native_direction(builders.planted_states(), pairs, own[0], own[1], builders.planted_direction().anchors)


@pytest.fixture(scope="module")
def data() -> TargetData:
    world = builders.world()
    safe, unsafe, _ = world.pairs(40, seed=61)
    return TargetData(
        builders.planted_states(),
        world.target(safe, 62),
        world.target(unsafe, 63),
        world.target(world.benign(60, 64) * 0.7, 64),
    )


@pytest.fixture(scope="module")
def rows(data: TargetData) -> list[Row]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "MAX_EPOCHS", 20)
        return compare(builders.planted_direction(), native(), data, control_seeds=(0,))


def test_every_map_comes_near_native_and_controls_near_chance(rows: list[Row]) -> None:
    assert [row.method.split(",")[0].split(" (")[0] for row in rows] == ["native"] + ["transferred"] * 3 + [
        "random direction",
        "shuffled anchors",
    ]
    for row in rows[:4]:
        assert row.reading > 0.95
        assert row.gate > 0.95
        assert row.flagged > 0.9
        assert row.moved > 0.4
        assert row.benign_changed < 0.02
        assert row.drift <= row.benign_changed + 1e-9
    for row in rows[4:]:
        assert row.reading < rows[1].reading - 0.1
        assert row.cosine < 0.6
    assert rows[0].cosine == pytest.approx(1, abs=1e-6)
    assert all(row.cosine > 0.85 for row in rows[1:4])


def test_the_table_has_a_row_for_every_method_and_ratios_to_native(rows: list[Row]) -> None:
    header, cells = as_table(rows)
    assert all(len(row) == len(header) for row in cells)
    assert [row[0] for row in cells] == [row.method for row in rows]
    assert cells[1][2] == f"{rows[1].reading / rows[0].plain:.3f}"


def test_long_prompts_reach_the_gate_and_the_native_reference_has_none() -> None:
    direction, states = builders.direction_with_examples(), builders.states_with_examples()
    data = TargetData(states, [], [], [], builders.passage_states())
    for given, long in ((data, True), (replace(data, passages=None), False)):
        with briefly_taught():
            both = align_to(direction, given), builders.align_with_examples(long)
        made, expected = (one.spaces["cross_attn"].harm for one in both)
        assert made is not None
        assert expected is not None
        assert torch.equal(made.passage_in, expected.passage_in)
    assert native().examples is None
    assert align_to(native(), replace(data, anchors=builders.planted_states())).spaces["cross_attn"].harm is None


def test_a_random_direction_has_the_lengths_but_not_the_direction() -> None:
    original = builders.planted_direction()
    random = random_direction(original, seed=5)
    lengths = [(one.vectors / one.scale).norm(dim=-1) for one in (original, random)]
    assert torch.allclose(*lengths, rtol=1e-4)
    assert float(torch.nn.functional.cosine_similarity(original.vectors, random.vectors).abs().max()) < 0.8
    assert torch.equal(random_direction(original, seed=5).vectors, random.vectors)
    assert not torch.equal(random_direction(original, seed=6).vectors, random.vectors)


def test_shuffling_keeps_the_activations_but_not_their_prompts() -> None:
    original = builders.planted_direction()
    shuffled = shuffled_direction(original, seed=1)
    assert torch.equal(shuffled.anchor_activations.sort(0).values, original.anchor_activations.sort(0).values)
    assert not torch.equal(shuffled.anchor_activations, original.anchor_activations)
    assert shuffled.anchors == original.anchors


def test_plots_are_written_as_png(rows: list[Row], data: TargetData, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from safety_steer.evaluation import plots

    plots.draw_separation(rows, tmp_path / "new" / "separation.png")
    plots.draw_gate(prompt_scores(builders.planted_aligned(), data), tmp_path / "new" / "gate.png")
    plots.draw_layers([[0, 0.1, 0.6], [1, 0.4, 0.9]], [1], tmp_path / "new" / "layers.png")
    written = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in written] == ["gate.png", "layers.png", "separation.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in written)
