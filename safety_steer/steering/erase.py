"""Which tokens say the unsafe thing, and what to put in their place: the half of `erase` that is not turning.

A text encoder spreads a word over its neighbours, and of an unsafe phrase often only the adjective stands out ("a *hateful*
*racist* sign"). So tokens that stand out beyond a strict benign quantile are unsafe words, and those beyond what almost any
benign prompt ever shows also take their next neighbours with them and whatever lies in a short gap between two such words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 1  # tokens on either side
GAP = 3  # tokens


def unsafe_words(flagged: Tensor, striking: Tensor, real: Tensor) -> Tensor:
    """Return the tokens (B, T) to erase, given the flagged, the striking and the real ones, all (B, T) bool.

    Striking tokens take in their neighbours and short gaps between them. The first and last real token, which in most
    encoders frame the text, are never erased; all-zero tokens neither.
    """
    inside = real & _before(real) & _after(real)
    grown = _dilate(striking & inside, REACH)
    return (flagged | _close(grown, GAP)) & inside


def fill_from_rest(states: Tensor, erased: Tensor, real: Tensor, share: Tensor, preserve_norm: bool = False) -> Tensor:
    """Move erased tokens of (B, T, D) toward the mean of their prompt's other tokens, by a share (B,) from 0 to 1.

    A prompt without other tokens is left alone. With `preserve_norm` each token keeps its length. `states` is not written to.
    """
    kept = (real & ~erased).to(torch.float32)
    count = kept.sum(1, keepdim=True)
    rest = torch.einsum("btd,bt->bd", states.float(), kept) / count.clamp(min=1)
    amount = (erased & (count > 0)).float() * share.to(states.device)[:, None]
    moved = torch.lerp(states.float(), rest[:, None].expand_as(states), amount[..., None])
    if preserve_norm:
        lengths = states.float().norm(dim=-1, keepdim=True)
        moved = moved * (lengths / moved.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    return torch.where((amount > 0)[..., None], moved.to(states.dtype), states)


def _before(real: Tensor) -> Tensor:
    """Return where some real token comes earlier."""
    return real.cumsum(1) - real.long() > 0


def _after(real: Tensor) -> Tensor:
    """Return where some real token comes later."""
    return _before(real.flip(1)).flip(1)


def _dilate(chosen: Tensor, reach: int) -> Tensor:
    """Add the tokens within `reach` of a chosen one."""
    return F.max_pool1d(chosen.float()[:, None], 2 * reach + 1, 1, reach)[:, 0] > 0


def _close(chosen: Tensor, gap: int) -> Tensor:
    """Add runs of at most `gap` tokens between two chosen ones."""
    places = torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)
    last = torch.where(chosen, places, -gap - 2).cummax(1).values
    following = torch.where(chosen, places, chosen.shape[1] + gap + 2).flip(1).cummin(1).values.flip(1)
    return chosen | (following - last <= gap + 1)
