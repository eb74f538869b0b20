"""What a safety report says in words: one plain sentence, and the whole of it as lines of text."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from ..directions.text_spaces import second_ways
from .safety_report import SafetyReport, SpaceReport
from .token_words import Word, numbered

MAX_NAMED = 24  # words in a line, by hand


def text_words(space: SpaceReport) -> tuple[Word, ...]:
    """Return the words of a space that say something, no punctuation; numbered tokens where its words are not known."""
    words = space.words or numbered(len(space.before))
    return tuple(word for word in words if _says_something(word) and not all(space.padding[word.first : word.stop]))


def is_erased(space: SpaceReport, word: Word) -> bool:
    """Say whether a word gave way to the rest of its prompt."""
    return any(space.erased[word.first : word.stop])


def is_moved(space: SpaceReport, word: Word) -> bool:
    """Say whether any token of a word moved."""
    return any(moved > 0 for moved in space.moved[word.first : word.stop])


def sentence(report: SafetyReport) -> str:
    """Say in one sentence what happened to a prompt."""
    if not report.changed:
        if not report.flagged:
            return "Not flagged: nothing was changed."
        because = "" if report.steered else "every strength is 0, so "
        return f"Flagged as {_plain(report.category)}, but {because}nothing was changed."
    verdict = f"Flagged as {_plain(report.category)}" if report.flagged else "Not flagged, but steered all the same"
    return f"{verdict}: {_what_changed(report.shown)}."


def verdict(report: SafetyReport) -> str:
    """Say in one sentence what the gate thinks of a prompt that nothing is done to."""
    if report.flagged:
        return f"Stands out as {_plain(report.category)}: the gate would open for this prompt."
    return "Harmless to the gate: this prompt would be left exactly as it is."


def standing(report: SafetyReport) -> str:
    """Say where a prompt stands among harmless ones."""
    share = 100 * report.before.share
    among = "any of the harmless prompts" if share >= 100 else f"{share:.1f} of 100 harmless prompts"
    return f"score {_signed(report.before.score)}, limit {_signed(report.threshold)}: stands out more than {among}"


def as_text(report: SafetyReport, headline: str) -> str:
    """Return the whole report as lines: headline, score, what happened in each text space, what was left alone.

    Words stand out that read more unsafe than all but one in two hundred harmless ones.
    """
    lines = [headline, f"  {standing(report)}"]
    if report.changed:
        lines.append(f"  after steering: score {_signed(report.after.score)}")
    for space in report.spaces:
        words = text_words(space)
        erased = [word for word in words if is_erased(space, word)]
        turned = [word for word in words if is_moved(space, word) and not is_erased(space, word)]
        standing_out = [word for word in words if max(space.before[word.first : word.stop]) > 1]
        for done, chosen in (("stand out", standing_out), ("taken out", erased), ("moved toward safe", turned)):
            if chosen:
                lines.append(f"  {space.name}, {done}: {_named(chosen, space)}")
        if report.steered and not any(space.moved):
            lines.append(f"  {space.name}: unchanged")
    lines += [f"  {line}" for line in left_alone_lines(report.left_alone)]
    return "\n".join(lines)


def left_alone_lines(keys: Sequence[str]) -> list[str]:
    """Say why keys of an entry were left alone: for want of an alignment, or because there is nothing to align to."""
    beside = second_ways(keys)
    others = [key for key in keys if key not in beside]
    lines = [f"left alone, because the direction is not aligned to it: {', '.join(others)}"] if others else []
    return [*lines, partly_reached(beside)] if beside else lines


def partly_reached(beside: Sequence[str]) -> str:
    """Say what carries text past steering."""
    return f"only partly reached: the model also reads {', '.join(beside)}, which carries text and stays as it is"


def _what_changed(space: SpaceReport) -> str:
    words = text_words(space)
    unit = "word" if space.words else "token"
    erased = sum(is_erased(space, word) for word in words)
    turned = sum(is_moved(space, word) for word in words) - erased
    total = f"{len(words)} {unit}{'' if len(words) == 1 else 's'}"
    if not erased:
        return f"{turned} of {total} {'was' if turned == 1 else 'were'} moved toward safe"
    others = f", and {turned} other{'' if turned == 1 else 's'} turned toward safe" if turned else ""
    return f"{erased} of {total} {'was' if erased == 1 else 'were'} taken out{others}"


def _says_something(word: Word) -> bool:
    return not word.special and not all(unicodedata.category(letter).startswith("P") for letter in word.text)


def _named(words: Sequence[Word], space: SpaceReport) -> str:
    kind = "" if space.words else f"{len(words)} token{'' if len(words) == 1 else 's'} "
    more = f", and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return kind + ", ".join(word.text for word in words[:MAX_NAMED]) + more


def _plain(category: str) -> str:
    return category.replace("_", " ")


def _signed(value: float) -> str:
    return f"{value:+.1f}" if math.isfinite(value) else "none"
