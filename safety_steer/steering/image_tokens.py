"""Image tokens inside an edit prompt: which rows of a conditioning tensor are hidden states of a picture, not of words.

Some text encoders take pictures into the prompt (Qwen2.5-VL of Qwen-Image-Edit), and the tensor they give has a block of rows
for each, with no word of where. A direction means nothing there. With readings that `alignment.image_readings` fitted, a
prompt is cut into words and blocks by the likeliest of all ways to do so, where going into a block and out of one costs
evidence: single words that look like a picture stay words, and single rows of a picture that look like words stay alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..directions.aligned_space import ImageRowReading
from ..directions.pooling import token_mask

MOST_EVIDENCE = 4.0  # by hand, in e-folds; one row's
TEMPER = 3.0  # by hand; rows of a picture are far from independent, and scatter more widely than words: a ratio says too much
ENTER, LEAVE = 24.0, 6.0  # by hand, in e-folds
WEAK, MOST_WEAK = 1.0, 0.25  # by hand: in e-folds; the share of a prompt's rows


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


def left_alone(states: Tensor, reading: ImageRowReading, pictured: bool) -> LeftAlone:
    """Find the image rows of conditioning (B, T, D) of an encoder that takes pictures.

    `pictured` says that a prompt is known to come with a picture: where many of its rows are then neither clearly words nor
    clearly a picture's, all of them are left alone. Nothing here waits for a GPU.
    """
    real = token_mask(states)
    heard = evidence(states, reading, real)
    found = blocks(heard) & real
    weak = ((heard[..., 0].abs() < WEAK) & real).sum(-1)
    unsure = (weak > MOST_WEAK * real.sum(-1)) & pictured
    shift = reading.image_shift.to(states.device) * (found.any(-1) & ~unsure)[:, None, None]
    return LeftAlone(states, torch.where(unsure[:, None], real, found), unsure, shift)


def evidence(states: Tensor, reading: ImageRowReading, real: Tensor) -> Tensor:
    """Read every row as image row, and as the row before and after a block: (B, T, 3); padding says nothing."""
    ratios = states.float() @ reading.image_readings.to(states.device).T - reading.image_offsets.to(states.device)
    return ratios / TEMPER * real[..., None]


def blocks(evidence: Tensor) -> Tensor:
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
