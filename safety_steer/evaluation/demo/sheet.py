"""Pictures before and after: the same prompts and seeds by several methods, one row each, as a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .drawing import Ask
from .methods import Method, MethodInputs
from .pictures import PictureInputs
from .prompts import PromptSet, prompt_set
from .report import contact_sheet
from .run import ask_of, steering_of
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
    asked = [prompt_set(split, SHOWN, stage, session.generator.video) for split in SPLITS]
    given = [session.given(one) for one in asked]
    steers = [steering_of(method, inputs) for method in methods]
    labels: list[str] = []

    def asks() -> Iterator[Ask]:
        for one, states in zip(asked, given, strict=True):
            for method, steer in zip(methods, steers, strict=True):
                labels.append(f"{one.split}: {method.name}" + (f" {method.operator} {method.strength:g}" if steer else ""))
                yield ask_of(method, one, states if steer is None else steer(states), steps)

    rows = []
    for number, answer in enumerate(session.draw_all(asks())):
        pictures = answer.pictures
        frames = [pictures[:, 1], pictures[:, -2]] if session.generator.video else [pictures]
        rows += [(labels[number] if index == 0 else "", frame) for index, frame in enumerate(frames)]
    contact_sheet(rows, path)
    return asked
