"""The part of a report picture that shows the prompt: its words in lines, coloured as they read before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .canvas import HARMLESS, LOUD, Canvas, can_show, fitted, ink_on, width_of
from .safety_report import SafetyReport, SpaceReport
from .text import is_erased
from .token_words import Word, numbered

# Pixels of the layout, by hand: to be read at half the size.
SIZE, SMALL = 23, 20
CHIP, GAP, LINE = 36, 4, 14  # pixels
GUTTER = 84  # pixels
MANY = 120  # chips of a prompt, by hand: a longer prompt is folded where nothing happened
QUIET_RUN = 4  # chips, by hand: fewer in a row are not worth folding
QUIET_READING = 0.75  # by hand: below three quarters of harmless prompts


@dataclass(frozen=True)
class Chip:
    """A word, or a run of quiet ones, with its highest readings."""

    text: str
    before: float
    after: float
    erased: bool = False
    faint: bool = False


def draw_words(canvas: Canvas, y: float, left: float, right: float, report: SafetyReport) -> float:
    """Draw the words of the space that is shown, below the legend of their colours; return where they end."""
    theme, space = canvas.theme, report.shown
    chips = chips_of(space)
    title = "How unsafe each word reads" if space.words else f"How unsafe each of {len(space.before)} tokens reads"
    canvas.text(left, y, title, SIZE, theme.ink)
    y = _legend(canvas, y + 38, left)
    start = left + (GUTTER if report.changed else 0)
    for line in _lines(chips, right - start):
        rows = ("before", "after") if report.changed else ("before",)
        for row in rows:
            if report.changed:
                canvas.text(left, y + CHIP / 2, row, SMALL, theme.muted, "lm")
            x = start
            for chip in line:
                width = _width(chip, right - start)
                _draw_chip(canvas, x, y, width, chip, row)
                x += width + GAP
            y += CHIP + GAP
        y += LINE
    return y


def chips_of(space: SpaceReport) -> list[Chip]:
    """Return what is drawn of a space; long quiet stretches of a long prompt become one chip each."""
    chips = [_chip(space, word) for word in space.words or _numbered(space)]
    if len(chips) <= MANY:
        return chips
    loud = [chip for chip in chips if not _quiet(chip)]
    short: list[Chip] = []
    for quiet, run in groupby(chips, key=_quiet):
        part = list(run)
        folded = quiet and (len(part) > QUIET_RUN or len(loud) > MANY)
        short += [_folded(part)] if folded else part
    return short[:MANY] + ([_folded(short[MANY:], "more")] if len(short) > MANY else [])


def _numbered(space: SpaceReport) -> list[Word]:
    """Return a number for every token, and one word for every run of padding."""
    words: list[Word] = []
    for padding, run in groupby(numbered(len(space.before)), key=lambda word: space.padding[word.first]):
        tokens = list(run)
        named = Word(f"padding x{len(tokens)}", tokens[0].first, tokens[-1].stop, special=True)
        words += [named] if padding else tokens
    return words


def _chip(space: SpaceReport, word: Word) -> Chip:
    tokens = slice(word.first, word.stop)
    text = word.text if can_show(word.text) and word.text else f"#{word.first}"
    before, after = max(space.before[tokens]), max(space.after[tokens])
    return Chip(text, before, after, is_erased(space, word), all(space.padding[tokens]))


def _quiet(chip: Chip) -> bool:
    return chip.before == chip.after and chip.before < QUIET_READING


def _folded(chips: Sequence[Chip], what: str = "quiet") -> Chip:
    before, after = max(chip.before for chip in chips), max(chip.after for chip in chips)
    return Chip(f"... {len(chips)} {what} ...", before, after, faint=True)


def _width(chip: Chip, most: float) -> float:
    return min(max(width_of(chip.text, SIZE) + 20, 34), most)


def _lines(chips: Sequence[Chip], width: float) -> list[list[Chip]]:
    """Break chips into lines of at most a width."""
    lines: list[list[Chip]] = []
    used = width
    for chip in chips:
        needed = _width(chip, width)
        if not lines or used + needed > width:
            lines.append([])
            used = 0
        lines[-1].append(chip)
        used += needed + GAP
    return lines


def _draw_chip(canvas: Canvas, x: float, y: float, width: float, chip: Chip, row: str) -> None:
    """Draw a chip; one that gave way to the rest of the prompt is struck through."""
    theme = canvas.theme
    colour = theme.of_reading(chip.before if row == "before" else chip.after)
    canvas.box((x, y, x + width, y + CHIP), colour, 7)
    ink = theme.muted if chip.faint and colour == theme.neutral else ink_on(colour)
    text = fitted(chip.text, SIZE, width - 16)
    canvas.text(x + width / 2, y + CHIP / 2, text, SIZE, ink, "mm")
    if chip.erased and row == "after":
        half = width_of(text, SIZE) / 2 + 4
        middle = x + width / 2
        canvas.line([(middle - half, y + CHIP / 2 + 2), (middle + half, y + CHIP / 2 + 2)], ink, 2.5)


def _legend(canvas: Canvas, y: float, left: float) -> float:
    """Draw the colour scale and say what it means."""
    width, steps = 180, 60
    canvas.text(left, y + 9, "harmless", SMALL, canvas.theme.muted, "lm")
    start = left + width_of("harmless", SMALL) + 12
    for step in range(steps):
        reading = HARMLESS + (LOUD - HARMLESS) * (step + 0.5) / steps
        box = start + width * step / steps, y, start + width * (step + 1) / steps, y + 18
        canvas.box(box, canvas.theme.of_reading(reading))
    rare = start + width * (1 - HARMLESS) / (LOUD - HARMLESS)
    canvas.line([(rare, y - 3), (rare, y + 21)], canvas.theme.ink, 2)
    canvas.text(start + width + 12, y + 9, "unsafe", SMALL, canvas.theme.muted, "lm")
    x = start + width + 12 + width_of("unsafe", SMALL) + 24
    canvas.text(x, y + 9, "line: 1 in 200 harmless words", SMALL, canvas.theme.muted, "lm")
    return y + 34
