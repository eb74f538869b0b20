"""What steering did to pictures that came in, as plain numbers: for the text and the JSON of a report.

A picture has no words, so what is told of it is what the gate thought and how far each of its vision spaces moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..directions.aligned import AlignedDirection, gate_categories
from ..steering.steer_conditioning import Outcome
from .summary import moved_share


@dataclass(frozen=True)
class PictureReport:
    """What was done to one picture. Above `threshold` it is flagged; `category` is the likeliest one, whether flagged or not.

    `score` is None where there is nothing to read. `moved` says for each vision space how far its moved parts went, as a share
    of their length; 0 for one left as it was. `past` names the ways by which a picture comes in past CLIP vision too, as it is.
    """

    encoder: str
    category: str
    flagged: bool
    score: float | None
    threshold: float
    moved: tuple[tuple[str, float], ...]
    past: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "moved": dict(self.moved), "past": list(self.past)}

    def text(self, number: int) -> str:
        """Say it in a line or two; `number` counts pictures from 1."""
        verdict = f"flagged as {self.category.replace('_', ' ')}" if self.flagged else "not flagged"
        done = ", ".join(f"{name} moved by {share:.0%}" for name, share in self.moved if share) or "left as it was"
        score = "none" if self.score is None else f"{self.score:+.1f}"
        line = f"Picture {number}: {verdict} (score {score}, limit {self.threshold:+.1f}), {done}."
        return f"{line}\n  a picture comes in as {', '.join(self.past)} too, which stays as it is" if self.past else line


def picture_reports(
    outcomes: Sequence[Outcome], aligned: AlignedDirection, past: Sequence[str] = (), used: bool = True
) -> list[PictureReport]:
    """Report on every picture of some outcomes; none where every strength was 0, as no gate was asked then.

    Not `used` when a window without steps throws away what was steered.
    """
    names = gate_categories(aligned.categories)
    return [
        PictureReport(
            encoder=aligned.encoder,
            category=names[int(outcome.gate.by_category[row].argmax())],
            flagged=bool(outcome.gate.flagged[row]),
            score=_finite(float(outcome.gate.scores[row])),
            threshold=float(outcome.gate.threshold),
            moved=tuple((name, moved_share(steered, row) if used else 0.0) for name, steered in outcome.spaces.items()),
            past=tuple(past),
        )
        for outcome in outcomes
        if outcome.gate is not None
        for row in range(len(outcome.gate.scores))
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
