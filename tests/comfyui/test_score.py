"""Safety Score: above 0 exactly where the gate opens, and nothing changes by it."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words
from support.comfyui.reporting import CATEGORIES


def score(conditioning: Any, kind: str = "sd15", **inputs: Any) -> tuple[Any, ...]:
    return tuple(running_comfyui.call("SafetyScore", direction=tiny.aligned(kind), conditioning=conditioning, **inputs))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_score_is_above_0_exactly_where_the_gate_opens(kind: str) -> None:
    gate = running_comfyui.module("safety_steer.steering.gate")
    spaces = running_comfyui.module("safety_steer.directions.text_spaces")
    direction = tiny.aligned(kind)
    [first, place] = next(iter(direction.places.items()))
    for text, flagged in ((words.DANGEROUS, True), (words.HARMLESS, False)):
        conditioning = tiny.encode(tiny.clip(kind), text)
        states = spaces.take({**conditioning[0][1], "cross_attn": conditioning[0][0]}, place)
        decision = gate.open_gate(states[:, None] if states.ndim == 2 else states, direction.spaces[first])
        made = score(conditioning, kind)
        assert made[0] == pytest.approx(float(decision.scores[0]) - decision.threshold, abs=1e-4)
        assert (made[0] > 0) == made[1] == flagged
        assert made[2] in CATEGORIES


def test_a_score_changes_nothing_and_the_most_unsafe_prompt_decides() -> None:
    clip = tiny.clip("sd15")
    both = tiny.encode(clip, words.HARMLESS) + tiny.encode(clip, words.DANGEROUS)
    kept = [states.clone() for states, _ in both]
    made = score(both)
    assert made[1] is True
    assert made[0] == max(score([pair])[0] for pair in both)
    assert all(torch.equal(states, old) for (states, _), old in zip(both, kept, strict=True))
    assert made[3].shape[0] == 1
    assert made[3].shape[3] == 3
    assert "the gate would open" in made[4]


def test_a_prompt_without_text_cannot_be_scored() -> None:
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    with pytest.raises(error, match="no text to score"):
        score([[None, {}]])
