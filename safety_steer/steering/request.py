"""What an operator is asked: which categories steer how strongly, which prompts and tokens may move, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..directions.quantiles import LEVELS
from ..errors import DataError

TOKEN_QUANTILE = 0.75  # by hand
MAX_STRENGTH = 1000.0  # by hand; against typing errors and hostile files


@dataclass(frozen=True, eq=False)
class Request:
    """What an operator is asked: `strengths` that are not 0 of some of a direction's `categories`, and how to move tokens.

    `opening` (B,) in 0..1 scales the strengths of each prompt, None where the operator chooses prompts itself; `reach` (B, T)
    says which tokens may move, None for all. Raises DataError for a quantile out of range.
    """

    categories: tuple[str, ...]
    strengths: Mapping[str, float]
    opening: Tensor | None = None
    reach: Tensor | None = None
    token_quantile: float = TOKEN_QUANTILE
    preserve_norm: bool = False

    def __post_init__(self) -> None:
        """Check the quantile."""
        if not LEVELS[0] <= self.token_quantile <= LEVELS[-1]:
            raise DataError(f"Expected a token quantile from {LEVELS[0]} to {LEVELS[-1]}, but got {self.token_quantile}.")

    @property
    def columns(self) -> list[int]:
        """The numbers of the categories that steer."""
        return [self.categories.index(name) for name in self.strengths]


def active_strengths(strengths: Mapping[str, float], categories: tuple[str, ...]) -> dict[str, float]:
    """Return the strengths that are not 0, in the order of `categories`.

    Raises DataError for a category the direction does not have, or a strength beyond 1,000.
    """
    for name, value in strengths.items():
        if name not in categories:
            raise DataError(f"This direction has no category '{name}'. It has: {', '.join(categories)}.")
        if not abs(value) <= MAX_STRENGTH:
            raise DataError(f"The strength of '{name}' should be a finite number within {MAX_STRENGTH:g} of 0, but is {value}.")
    return {name: float(strengths[name]) for name in categories if strengths.get(name, 0.0) != 0.0}
