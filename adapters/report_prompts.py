"""Report on the prompts of a log, in words where a CLIP is there to find them with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..safety_steer.reports.safety_report import SafetyReport, measure, with_words
from .clip.prompt_words import find_words
from .run_log import RunLog

if TYPE_CHECKING:
    from comfy.sd import CLIP


def report_prompts(log: RunLog, samplers: Iterable[str] | None, clip: CLIP | None, texts: Iterable[str]) -> list[SafetyReport]:
    """Report on every prompt of a log, with its words where one of the texts gives its text states."""
    records = log.records(samplers)
    words = find_words(clip, texts, records, log.direction) if clip is not None else [{}] * len(records)
    return [with_words(one, known) for kept, known in zip(records, words, strict=True) for one in measure(kept, log.direction)]
