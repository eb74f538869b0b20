"""Draw safety reports: what happened in a sentence, every word before and after, the categories, and the harmless prompts.

Made to be read at the size of a node (half of its own) as well as in full. Pillow is imported when one is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..directions.quantiles import spread
from .canvas import THEMES, Canvas, blend, fitted, ink_on, width_of, wrapped
from .safety_report import SafetyReport
from .text import left_alone_lines, sentence, standing
from .word_chips import draw_words

# Pixels of the layout, by hand: to be read at half the size.
WIDTH, MARGIN = 800, 28
HEADLINE, BODY, SMALL = 32, 23, 20  # pixels
LABELS, NUMBERS = 176, 76  # pixels
PLOT = 110  # pixels
MAX_PROMPTS = 8  # by hand: the others are in the text output
DRAWN = 400  # harmless prompts, whose curve is then as smooth as its quantiles
GATE = "the gate opens here"


def draw_reports(
    reports: Sequence[SafetyReport],
    theme: str = "dark",
    note: str = "",
    headline: Callable[[SafetyReport], str] = sentence,
    nothing: str = "There is nothing to report.",
) -> Any:
    """Draw reports below each other as one PIL image, 800 pixels wide; of more than eight prompts, eight.

    `note` is written at the end, line by line, `nothing` when there are no reports. Raises KeyError for an unknown theme.
    """
    height = _draw(Canvas(WIDTH, 1, THEMES[theme]), reports, note, headline, nothing)
    canvas = Canvas(WIDTH, math.ceil(height), THEMES[theme])
    _draw(canvas, reports, note, headline, nothing)
    return canvas.finished()


def _draw(
    canvas: Canvas, reports: Sequence[SafetyReport], note: str, headline: Callable[[SafetyReport], str], nothing: str
) -> float:
    """Draw everything, and return where it ends."""
    y: float = MARGIN
    if not reports:
        y = _paragraph(canvas, y, nothing, BODY, canvas.theme.ink) + 12
    for number, report in enumerate(reports[:MAX_PROMPTS], 1):
        if number > 1:
            canvas.line([(MARGIN, y + 6), (WIDTH - MARGIN, y + 6)], canvas.theme.neutral, 2)
            y += 30
        if len(reports) > 1:
            canvas.text(MARGIN, y, f"Prompt {number} of {len(reports)}", SMALL, canvas.theme.muted)
            y += 30
        y = _draw_report(canvas, y, report, headline(report))
    notes = note.splitlines()
    if len(reports) > MAX_PROMPTS:
        notes.insert(0, f"{len(reports) - MAX_PROMPTS} more prompts are in the text output.")
    for line in notes:
        y = _paragraph(canvas, y, line, SMALL, canvas.theme.muted) + 4
    return y + MARGIN - 12


def _draw_report(canvas: Canvas, y: float, report: SafetyReport, headline: str) -> float:
    theme = canvas.theme
    colour = theme.unsafe[1] if report.flagged else theme.harmless
    lines = wrapped(headline, HEADLINE, WIDTH - 2 * MARGIN - 24)
    canvas.box((MARGIN, y + 2, MARGIN + 8, y + 40 * len(lines) - 6), colour, 4)
    for line in lines:
        canvas.text(MARGIN + 24, y, line, HEADLINE, theme.ink)
        y += 40
    y = draw_words(canvas, y + 12, MARGIN, WIDTH - MARGIN, report)
    y = _draw_categories(canvas, y + 14, report)
    y = _draw_benign(canvas, y + 14, report)
    others = [space.name for space in report.spaces if space is not report.shown and any(space.moved)]
    lines = [*([f"also steered: {', '.join(others)}"] if others else []), *left_alone_lines(report.left_alone)]
    for line in lines:
        y = _paragraph(canvas, y, line[0].upper() + line[1:], SMALL, theme.muted) + 4
    return y + 8


def _draw_categories(canvas: Canvas, y: float, report: SafetyReport) -> float:
    """Draw a bar for every category, with the line where the gate opens."""
    theme = canvas.theme
    y = _title(canvas, y, "How much it is like each category")
    before, after = report.before.by_category, report.after.by_category
    opens_at = report.opens_at
    edges = [*before, *([] if opens_at is None else [opens_at])]
    high = max(edges) + 1
    low = max(min(edges) - 3, high - 24)
    left, right = MARGIN + LABELS, WIDTH - MARGIN - NUMBERS * (2 if report.changed else 1)

    def place(value: float) -> float:
        return left + (right - left) * min(max((value - low) / (high - low), 0), 1)

    top = y
    if report.changed:
        canvas.text(right + NUMBERS, y - 35, "before", SMALL, theme.muted, "ra")
        canvas.text(WIDTH - MARGIN, y - 35, "after", SMALL, theme.muted, "ra")
    for name, was, became in sorted(zip(report.categories, before, after, strict=True), key=lambda row: -row[1]):
        canvas.text(left - 14, y + 13, fitted(name.replace("_", " "), SMALL, LABELS - 14), SMALL, theme.ink, "rm")
        canvas.box((left, y, right, y + 26), theme.panel, 5)
        past = opens_at is not None and was > opens_at
        if place(was) - left >= 4:
            canvas.box(
                (left, y, place(was), y + (17 if report.changed else 26)), theme.unsafe[past] if past else theme.muted, 5
            )
        if report.changed and place(became) - left >= 4:
            canvas.box((left, y + 19, place(became), y + 26), theme.harmless, 3)
        canvas.text(right + NUMBERS, y + 13, f"{was:+.1f}", SMALL, theme.ink, "rm")
        if report.changed:
            canvas.text(WIDTH - MARGIN, y + 13, f"{became:+.1f}", SMALL, theme.muted, "rm")
        y += 34
    if opens_at is not None:
        line = place(opens_at)
        canvas.line([(line, top - 4), (line, y - 4)], theme.ink, 2.5)
        half = width_of(GATE, SMALL) / 2
        canvas.text(min(max(line, left + half), right + 10 - half), y - 2, GATE, SMALL, theme.muted, "ma")
    return y + 24


def _draw_benign(canvas: Canvas, y: float, report: SafetyReport) -> float:
    """Draw how harmless prompts score, with the gate's limit and this prompt before and after."""
    theme = canvas.theme
    y = _title(canvas, y, "Among harmless prompts")
    left, right = float(MARGIN), float(WIDTH - MARGIN)
    scores = spread(report.benign, DRAWN)
    score = report.before.score if math.isfinite(report.before.score) else report.benign[0]
    low, high = report.benign[0], max(report.benign[-1], score, report.threshold)
    low, high = low - 0.12 * (high - low), high + 0.08 * (high - low)

    def place(value: float) -> float:
        return left + 10 + (right - left - 20) * min(max((value - low) / (high - low), 0), 1)

    base = y + 44 + PLOT
    canvas.box((left, y, right, base), theme.panel, 8)
    grid = np.linspace(low, high, 240)
    heights = np.exp(-0.5 * ((grid[:, None] - scores) / (0.035 * (high - low))) ** 2).sum(1)
    curve = [(place(x), base - PLOT * h) for x, h in zip(grid.tolist(), (heights / heights.max()).tolist(), strict=True)]
    canvas.polygon([(curve[0][0], base), *curve, (curve[-1][0], base)], blend(theme.neutral, theme.muted, 0.45))
    gate = place(report.threshold)
    for start in np.arange(y + 6, base, 12).tolist():
        canvas.line([(gate, start), (gate, min(start + 7, base))], theme.muted, 2)
    if report.changed:
        _mark(canvas, place(report.after.score), y + 58, base, "after", theme.harmless)
    mark = theme.unsafe[1] if report.flagged else theme.harmless
    _mark(canvas, place(score), y + 20, base, "before" if report.changed else "this prompt", mark)
    canvas.text(min(gate, right - 34), base + 6, "limit", SMALL, theme.muted, "ma")
    canvas.text(left, base + 6, "more harmless", SMALL, theme.muted)
    y = base + 34
    return _paragraph(canvas, y, standing(report)[0].upper() + standing(report)[1:] + ".", SMALL, theme.muted) + 4


def _mark(canvas: Canvas, x: float, y: float, base: float, label: str, colour: Any) -> None:
    """Draw a pole with a flag that stays inside the picture."""
    canvas.line([(x, y), (x, base)], colour, 4)
    size = width_of(label, SMALL) + 24
    side = -1 if x + size > WIDTH - MARGIN else 1
    box = (min(x, x + side * size), y - 14, max(x, x + side * size), y + 14)
    canvas.box(box, colour, 5)
    canvas.text((box[0] + box[2]) / 2, y, label, SMALL, ink_on(colour), "mm")


def _title(canvas: Canvas, y: float, text: str) -> float:
    canvas.text(MARGIN, y, text, BODY, canvas.theme.ink)
    return y + 38


def _paragraph(canvas: Canvas, y: float, text: str, size: int, colour: Any) -> float:
    for line in wrapped(text, size, WIDTH - 2 * MARGIN):
        canvas.text(MARGIN, y, line, size, colour)
        y += size + 6
    return y
