"""Image tokens inside an edit prompt: which rows of a conditioning tensor are hidden states of a picture, not of words.

Some text encoders take pictures into the prompt (Qwen2.5-VL of Qwen-Image-Edit), and the tensor they give has a block of rows
for each, with no word of where. A direction means nothing there. So at alignment the encoder is shown made-up pictures,
and three discriminants against words are fitted: of image rows, of the row before a block and of the row after one. A
prompt is then cut into words and blocks by the likeliest of all ways to do so, where going into a block and out of one costs
evidence: single words that look like a picture stay words, and single rows of a picture that look like words stay alone.

All readings 0 mean that this encoder takes pictures, but that their rows could not be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection, AlignedSpace, token_mask
from ..extraction.estimators import solve_shrunk
from .token_readings import EXACT_WIDTH

WORD, IMAGE, BEFORE, AFTER = range(4)
SHRINKAGE = 0.1
MOST_ROWS = 2048
MOST_EVIDENCE = 4.0  # one row's, in e-folds
TEMPER = 3.0  # rows of a picture are far from independent, and scatter more widely than words: a ratio says too much
ENTER, LEAVE = 24.0, 6.0
WEAK, MOST_WEAK = 1.0, 0.25
MOST_MISSED, MOST_LOST = 0.002, 0.05


@dataclass(frozen=True, eq=False)
class PictureSample:
    """A prompt with pictures in it: `states` (T, D), and which of them are `image` rows (T,) bool."""

    states: Tensor
    image: Tensor

    @property
    def kinds(self) -> Tensor:
        """What each row is: WORD, IMAGE, BEFORE or AFTER a block of image rows; (T,)."""
        kinds = self.image.long() * IMAGE
        kinds[:-1][self.image[1:] & ~self.image[:-1]] = BEFORE
        kinds[1:][self.image[:-1] & ~self.image[1:]] = AFTER
        return kinds


@dataclass(frozen=True, eq=False)
class ImageReadings:
    """Log-likelihood ratios against words, of an image row and of the rows before and after a block: (3, D) and (3,)."""

    readings: Tensor
    offsets: Tensor

    @classmethod
    def none(cls, width: int) -> ImageReadings:
        """Return readings that tell nothing apart."""
        return cls(torch.zeros(3, width), torch.zeros(3))


@dataclass(frozen=True, eq=False)
class LeftAlone:
    """Which `rows` (B, T) of `given` states (B, T, D) are no words; all of those prompts (B,) for which that was `unsure`.

    `shift` (B, 1, D) is how far benign words of the other prompts with a picture lie from those of prompts without one.
    """

    given: Tensor
    rows: Tensor
    unsure: Tensor
    shift: Tensor

    @property
    def read(self) -> Tensor:
        """The states to read and steer: image rows are zeros, as padding is, and words where those without a picture lie."""
        moved = (self.given.float() - self.shift).to(self.given.dtype)
        words = torch.where(token_mask(self.given)[..., None] & (self.shift != 0), moved, self.given)
        return torch.where(self.rows[..., None], 0, words)

    def put_back(self, steered: Tensor, moved: Tensor) -> Tensor:
        """Return the given states with the steered ones (B, T, D) of words that were `moved` (B, T) in their places."""
        words = torch.where(self.shift != 0, (steered.float() + self.shift).to(steered.dtype), steered)
        return torch.where((moved & ~self.rows)[..., None], words, self.given)


def left_alone(states: Tensor, space: AlignedSpace, pictured: bool) -> LeftAlone | None:
    """Find the image rows of conditioning (B, T, D); None for an encoder that takes no pictures.

    `pictured` says that a prompt is known to come with a picture: where many of its rows are then neither clearly words nor
    clearly a picture's, all of them are left alone. Nothing here waits for a GPU.
    """
    if space.image_readings is None or space.image_offsets is None or space.image_shift is None:
        return None
    real = token_mask(states)
    evidence = _evidence(states, ImageReadings(space.image_readings, space.image_offsets), real)
    found = _blocks(evidence) & real
    weak = ((evidence[..., 0].abs() < WEAK) & real).sum(-1)
    unsure = (weak > MOST_WEAK * real.sum(-1)) & pictured
    shift = space.image_shift.to(states.device) * (found.any(-1) & ~unsure)[:, None, None]
    return LeftAlone(states, torch.where(unsure[:, None], real, found), unsure, shift)


def with_image_readings(
    aligned: AlignedDirection, words: Mapping[str, Sequence[Tensor]], samples: Mapping[str, Sequence[PictureSample]]
) -> AlignedDirection:
    """Return an aligned direction that knows image rows in the spaces of `samples`, given tokens (T_i, D) of plain prompts.

    It also knows where benign words behind a picture lie. What was found goes into its report as `image_rows`. An encoder
    that takes no pictures has no `samples`, and the direction itself is returned.
    """
    spaces, report = dict(aligned.spaces), dict(aligned.report)
    for name in samples.keys() & spaces.keys():
        fitted, found = fit_image_readings(words[name], samples[name], spaces[name].width)
        spaces[name] = _taught(spaces[name], fitted, samples[name])
        report[name] = {**report[name], "image_rows": found}
    return aligned if not samples else replace(aligned, spaces=MappingProxyType(spaces), report=report)


def _taught(space: AlignedSpace, fitted: ImageReadings, samples: Sequence[PictureSample]) -> AlignedSpace:
    """Return a space with image readings, that takes the words of these benign prompts with pictures for its own."""
    taught = replace(
        space, image_readings=fitted.readings, image_offsets=fitted.offsets, image_shift=torch.zeros_like(space.mean)
    )
    if not bool(fitted.readings.any()):
        return taught
    words = [sample.states[sample.kinds == WORD] for sample in samples]
    pooled = torch.stack([rows.mean(0) for rows in words])
    shift = pooled.mean(0) - space.mean
    farthest = space.distance(pooled - shift, torch.tensor([len(rows) for rows in words])).max()
    return replace(taught, image_shift=shift, fit_limit=torch.maximum(space.fit_limit, 2 * farthest))


def fit_image_readings(
    words: Sequence[Tensor], samples: Sequence[PictureSample], width: int
) -> tuple[ImageReadings, dict[str, Any]]:
    """Fit readings on prompts without pictures (T_i, D) and with them, and judge them on the last quarter of the latter.

    Readings that miss image rows of unseen pictures, or see a picture in a prompt that has none, are given up: those that
    are returned then tell nothing apart. The second value says so, and which shares of image rows were `missed`, of words
    `lost`, and of prompts without a picture `seen` to have one.
    """
    if len(samples) < 2:
        return ImageReadings.none(width), {"told_apart": False}
    cut = len(samples) - max(1, len(samples) // 4)
    judged = _discriminants(words, samples[:cut])
    missed = sum(int((sample.image & ~_found(sample.states, judged)).sum()) for sample in samples[cut:])
    lost = sum(int((_found(sample.states, judged) & (sample.kinds == WORD)).sum()) for sample in samples[cut:])
    pictures = sum(int(sample.image.sum()) for sample in samples[cut:])
    spoken = sum(int((sample.kinds == WORD).sum()) for sample in samples[cut:])
    fitted = _discriminants(words, samples)
    seen = sum(bool(_found(rows, fitted).any()) for rows in words)
    told = missed <= MOST_MISSED * pictures and lost <= MOST_LOST * spoken and not seen
    shares = {"missed": missed / pictures, "lost": lost / max(1, spoken), "seen": seen / max(1, len(words))}
    return fitted if told else ImageReadings.none(width), {"told_apart": told, **shares}


def _discriminants(words: Sequence[Tensor], samples: Sequence[PictureSample]) -> ImageReadings:
    """Fit linear discriminants of the kinds of rows, words and image rows weighing the same in the covariance."""
    states = torch.cat([sample.states.float() for sample in samples])
    kinds = torch.cat([sample.kinds for sample in samples])
    plain = _some(torch.cat([rows.float() for rows in words]))
    clouds = [plain, _some(states[kinds == WORD]), _some(states[kinds == IMAGE])]
    weights = 0.25, 0.25, 0.5
    factor = torch.cat(
        [(rows - rows.mean(0)) * (weight / len(rows)) ** 0.5 for rows, weight in zip(clouds, weights, strict=True)]
    )
    scale = factor.square().sum(0).sqrt().clamp(min=1e-12)
    # Words behind a picture have seen it, so that they lie nearer to it than those of a prompt without one.
    middle = clouds[1].mean(0)
    means = [states[kinds == kind].mean(0) if bool((kinds == kind).any()) else middle for kind in (IMAGE, BEFORE, AFTER)]
    apart = torch.stack(means) - middle
    wide = len(middle) > EXACT_WIDTH
    readings = solve_shrunk(factor / scale, apart / scale, SHRINKAGE, over_rows=wide) / scale
    return ImageReadings(readings, (readings * (torch.stack(means) + middle) / 2).sum(-1))


def _some(rows: Tensor) -> Tensor:
    """Return at most 2,048 rows, evenly spread."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, MOST_ROWS).long()]


def _found(states: Tensor, readings: ImageReadings) -> Tensor:
    """Return the image rows of one prompt (T, D)."""
    rows = states[None].float()
    return _blocks(_evidence(rows, readings, token_mask(rows)))[0]


def _evidence(states: Tensor, readings: ImageReadings, real: Tensor) -> Tensor:
    """Read every row as image row, and as the row before and after a block: (B, T, 3); padding says nothing."""
    ratios = states.float() @ readings.readings.to(states.device).T - readings.offsets.to(states.device)
    return ratios / TEMPER * real[..., None]


def _blocks(evidence: Tensor) -> Tensor:
    """Cut prompts into words and image rows, given evidence (B, T, 3): which rows (B, T) are of an image.

    Of all cuts the one with the most evidence, where a block costs ENTER, less what speaks for the row before it, and LEAVE,
    less what speaks for the row after it. With d the lead of the best cut so far that has the last row in an image over
    the best that has not, a row of evidence g turns d into clamp(d, -enter, leave) + g; the same backwards for what follows.
    """
    gain = evidence[..., 0].clamp(-MOST_EVIDENCE, MOST_EVIDENCE)
    before = torch.nn.functional.pad(evidence[:, :-1, 1], (1, 0))
    enter, leave = ENTER - before.clamp(0, ENTER), LEAVE - evidence[..., 2].clamp(0, LEAVE)
    # A prompt begins outside of any image, so that the lead is the least there can be.
    _, so_far, _ = _composed(gain, gain - enter, gain + leave)
    shift, low, high = (part.flip(1) for part in _composed(*(part[:, 1:].flip(1) for part in (gain, -leave, enter))))
    following = torch.minimum(torch.maximum(shift, low), high)
    return so_far + torch.nn.functional.pad(following, (0, 1)) > 0


def _composed(shift: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compose the maps x -> clamp(x + shift, low, high) of every row (B, T) with all those before it.

    Clamped shifts stay clamped shifts, so T of them take log2 T steps side by side instead of T one after another.
    """
    reach = 1
    while reach < shift.shape[1]:
        first, later = slice(None, -reach), slice(reach, None)
        floor, ceiling, added = low[:, later], high[:, later], shift[:, later]
        joined = (
            shift[:, first] + added,
            torch.minimum(torch.maximum(low[:, first] + added, floor), ceiling),
            torch.minimum(torch.maximum(high[:, first] + added, floor), ceiling),
        )
        shift, low, high = (
            torch.cat([whole[:, :reach], part], 1) for whole, part in zip((shift, low, high), joined, strict=True)
        )
        reach *= 2
    return shift, low, high
