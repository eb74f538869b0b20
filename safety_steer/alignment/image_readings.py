"""How image rows inside a prompt are told from words: three discriminants, fitted at alignment.

The encoder is shown made-up pictures, and discriminants against words are fitted of image rows, of the row before a block of
them and of the row after one; `steering.image_tokens` finds blocks with them. All readings 0 mean that this encoder takes
pictures, but that their rows could not be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.aligned_space import AlignedSpace, ImageRowReading
from ..directions.pooling import token_mask
from ..extraction.estimators import solve_shrunk
from ..steering.image_tokens import blocks, evidence
from .token_readings import EXACT_WIDTH

WORD, IMAGE, BEFORE, AFTER = range(4)
SHRINKAGE = 0.1  # by hand
MOST_ROWS = 2048  # by hand
MOST_MISSED, MOST_LOST = 0.002, 0.05  # by hand; shares


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
        spaces[name] = with_fitted_readings(spaces[name], fitted, samples[name])
        report[name] = {**report[name], "image_rows": found}
    return aligned if not samples else replace(aligned, spaces=MappingProxyType(spaces), report=report)


def with_fitted_readings(space: AlignedSpace, fitted: ImageRowReading, samples: Sequence[PictureSample]) -> AlignedSpace:
    """Return a space with image readings, that takes the words of these benign prompts with pictures for its own."""
    if not bool(fitted.image_readings.any()):
        return replace(space, images=fitted)
    encoder, words = space.encoder, [sample.states[sample.kinds == WORD] for sample in samples]
    pooled = torch.stack([rows.mean(0) for rows in words])
    shift = pooled.mean(0) - encoder.mean
    farthest = encoder.distance(pooled - shift, torch.tensor([len(rows) for rows in words])).max()
    limit = torch.maximum(encoder.fit_limit, 2 * farthest)
    return replace(space, images=replace(fitted, image_shift=shift), encoder=replace(encoder, fit_limit=limit))


def fit_image_readings(
    words: Sequence[Tensor], samples: Sequence[PictureSample], width: int
) -> tuple[ImageRowReading, dict[str, Any]]:
    """Fit readings on prompts without pictures (T_i, D) and with them, and judge them on the last quarter of the latter.

    Readings that miss image rows of unseen pictures, or see a picture in a prompt that has none, are given up: those that
    are returned then tell nothing apart. The second value says so, and which shares of image rows were `missed`, of words
    `lost`, and of prompts without a picture `seen` to have one.
    """
    if len(samples) < 2:
        return ImageRowReading.none(width), {"told_apart": False}
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
    return fitted if told else ImageRowReading.none(width), {"told_apart": told, **shares}


def _discriminants(words: Sequence[Tensor], samples: Sequence[PictureSample]) -> ImageRowReading:
    """Fit linear discriminants of the kinds of rows, words and image rows weighing the same in the covariance."""
    states = torch.cat([sample.states.float() for sample in samples])
    kinds = torch.cat([sample.kinds for sample in samples])
    plain = subsample(torch.cat([rows.float() for rows in words]))
    clouds = [plain, subsample(states[kinds == WORD]), subsample(states[kinds == IMAGE])]
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
    offsets = (readings * (torch.stack(means) + middle) / 2).sum(-1)
    return ImageRowReading(readings, offsets, torch.zeros_like(middle))


def subsample(rows: Tensor) -> Tensor:
    """Return at most 2,048 rows, evenly spread."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, MOST_ROWS).long()]


def _found(states: Tensor, readings: ImageRowReading) -> Tensor:
    """Return the image rows of one prompt (T, D)."""
    rows = states[None].float()
    return blocks(evidence(rows, readings, token_mask(rows)))[0]
