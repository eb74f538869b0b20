"""What steering did to one conditioning entry, in a few lines: the text on a node, in a log or on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..directions.aligned import AlignedDirection, gate_categories
from ..steering.gate import GateDecision
from ..steering.image_tokens import LeftAlone
from ..steering.operators import Steered
from ..steering.steer_conditioning import Outcome
from .text import left_alone_lines


def summary(outcome: Outcome, aligned: AlignedDirection, noun: str = "prompt") -> str:
    """Say in a few lines what steering did to one conditioning entry, for a node, a log or a terminal.

    `noun` is what its rows are: prompts, or pictures.
    """
    if outcome.gate is None:
        return "not steered: every strength is 0" if outcome.before else "nothing to steer, as it is all zeros"
    lines = []
    for row in range(len(outcome.gate.scores)):
        spoken = outcome.changed or float(outcome.gate.scores[row]) > -math.inf
        told = verdict(outcome.gate, row, aligned) if spoken else "nothing to steer, as it has no tokens"
        lines.append(f"{noun} {row + 1}: {told}")
        for name, steered in outcome.spaces.items():
            moved = steered.moved[row]
            count = int((moved > 0).sum())
            if count:
                share = moved_share(steered, row)
                lines.append(f"  {name}: {_places(moved)} of {moved.numel()} moved, by {share:.0%} of their length")
            else:
                lines.append(f"  {name}: unchanged")
            lines.extend(_hidden(name, row, outcome.hidden.get(name)))
            lines.extend(_images(name, row, outcome.images.get(name)))
    for name, copy in outcome.copies.items():
        lines += [f"  {name}, which is text too:", *(f"  {line}" for line in summary(copy, aligned).splitlines())]
    lines += [f"  {line}" for line in left_alone_lines(outcome.left_alone)]
    return "\n".join(lines)


def picture_summary(outcomes: Sequence[Outcome], aligned: AlignedDirection, past: Sequence[str] = ()) -> str:
    """Say what steering did to pictures, and which ways they take `past` CLIP vision, by which they come in as they are."""
    lines = [summary(outcome, aligned, "picture") for outcome in outcomes]
    lines = lines or ["pictures: none came in through CLIP vision, so none was steered"]
    if past:
        lines.append(f"  only partly reached: a picture comes in as {', '.join(past)} too, which stays as it is")
    return "\n".join(lines)


def verdict(gate: GateDecision, row: int, aligned: AlignedDirection) -> str:
    """Say what the gate thinks of one prompt: "flagged as violence (score +3.2, limit +1.1)"."""
    category = gate_categories(aligned.categories)[int(gate.by_category[row].argmax())]
    told = f"flagged as {category}" if bool(gate.flagged[row]) else "benign"
    return f"{told} (score {float(gate.scores[row]):+.1f}, limit {gate.threshold:+.1f})"


def moved_share(steered: Steered, row: int) -> float:
    """Return how far the moved tokens of a prompt went, as a share of the length they have now; 0 where none moved."""
    moved = steered.moved[row]
    length = float((steered.states[row].float().norm(dim=-1) * (moved > 0)).sum())
    return float(moved.sum()) / length if length else 0.0


def _hidden(name: str, row: int, hidden: Steered | None) -> list[str]:
    """Say how many rows behind the mask moved along with one prompt."""
    count = 0 if hidden is None else int(hidden.flagged[row].sum())
    return [f"  {name}: {count} more behind its mask moved too, as some models read them"] if count else []


def _images(name: str, row: int, images: LeftAlone | None) -> list[str]:
    """Say what was left alone in one prompt because it is a picture's."""
    count = 0 if images is None else int(images.rows[row].sum())
    if images is None or not count:
        return []
    if bool(images.unsure[row]):
        return [f"  {name}: left alone, because the tokens of its image could not be told from its words"]
    return [f"  {name}: left alone: {count} image tokens"]


def _places(moved: Tensor) -> str:
    """Name the moved tokens by position, runs joined: "3 tokens (2, 5-6)"."""
    places = moved.nonzero()[:, 0].tolist()
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    shown = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:8])
    return f"{len(places)} tokens ({shown}{', ...' if len(runs) > 8 else ''})"
