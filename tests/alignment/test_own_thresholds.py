"""Thresholds from a user's own harmless prompts, beside the anchors or in their place."""

from __future__ import annotations

import pytest
import torch
from support import builders
from support.builders import SPACE

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import AnchorStates, collect
from safety_steer.directions.space_file import space_tensors
from safety_steer.errors import AlignmentError
from safety_steer.steering.gate import open_gate


def test_further_benign_prompts_change_thresholds_only() -> None:
    world = builders.world()
    extra = collect([{SPACE: world.target(1.3 * world.benign(100, seed=51), seed=51)}], 100)
    plain = builders.planted_aligned().spaces[SPACE]
    more = align(builders.planted_direction(), {SPACE: builders.planted_states()}, "more", extra_benign=extra).spaces[SPACE]
    for name in ("gate_weights", "gate_biases", "mean", "scale", "vectors", "probes"):
        assert torch.equal(space_tensors(more)[name], space_tensors(plain)[name]), name
    cosines = torch.nn.functional.cosine_similarity(more.tokens.readings, plain.tokens.readings)
    assert torch.allclose(cosines, torch.ones(3), atol=1e-6)
    assert float(more.gate.gate_quantiles[0, -2]) > float(plain.gate.gate_quantiles[0, -2])
    for name in ("gate_quantiles", "token_quantiles", "prompt_quantiles"):
        assert not torch.equal(space_tensors(more)[name], space_tensors(plain)[name]), name


def own_states(count: int) -> dict[str, AnchorStates]:
    world = builders.world()
    return collect([{SPACE: world.target(0.3 * world.benign(count, seed=61), seed=61)}], count)


def test_thresholds_from_own_prompts_alone_are_theirs() -> None:
    own = own_states(400)
    settings = AlignSettings(thresholds="own")
    aligned = align(builders.planted_direction(), {SPACE: builders.planted_states()}, "own", settings, extra_benign=own)
    space, plain = aligned.spaces[SPACE], builders.planted_aligned().spaces[SPACE]
    share = sum(float(open_gate(rows[None].float(), space, rate=0.05).flagged) for rows in own[SPACE].tokens) / 400
    assert share == pytest.approx(0.05, abs=0.01)
    assert torch.equal(space.vectors, plain.vectors)
    assert float(space.gate.gate_quantiles[0, -1]) < float(plain.gate.gate_quantiles[0, -1])


@pytest.mark.parametrize("count", [0, 199])
def test_too_few_own_prompts_for_thresholds_are_refused(count: int) -> None:
    own = own_states(count) if count else None
    with pytest.raises(AlignmentError, match="at least 200"):
        align(
            builders.planted_direction(),
            {SPACE: builders.planted_states()},
            "own",
            AlignSettings(thresholds="own"),
            extra_benign=own,
        )
