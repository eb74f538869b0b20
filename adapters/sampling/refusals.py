"""Judge the entries of a CONDITIONING, and put another prompt in the place of those that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import DataError
from ...safety_steer.reports.summary import summary, verdict
from ...safety_steer.steering.refuse import Refusal, refusal, replaced
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from .entries import STEERED, steer_entry
from .step_windows import Entry


@dataclass(frozen=True, eq=False)
class Judged:
    """An entry, its `steered` copy, what steering did, and how far it is refused; no outcome for one without text."""

    entry: Entry
    steered: Entry
    outcome: Outcome | None = None
    refusal: Refusal | None = None

    @property
    def refused(self) -> bool:
        """Whether any of the entry's prompts is refused, if only in part."""
        return self.refusal is not None and self.refusal.refused


def judge(entries: Sequence[Entry], direction: AlignedDirection, settings: SteerSettings) -> list[Judged]:
    """Ask the gate about every entry. Raises MismatchError for text the direction is not aligned to."""
    return [_judged(entry, direction, settings) for entry in entries]


def _judged(entry: Entry, direction: AlignedDirection, settings: SteerSettings) -> Judged:
    if entry.get("cross_attn") is None:
        return Judged(entry, entry)
    steered, outcome = steer_entry(entry, direction, settings)
    return Judged(entry, steered, outcome, refusal(outcome, direction, settings))


def in_place(judged: Judged, other: Entry, direction: AlignedDirection, settings: SteerSettings) -> Entry:
    """Return a refused entry with another prompt in its place, as far as it is refused.

    Raises MismatchError for one that another encoder made, and DataError for one that would be refused itself.
    """
    assert judged.refusal is not None
    [checked] = judge([other], direction, settings)
    if checked.outcome is None:
        raise DataError("The replacement has no text. Connect the output of CLIP Text Encode to replacement.")
    if checked.refusal is not None and checked.refusal.refused:
        said = verdict(checked.refusal.gate, checked.refusal.worst, direction)
        raise DataError(
            f"Expected a harmless replacement for an unsafe prompt, but it is {said} itself. Change safe_prompt, or what is "
            "connected to replacement, on Refuse Unsafe Prompt."
        )
    made = replaced(judged.entry, other, judged.refusal.opening)
    # A blend may lie further from harmless prompts than any encoder's own text.
    partly = bool((judged.refusal.opening < 1).any())
    return {**made, STEERED: True} if partly else {name: value for name, value in made.items() if name != STEERED}


def said(judged: Sequence[Judged], direction: AlignedDirection, became: str | None) -> str:
    """Say what the gate thinks of every entry with text, and what became of a refused one: "replaced"; None: it was steered."""
    parts = [_said(one, direction, became) for one in judged if one.outcome is not None]
    if len(parts) == 1:
        return parts[0]
    return "\n".join(f"entry {number}:\n{part}" for number, part in enumerate(parts, 1)) or "nothing to judge: there is no text"


def _said(one: Judged, direction: AlignedDirection, became: str | None) -> str:
    assert one.outcome is not None
    gate = one.outcome.gate
    if one.refusal is None or gate is None:
        return "nothing is refused: every strength is 0"
    if one.refused and became is None:
        return summary(one.outcome, direction)
    lines = []
    for row, share in enumerate(one.refusal.opening.tolist()):
        what = "passes as it is" if share == 0 else became if share >= 1 else f"{became}, {share:.0%} of it"
        lines.append(f"prompt {row + 1}: {verdict(gate, row, direction)}: {what}")
    return "\n".join(lines)
