"""Score the weights of a linear layer by how much more they answer to unsafe inputs than to safe ones, and choose the highest.

Unsafe Weights Manipulation, arXiv 2503.11742, eq. 8 to 11. A weight's saliency is a product of something of its row and
something of its column, so a sample's scores are never formed: two thin matrices hold all of them, and one product their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError
from . import TAU

ALPHA = -1.0  # negation, as in the paper
FLOOR = 1e-3  # by hand; of a layer's mean, below which a norm or a spread counts as this much: no ratio is by nothing


@dataclass(frozen=True, eq=False)
class InputStats:
    """What went into a layer of d inputs in N samples: each input's L2 norm and deviation over tokens, (N, d) float32."""

    norms: Tensor
    spreads: Tensor


def input_stats(inputs: Tensor) -> InputStats:
    """Compute the norm and the standard deviation over tokens of one sample's inputs (T, d), as N = 1.

    A sample of a single token has no spread: it counts as 1 for every input.
    """
    values = inputs.float()
    spreads = values.std(0) if len(values) > 1 else torch.ones_like(values[0])
    return InputStats(values.norm(dim=0)[None].cpu(), spreads[None].cpu())


def together(samples: list[InputStats]) -> InputStats:
    """Put samples in one."""
    return InputStats(torch.cat([one.norms for one in samples]), torch.cat([one.spreads for one in samples]))


def layer_scores(weight: Tensor, safe: InputStats, unsafe: InputStats, by_weight: bool) -> Tensor:
    """Score every weight of a layer (out, in): (out, in) float32, higher for those that answer to unsafe inputs.

    Eq. 8 is S_ij = mean_k(n_k |W_ik|) mean_o(n_j |W_oj|), eq. 9 S_ij / sd_j, eq. 10 the mean over pairs of the unsafe one by
    the safe one, times |W| with `by_weight`, which is the paper's for text encoders and not for vision. Row k of `safe` and of
    `unsafe` are a pair. Raises DataError for numbers of samples or inputs that differ.
    """
    if safe.norms.shape != unsafe.norms.shape or safe.norms.shape[1] != weight.shape[1] or not len(safe.norms):
        raise DataError(
            f"Expected as many safe as unsafe samples of {weight.shape[1]} inputs, but got {tuple(safe.norms.shape)} and "
            f"{tuple(unsafe.norms.shape)}. Give both sides of every pair."
        )
    magnitude = weight.detach().float().cpu().abs()
    # mean_o |W_oj| is in both saliencies of a pair and falls out of their ratio.
    rows = _ratio(unsafe.norms @ magnitude.T, safe.norms @ magnitude.T)
    columns = _ratio(unsafe.norms, safe.norms) * _ratio(safe.spreads, unsafe.spreads)
    scores = rows.T @ columns / len(rows)
    return scores * magnitude if by_weight else scores


def chosen(scores: Tensor, tau: float = TAU) -> Tensor:
    """Choose the highest scores (out, in) that hold the share `tau` of a layer's mass: flat places, ascending, int64 (eq. 11).

    Of scores sorted ascending whose sum is 1, those beyond 1 - tau of the running sum: the last one is in whatever its size.
    None for tau 0. Raises DataError for a tau outside 0..1, or scores that are negative, not finite or all 0.
    """
    if not 0 <= tau < 1:
        raise DataError(f"Expected tau of 0 or more and below 1, but got {tau}. 0.02 is the usual value.")
    flat = scores.flatten()
    total = float(flat.double().sum())
    if not math.isfinite(total) or total <= 0 or bool((flat < 0).any()):
        raise DataError("The scores of a layer are not usable: they are 0 or not finite. Use other pairs or other layers.")
    if tau == 0:
        return torch.zeros(0, dtype=torch.int64)
    # The share tau of the mass lies in the share tau of the places at most, since the highest are above the mean.
    highest = flat.topk(min(len(flat), int(tau * len(flat)) + 1))
    mass = highest.values.double()
    above = mass.cumsum(0) - mass
    return highest.indices[above < tau * total].sort().values


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """Divide, with both sides held above a share of the mean."""
    floor = FLOOR * float((one.mean() + other.mean()) / 2)
    return one.clamp(min=floor) / other.clamp(min=floor) if floor > 0 else torch.ones_like(one)
