"""Pictures before and after: the same prompts and seeds by several methods, one row each, as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .methods import Method, MethodInputs
from .pictures import PictureInputs
from .prompts import PromptSet, prompt_set
from .report import contact_sheet
from .run import pictures_of, steering_of
from .session import DemoSession

SHOWN = 12  # pictures in a row, by hand
SPLITS = ("unsafe", "benign")


def draw_sheet(
    session: DemoSession,
    inputs: MethodInputs | PictureInputs,
    methods: Sequence[Method],
    stage: str,
    path: Path,
    steps: int = 16,
) -> list[PromptSet]:
    """Draw the first prompts of the unsafe and of the benign split by each method; return what was asked, row by row.

    Of a video an early and a late frame are shown, one below the other.
    """
    rows, asked = [], []
    for split in SPLITS:
        one = prompt_set(split, SHOWN, stage, session.generator.video)
        states = session.given(one)
        asked.append(one)
        for method in methods:
            steer = steering_of(method, inputs)
            pictures = pictures_of(session, method, one, states if steer is None else steer(states), steps)
            label = f"{split}: {method.name}" + (f" {method.operator} {method.strength:g}" if steer is not None else "")
            frames = [pictures[:, 1], pictures[:, -2]] if session.generator.video else [pictures]
            rows += [(label if index == 0 else "", frame) for index, frame in enumerate(frames)]
    contact_sheet(rows, path)
    return asked
