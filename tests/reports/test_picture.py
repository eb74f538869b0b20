"""Pictures of reports: something is on them, nothing runs over their edges, whatever the prompt is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support import builders

from safety_steer import SteerSettings, steer_conditioning
from safety_steer.reports.canvas import HARMLESS, LOUD, THEMES, can_show, fitted, ink_on, readable, width_of, wrapped
from safety_steer.reports.picture import MARGIN, WIDTH, draw_reports
from safety_steer.reports.safety_report import SafetyReport, SpaceReport, measure, record, with_words
from safety_steer.reports.token_words import Word, numbered
from safety_steer.reports.word_chips import MANY, chips_of

EDGE = 12
PROMPTS = {
    "short": ["a", "kite"],
    "empty": [],
    "77": [f"word{number}" for number in range(77)],
    "512": [f"word{number}" for number in range(512)],
    "endless word": ["w" * 400, "a"],
    "other scripts": ["猫", "кошка", "🙂", "Schloß", "café", "", "\x00\n", "عربي", "‮"],
}


def report(words: list[str], unsafe: bool = True) -> SafetyReport:
    """Make a report of a prompt with given words, steered for real."""
    count = max(len(words), 1)
    generator = torch.Generator().manual_seed(3)
    source = builders.unsafe_batch(1) if unsafe else builders.benign_batch(1)
    states = source[:, torch.randint(0, 3, (count,), generator=generator)] if words else torch.zeros(1, 1, source.shape[-1])
    aligned = builders.planted_aligned()
    [one] = measure(record(steer_conditioning({"cross_attn": states}, aligned, SteerSettings(operator="clip"))), aligned)
    return with_words(one, {"cross_attn": [Word(text, place, place + 1) for place, text in enumerate(words)]})


def pixels(reports: list[SafetyReport], theme: str = "dark", **inputs: Any) -> Any:
    return np.asarray(draw_reports(reports, theme, **inputs)).astype(int)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("words", PROMPTS.values(), ids=PROMPTS)
def test_everything_lies_within_the_margins_and_something_is_drawn(words: list[str], theme: str) -> None:
    drawn = pixels([report(words)], theme, note="note " * 60)
    background = np.array(THEMES[theme].background)
    assert drawn.shape[1:] == (WIDTH, 3)
    changed = (drawn != background).any(-1)
    assert changed.mean() > 0.05
    for edge in (changed[:, : MARGIN - EDGE], changed[:, WIDTH - MARGIN + EDGE :], changed[:EDGE], changed[-EDGE:]):
        assert not edge.any()


def test_themes_differ_and_an_unknown_one_is_an_error() -> None:
    one = report(["a", "kite"])
    dark, light = pixels([one], "dark"), pixels([one], "light")
    assert dark.shape == light.shape
    assert dark.mean() < 100 < 180 < light.mean()
    with pytest.raises(KeyError):
        draw_reports([one], "pink")


def test_a_picture_is_the_same_every_time() -> None:
    one = report(["a", "kite"])
    assert (pixels([one]) == pixels([one])).all()


def test_what_was_changed_has_a_row_of_its_own() -> None:
    steered, left = report(["a", "kite"]), report(["a", "kite"], unsafe=False)
    assert steered.changed
    assert not left.changed
    assert pixels([steered]).shape[0] > pixels([left]).shape[0]


def test_a_token_that_moved_changes_colour() -> None:
    theme = THEMES["dark"]
    one = report(["a", "kite"])
    still = replace(one, spaces=(replace(one.spaces[0], after=one.spaces[0].before),))
    assert (pixels([one]) != pixels([still])).any()
    assert theme.of_reading(LOUD) == theme.unsafe[1]
    assert theme.of_reading(HARMLESS) == theme.of_reading(9 * HARMLESS) == theme.harmless
    assert theme.of_reading(0) == theme.neutral


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_reads_on_every_colour_of_the_scale(theme: Any) -> None:
    for reading in np.linspace(HARMLESS - 1, LOUD + 1, 40):
        colour = theme.of_reading(float(reading))
        assert contrast(ink_on(colour), colour) >= 4.5
    for colour in (theme.ink, theme.muted):
        assert contrast(colour, theme.background) >= 4.5


def contrast(one: Any, other: Any) -> float:
    """Compute the WCAG contrast ratio of two colours."""
    found = []
    for colour in (one, other):
        shares = np.array(colour) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        found.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(found) + 0.05) / (min(found) + 0.05)


def test_reports_are_stacked_and_the_ninth_is_only_mentioned() -> None:
    one = report(["a", "kite"])
    heights = [pixels([one] * count).shape[0] for count in (1, 2, 8, 9, 30)]
    assert heights[0] < heights[1] < heights[2] < heights[3] == heights[4]
    assert heights[4] - heights[2] < 60


def test_nothing_to_report_is_a_picture_with_that_sentence() -> None:
    drawn = pixels([], nothing="Connect something. " * 12)
    assert drawn.shape[0] > pixels([], nothing="Connect something.").shape[0]
    assert (drawn != np.array(THEMES["dark"].background)).any()


def space(readings: list[float], moved: list[float] | None = None) -> SpaceReport:
    moved = moved or [0.0] * len(readings)
    after = [reading - by for reading, by in zip(readings, moved, strict=True)]
    flags = (False,) * len(readings)
    return SpaceReport("cross_attn", tuple(readings), tuple(after), tuple(moved), flags, flags, numbered(len(readings)))


def test_long_quiet_stretches_become_one_chip_and_what_moved_stays() -> None:
    readings = [0.0] * 512
    readings[300] = 2.0
    chips = chips_of(space(readings, [0.0] * 300 + [1.0] + [0.0] * 211))
    assert [chip.text for chip in chips] == ["... 300 quiet ...", "300", "... 211 quiet ..."]
    assert (chips[1].before, chips[1].after) == (2.0, 1.0)
    assert len(chips_of(space([0.0] * MANY))) == MANY
    assert chips_of(space([2.0] * 512))[-1].text == f"... {512 - MANY} more ..."


def test_padding_without_words_is_one_chip() -> None:
    padded = replace(space([1.0, 0.0, 0.0, 0.0]), words=(), padding=(False, True, True, True))
    assert [(chip.text, chip.faint) for chip in chips_of(padded)] == [("0", False), ("padding x3", True)]


def test_lines_and_words_are_made_to_fit() -> None:
    for text in ("a b c " * 40, "w" * 300, "", "one"):
        assert all(width_of(line, 23) <= 200 for line in wrapped(text, 23, 200))
        assert width_of(fitted(text, 23, 200), 23) <= 200
    assert " ".join(wrapped("a kite on the beach", 23, 90)) == "a kite on the beach"


def test_letters_the_font_lacks_are_replaced() -> None:
    assert readable("café Schloß 猫") == "cafe Schlo? ?"
    assert can_show("café")
    assert not can_show("猫")
    assert [chip.text for chip in chips_of(replace(space([0.0]), words=(Word("猫", 0, 1),)))] == ["#0"]
