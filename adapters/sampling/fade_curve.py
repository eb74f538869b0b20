"""How strongly to steer at each step: a share of the steering that rises and falls smoothly with sigma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .step_windows import EDGE, Window

Knots = tuple[float, float, float, float]

NEVER: Knots = (-1.0, -1.0, -1.0, -1.0)  # no sigma is below 0


@dataclass(frozen=True)
class Curve:
    """How strongly to steer over the sampling: fully inside `window`, fading over a share `fade` of it at its inner edges."""

    window: Window
    fade: float = 0.0

    def knots(self, percent_to_sigma: Callable[[float], float]) -> Knots:
        """Return the sigmas where steering begins, is full, begins to fade and is gone. Sigma falls, and so do they.

        Steps exactly on an edge are inside, as at the conditioning site; a window of no length holds no step.
        """
        if self.window.start == self.window.end:
            return NEVER
        start = self.window.start - EDGE * (self.window.start > 0)
        end = self.window.end + EDGE * (self.window.end < 1)
        fade = min(self.fade, (end - start) / 2)
        shares = start, start + fade * (start > 0), end - fade * (end < 1), end
        begin, full, fading, gone = (float(percent_to_sigma(share)) for share in shares)
        return begin, full, fading, gone if end < 1 else -1.0


def share_at(sigma: Tensor, knots: Knots) -> Tensor:
    """Return how much of the steering a sigma gets, 0 to 1: a smooth step up and one down, without waiting for a GPU."""
    begin, full, fading, gone = knots
    rise = ((begin - sigma) / (begin - full)).clamp(0, 1) if begin > full else (sigma <= begin).to(sigma.dtype)
    fall = ((sigma - gone) / (fading - gone)).clamp(0, 1) if fading > gone >= 0 else (sigma > gone).to(sigma.dtype)
    share = torch.minimum(rise, fall)
    return share * share * (3 - 2 * share)
