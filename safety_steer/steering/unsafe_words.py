"""Which tokens of a prompt say the unsafe thing, for `erase` to take out.

A text encoder spreads a word over its neighbours, and of an unsafe phrase often only the adjective stands out ("a *hateful*
*racist* sign"). So tokens that stand out beyond a strict benign quantile are unsafe words, and those beyond what almost any
benign prompt ever shows also take their next neighbours with them and whatever lies in a short gap between two such words.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..directions.aligned_space import TokenReading
from ..directions.pooling import take_rows
from ..directions.quantiles import at_quantile

REACH = 1  # by hand; tokens on either side
GAP = 3  # by hand; tokens
WORD_QUANTILE = 0.995  # by hand; of benign tokens
STRIKING_QUANTILE = 0.999  # by hand; of the highest tokens of benign prompts
STANDS_OUT = 0.5  # by hand; of its prompt's highest: a strong word raises all tokens, and the subject is not to go with it


def word_columns(categories: tuple[str, ...], active: Mapping[str, float]) -> list[int]:
    """Return the numbers of the categories whose words `erase` finds."""
    return [number for number, name in enumerate(categories) if name in active or categories[0] in active]


def word_standing(unsafe: Tensor, tokens: TokenReading, columns: list[int]) -> Tensor:
    """Return how far tokens stand out, given their unsafe readings (B, T, K): (B, T), 1 at the strict benign quantile."""
    limits = at_quantile(take_rows(tokens.token_quantiles, columns), WORD_QUANTILE).to(unsafe.device)
    return (unsafe / limits.clamp(min=1e-6)).amax(-1)


def word_limit(standing: Tensor) -> Tensor:
    """Return beyond what a token of each prompt (B, T) is one of its unsafe words: (B, 1)."""
    return (STANDS_OUT * standing.amax(1, keepdim=True)).clamp(min=1)


def erased_words(unsafe: Tensor, tokens: TokenReading, columns: list[int], steered: Tensor, real: Tensor) -> Tensor:
    """Return the tokens (B, T) to erase, given their unsafe readings (B, T, K), the ones steered and the real ones, (B, T)."""
    peaks = at_quantile(take_rows(tokens.prompt_quantiles, columns), STRIKING_QUANTILE).to(unsafe.device)
    standing = word_standing(unsafe, tokens, columns).masked_fill(~steered, 0)
    return unsafe_words(standing > word_limit(standing), (unsafe > peaks).any(-1) & steered, real)


def unsafe_words(flagged: Tensor, striking: Tensor, real: Tensor) -> Tensor:
    """Return the tokens (B, T) to erase, given the flagged, the striking and the real ones, all (B, T) bool.

    Striking tokens take in their neighbours and short gaps between them. The first and last real token, which in most
    encoders frame the text, are never erased; all-zero tokens neither.
    """
    inside = real & _before(real) & _after(real)
    grown = _dilate(striking & inside, REACH)
    return (flagged | _close(grown, GAP)) & inside


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
