"""Refusing a prompt: who is refused, how a replacement fades in, and what of an entry stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support import builders

from safety_steer import SteerSettings, steer_conditioning
from safety_steer.directions.aligned import AlignedDirection, gate_categories
from safety_steer.errors import MismatchError
from safety_steer.steering.refuse import fade, refusal, replaced
from safety_steer.steering.steer_conditioning import Outcome


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def judged(states: torch.Tensor, aligned: AlignedDirection, **settings: Any) -> tuple[Outcome, SteerSettings]:
    chosen = SteerSettings(**settings)
    return steer_conditioning({"cross_attn": states}, aligned, chosen), chosen


def test_the_gate_says_who_is_refused() -> None:
    aligned = builders.planted_aligned()
    outcome, settings = judged(builders.batch([*builders.unsafe_batch(2), *builders.benign_batch(2)]), aligned)
    found = refusal(outcome, aligned, settings)
    assert found is not None
    assert found.opening.tolist() == [1, 1, 0, 0]
    assert found.refused
    assert found.worst in (0, 1)
    benign, settings = judged(builders.benign_batch(4), aligned)
    found = refusal(benign, aligned, settings)
    assert found is not None
    assert not found.refused


def test_without_any_strength_nothing_is_refused() -> None:
    aligned = builders.planted_aligned()
    for strengths, strength in (({}, 1.0), ({"global": 1.0}, 0.0)):
        own = replace(aligned, strengths=strengths)
        outcome, settings = judged(builders.unsafe_batch(), own, strength=strength)
        assert refusal(outcome, own, settings) is None


def test_only_categories_with_a_strength_count_by_the_likeliest_one() -> None:
    aligned = builders.planted_aligned()
    outcome, _ = judged(builders.unsafe_batch(6), aligned)
    assert outcome.gate is not None
    names = gate_categories(aligned.categories)
    likeliest = [names[place] for place in outcome.gate.by_category.argmax(-1).tolist()]
    assert len(set(likeliest)) > 1
    for name in set(likeliest):
        own = replace(aligned, strengths={name: 1.0})
        found = refusal(judged(builders.unsafe_batch(6), own)[0], own, SteerSettings())
        assert found is not None
        assert found.opening.tolist() == [float(one == name) for one in likeliest]


def test_a_further_text_is_refused_with_its_prompt() -> None:
    aligned = builders.planted_aligned()
    benign, settings = judged(builders.benign_batch(1), aligned)
    unsafe, _ = judged(builders.unsafe_batch(1), aligned)
    found = refusal(replace(benign, copies={"cross_attn_pose": unsafe}), aligned, settings)
    assert found is not None
    assert found.refused
    assert found.gate is unsafe.gate


def test_at_0_and_at_1_the_very_tensors_come_back() -> None:
    before, after = noise(2, 5, 3), noise(1, 7, 3, seed=1)
    assert fade(before, after, torch.zeros(2)) is before
    assert fade(before, after, torch.ones(2)) is after


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_at_0_keep_their_bits_and_rows_at_1_are_the_replacement(dtype: torch.dtype) -> None:
    before, after = noise(3, 5, 4).to(dtype), noise(1, 5, 4, seed=1).to(dtype)
    before[0, 0, 0] = -0.0
    kept = before.clone()
    made = fade(before, after, torch.tensor([0.0, 0.25, 1.0]))
    assert made.dtype == dtype
    assert torch.equal(made[0].view(torch.uint8), kept[0].view(torch.uint8))
    assert torch.equal(made[2], after[0])
    torch.testing.assert_close(made[1], torch.lerp(kept[1].float(), after[0].float(), 0.25).to(dtype))
    assert torch.equal(before, kept)


@pytest.mark.parametrize(("own", "other"), [(5, 7), (7, 5)])
def test_the_shorter_prompt_goes_on_with_zeros(own: int, other: int) -> None:
    before, after = noise(1, own, 3), noise(1, other, 3, seed=1)
    made = fade(before, after, torch.tensor([0.25]))
    assert made.shape == (1, 7, 3)
    torch.testing.assert_close(made[:, :5], 0.75 * before[:, :5] + 0.25 * after[:, :5])
    rest = 0.75 * before[:, 5:] if own == 7 else 0.25 * after[:, 5:]
    torch.testing.assert_close(made[:, 5:], rest)


def test_it_fades_evenly_from_one_prompt_to_the_other() -> None:
    before, after = noise(1, 4, 3), noise(1, 6, 3, seed=1)
    steps = [fade(before, after, torch.tensor([share])) for share in (0.001, 0.5, 0.999)]
    distances = [float((one - torch.nn.functional.pad(before, [0, 0, 0, 2])).norm()) for one in steps]
    assert distances == sorted(distances)
    torch.testing.assert_close(steps[-1], after, atol=0.01, rtol=0.01)


def test_layers_side_by_side_fade_along_their_tokens() -> None:
    made = fade(noise(1, 2, 5, 3), noise(1, 2, 6, 3, seed=1), torch.tensor([0.5]))
    assert made.shape == (1, 2, 6, 3)


@pytest.mark.parametrize("shape", [(1, 5, 4), (2, 5, 3), (1, 5)])
def test_text_of_another_shape_is_one_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match="same CLIP, one prompt at a time"):
        fade(noise(3, 5, 3), noise(*shape), torch.full((3,), 0.5))


def entry(tokens: int = 5, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"cross_attn": noise(1, tokens, 3, seed=seed), "pooled_output": noise(1, 4, seed=seed + 9), **more}


PLACE = {
    "area": (8, 8, 0, 0),
    "mask": noise(1, 8, 8),
    "strength": 0.5,
    "start_percent": 0.2,
    "end_percent": 0.7,
    "guidance": 3.5,
}
WITH_IT = {"control": object(), "hooks": object(), "reference_latents": [noise(1, 4, 8, 8)], "width": 1024}


def test_a_whole_replacement_is_the_others_text_in_the_entrys_place() -> None:
    own = entry(attention_mask=torch.ones(1, 5), gligen=object(), t5xxl_ids=torch.ones(1, 5), **PLACE, **WITH_IT)
    other = entry(7, seed=1, area=(1, 1, 1, 1), conditioning_lyrics=noise(1, 2, 3), strength=1.0)
    made = replaced(own, other, torch.ones(1))
    text = ("cross_attn", "pooled_output", "conditioning_lyrics")
    assert made.keys() == {*text, *PLACE, *WITH_IT}
    assert all(made[key] is other[key] for key in text)
    assert all(made[key] is own[key] for key in (*PLACE, *WITH_IT))


def test_a_part_of_it_fades_states_and_joins_masks() -> None:
    own, other = entry(5, **PLACE), entry(7, seed=1, attention_mask=torch.tensor([[1, 1, 1, 0, 0, 0, 1]]), text_input_ids=[1])
    share = torch.tensor([0.5])
    made = replaced(own, other, share)
    assert torch.equal(made["cross_attn"], fade(own["cross_attn"], other["cross_attn"], share))
    torch.testing.assert_close(made["pooled_output"], (own["pooled_output"] + other["pooled_output"]) / 2)
    assert made["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 1]]
    assert made["text_input_ids"] is other["text_input_ids"]
    back = replaced(other, own, share)
    assert back["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 1]]
    assert "text_input_ids" not in back


def test_the_prompt_of_a_pose_is_replaced_too() -> None:
    own, other = entry(cross_attn_pose=noise(1, 5, 3)), entry(seed=1)
    assert replaced(own, other, torch.ones(1))["cross_attn_pose"] is other["cross_attn"]
    assert "cross_attn_pose" not in replaced(entry(), other, torch.ones(1))


def test_a_pooled_state_that_is_not_there_stays_away() -> None:
    made = replaced(entry(), {"cross_attn": noise(1, 5, 3), "pooled_output": None}, torch.tensor([0.5]))
    assert made["pooled_output"] is None
