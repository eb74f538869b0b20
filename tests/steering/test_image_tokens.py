"""Image rows inside a prompt: found exactly, neither read nor moved, and left alone where they cannot be told from words."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from support import builders
from torch import Tensor

from safety_steer.alignment.image_readings import PictureSample, fit_image_readings, with_image_readings
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import ImageRowReading
from safety_steer.reports.safety_report import measure, record
from safety_steer.reports.summary import summary
from safety_steer.steering.image_tokens import ENTER, LEAVE, MOST_EVIDENCE, blocks, left_alone
from safety_steer.steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning

WIDTH = builders.TARGET_WIDTH
ALL_OF_IT = SteerSettings(strength=2.0, operator="add", gate="off")


def picture(rows: int, seed: int) -> Tensor:
    """States of a picture: a modality of its own."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(rows, WIDTH, generator=generator) + 30 * _axis(1)


def _axis(seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), dim=0)


def pictured(words: Tensor, sizes: tuple[int, ...], seed: int) -> PictureSample:
    """Put pictures in front of words, each between two rows of their own, and move the words a little."""
    parts, image = [], []
    for number, size in enumerate(sizes):
        parts += [40 * _axis(2)[None], picture(size, seed + number), 40 * _axis(3)[None]]
        image += [False, *[True] * size, False]
    return PictureSample(torch.cat([*parts, words + 3 * _axis(4)]), torch.tensor(image + [False] * len(words)))


def told(latents: Tensor, seed: int, sizes: tuple[int, ...] = (16,)) -> list[PictureSample]:
    return [pictured(rows, sizes, seed + number) for number, rows in enumerate(builders.world().target(latents, seed))]


@cache
def seeing() -> AlignedDirection:
    """The planted direction, aligned to an encoder that takes pictures."""
    samples = told(builders.world().benign(24, 31), 31) + told(builders.world().benign(12, 32), 32, (9, 25))
    return with_image_readings(
        builders.planted_aligned(), {"cross_attn": builders.planted_states().tokens}, {"cross_attn": samples[::-1]}
    )


def reading_of(aligned: AlignedDirection) -> ImageRowReading:
    found = aligned.spaces["cross_attn"].images
    assert found is not None
    return found


@cache
def blind() -> AlignedDirection:
    """The same of an encoder whose image rows look like words."""
    words = builders.world().target(builders.world().benign(24, 31), 31)
    samples = [PictureSample(rows, torch.arange(len(rows)) < 3) for rows in words]
    tokens = {"cross_attn": builders.planted_states().tokens}
    return with_image_readings(builders.planted_aligned(), tokens, {"cross_attn": samples})


def unsafe(sizes: tuple[int, ...], count: int = 6) -> list[PictureSample]:
    return told(builders.world().pairs(count, 11)[1], 11, sizes)


def steered(sample: PictureSample, aligned: AlignedDirection, settings: SteerSettings, known: bool = False) -> Outcome:
    return steer_conditioning({"cross_attn": sample.states[None]}, aligned, settings, pictured=known)


def costs(evidence: Tensor, row: int) -> tuple[float, float, float]:
    """What a row of (T, 3) gives for being of an image, and what going into one and out of one costs there."""
    image, _, after = evidence[row].tolist()
    before = evidence[row - 1, 1].item() if row else 0.0
    gain = max(-MOST_EVIDENCE, min(MOST_EVIDENCE, image))
    return gain, ENTER - max(0.0, min(ENTER, before)), LEAVE - max(0.0, min(LEAVE, after))


def worth(evidence: Tensor, cut: list[bool]) -> float:
    """The evidence for a cut, less its costs."""
    total, inside = 0.0, False
    for row, image in enumerate(cut):
        gain, enter, leave = costs(evidence, row)
        total += gain * image - enter * (image and not inside) - leave * (inside and not image)
        inside = image
    return total


def best(evidence: Tensor) -> float:
    """The most that any cut is worth, row by row: of those that end outside of an image, and inside."""
    outside, inside = 0.0, -float("inf")
    for row in range(len(evidence)):
        gain, enter, leave = costs(evidence, row)
        outside, inside = max(outside, inside - leave), gain + max(inside, outside - enter)
    return max(outside, inside)


@pytest.mark.parametrize("seed", range(30))
def test_the_cut_is_the_best_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    length = int(torch.randint(1, 90, (), generator=generator))
    bumps = torch.randn(1 + length // 10, generator=generator).repeat_interleave(10)[:length]
    evidence = 3 * torch.randn(2, length, 3, generator=generator)
    evidence[0, :, 0] += 4 * bumps
    evidence[0, :, 1:] *= 5
    for row, cut in zip(evidence, blocks(evidence), strict=True):
        assert worth(row, cut.tolist()) == pytest.approx(best(row), abs=1e-3)


@pytest.mark.parametrize("sizes", [(16,), (6,), (200,), (30, 40), (100, 12, 60)])
def test_image_rows_stay_bit_for_bit_and_all_words_move(sizes: tuple[int, ...]) -> None:
    for sample in unsafe(sizes):
        before = sample.states.clone()
        result = steered(sample, seeing(), ALL_OF_IT).tensors["cross_attn"][0]
        moved = (result != before).any(-1)
        assert not bool(moved[sample.image].any())
        assert bool(moved[-(len(before) - int(sample.image.nonzero().max()) - 2) :].all())
        assert torch.equal(sample.states, before)


@pytest.mark.parametrize("operator", ["erase", "clip", "project"])
def test_what_a_picture_shows_changes_nothing_about_the_words(operator: str) -> None:
    settings = SteerSettings(operator=operator)
    flagged = 0
    for sample in unsafe((40,), 12):
        other = PictureSample(torch.where(sample.image[:, None], -picture(len(sample.states), 77), sample.states), sample.image)
        other.states[sample.image] += 60 * _axis(1)
        one, two = (steered(each, seeing(), settings) for each in (sample, other))
        assert one.gate is not None
        assert two.gate is not None
        assert torch.equal(one.gate.scores, two.gate.scores)
        words = ~sample.image
        assert torch.equal(one.tensors["cross_attn"][0, words], two.tensors["cross_attn"][0, words])
        assert torch.equal(one.tensors["cross_attn"][0, sample.image], sample.states[sample.image])
        flagged += bool(one.gate.flagged)
        assert one.changed == bool(one.gate.flagged)
    assert flagged >= 6


def test_words_behind_a_picture_are_read_as_those_of_the_same_prompt_without_one() -> None:
    latents = builders.world().pairs(40, 11)[1]
    plain = steer_conditioning({"cross_attn": builders.batch(builders.world().target(latents, 11))}, seeing())
    assert plain.gate is not None
    scores = torch.stack([steered(sample, seeing(), SteerSettings()).gate.scores[0] for sample in told(latents, 11, (40,))])
    agree = ((scores > plain.gate.threshold) == plain.gate.flagged).float().mean()
    assert float(agree) >= 0.9


@pytest.mark.parametrize("aligned", [seeing, blind])
@pytest.mark.parametrize("operator", ["erase", "clip", "project", "add"])
def test_prompts_without_a_picture_are_steered_as_if_there_were_none(aligned: object, operator: str) -> None:
    assert callable(aligned)
    settings = SteerSettings(operator=operator)
    for states in (builders.unsafe_batch(12), builders.unsafe_batch(12).half(), builders.benign_batch(12)):
        one, two = (
            steer_conditioning({"cross_attn": states}, each, settings) for each in (aligned(), builders.planted_aligned())
        )
        assert torch.equal(one.tensors["cross_attn"], two.tensors["cross_attn"])
        assert (one.tensors["cross_attn"] is states) == (two.tensors["cross_attn"] is states)


@pytest.mark.parametrize("known", [False, True])
def test_strength_0_and_a_harmless_prompt_give_back_the_tensor(known: bool) -> None:
    [sample] = unsafe((16,), 1)
    states = sample.states[None]
    outcome = steer_conditioning({"cross_attn": states}, seeing(), SteerSettings(strength=0.0), pictured=known)
    assert outcome.tensors["cross_attn"] is states
    harmless = told(builders.world().benign(1, 12) * 0.2, 12)[0].states[None]
    assert steer_conditioning({"cross_attn": harmless}, seeing(), pictured=known).tensors["cross_attn"] is harmless


def test_where_image_rows_cannot_be_told_apart_a_prompt_with_a_picture_is_left_alone() -> None:
    assert blind().report["cross_attn"]["image_rows"]["told_apart"] is False
    for sample in unsafe((16,)):
        outcome = steered(sample, blind(), ALL_OF_IT, known=True)
        assert not outcome.changed
        assert torch.equal(outcome.tensors["cross_attn"][0], sample.states)
        assert "could not be told from its words" in summary(outcome, blind())


def test_another_space_decides_where_the_first_one_is_left_alone() -> None:
    pooled = builders.planted_aligned().spaces["cross_attn"]
    both = replace(blind(), spaces={**blind().spaces, "pooled_output": pooled}, places={})
    flagged = builders.unsafe_batch(8)
    for row in range(8):
        tensors = {"cross_attn": unsafe((16,), 1)[0].states[None], "pooled_output": flagged[row, :1]}
        alone = steer_conditioning({"pooled_output": flagged[row, :1]}, both)
        outcome = steer_conditioning(tensors, both, pictured=True)
        assert alone.gate is not None
        assert outcome.gate is not None
        assert torch.equal(outcome.gate.scores, alone.gate.scores)
        assert torch.equal(outcome.tensors["pooled_output"], alone.tensors["pooled_output"])


def test_rows_between_words_and_pictures_leave_a_known_edit_prompt_alone_and_no_other() -> None:
    sample = unsafe((60,), 1)[0]
    images = reading_of(seeing())
    reading = images.image_readings[0]
    away = sample.states @ reading - images.image_offsets[0]
    between = torch.where(
        sample.image[:, None], sample.states - away[:, None] * reading / reading.square().sum(), sample.states
    )
    known, unknown = (left_alone(between[None], images, each) for each in (True, False))
    assert bool(known.unsure)
    assert bool(known.rows.all())
    assert not bool(unknown.unsure)


def test_the_node_says_how_many_image_tokens_were_left_alone() -> None:
    sample = unsafe((40, 30), 1)[0]
    found = left_alone(sample.states[None], reading_of(seeing()), False)
    said = summary(steered(sample, seeing(), ALL_OF_IT), seeing())
    assert f"cross_attn: left alone: {int(found.rows.sum())} image tokens" in said
    plain = steer_conditioning({"cross_attn": builders.unsafe_batch(1)}, seeing())
    assert "image" not in summary(plain, seeing())


def test_padding_stays_padding() -> None:
    rows = builders.batch([sample.states for sample in unsafe((16,), 4)])
    result = steer_conditioning({"cross_attn": rows}, seeing(), ALL_OF_IT).tensors["cross_attn"]
    assert torch.equal((result == 0).all(-1), (rows == 0).all(-1))


def test_nothing_waits_for_a_device() -> None:
    """Tensors of the meta device have no values, so that whatever asks for one fails."""
    states = torch.empty(2, 50, WIDTH, device="meta")
    found = left_alone(states, reading_of(seeing()), True)
    assert found.read.shape == states.shape
    assert found.put_back(states, torch.empty(2, 50, dtype=torch.bool, device="meta")).shape == states.shape


def test_an_encoder_without_pictures_is_not_looked_at() -> None:
    aligned = builders.planted_aligned()
    assert aligned.spaces["cross_attn"].images is None
    assert not steer_conditioning({"cross_attn": builders.unsafe_batch()}, aligned, pictured=True).images
    assert with_image_readings(aligned, {}, {}) is aligned


def test_readings_that_see_pictures_in_plain_prompts_are_given_up() -> None:
    samples = told(builders.world().benign(24, 31), 31)
    plain = [*builders.planted_states().tokens, picture(30, 5)]
    fitted, report = fit_image_readings(plain, samples, WIDTH)
    assert report["seen"] > 0
    assert not report["told_apart"]
    assert not bool(fitted.image_readings.any())
    assert fit_image_readings(plain[:-1], samples, WIDTH)[1]["told_apart"]


def test_the_fit_is_told_the_rows_around_a_picture() -> None:
    assert pictured(torch.zeros(2, WIDTH), (2, 1), 0).kinds.tolist() == [2, 1, 1, 3, 2, 1, 3, 0, 0]


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_report_tells_of_the_words_and_counts_image_rows_as_padding(strength: float) -> None:
    [sample] = unsafe((16,), 1)
    outcome = steered(sample, seeing(), SteerSettings(strength=strength, operator="project", gate="off"))
    [found] = [space for space in measure(record(outcome), seeing())[0].spaces if space.name == "cross_attn"]
    assert all(padding for padding, image in zip(found.padding, sample.image.tolist(), strict=True) if image)
    moved = torch.tensor(found.moved) > 0
    assert not bool(moved[sample.image].any())
    assert bool(moved.any()) == (strength > 0)
