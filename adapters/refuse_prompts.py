"""What Refuse Unsafe Prompt does with a CONDITIONING: judge its entries, find what stands in for one, say why a run stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.errors import DataError
from ..safety_steer.reports.summary import verdict
from ..safety_steer.steering.presets import PRESETS
from ..safety_steer.steering.steer_conditioning import SteerSettings
from . import queued_prompt
from .clip.prompt_words import find_words
from .run_log import records_of
from .sampling.entries import Conditioning, entry_of
from .sampling.refusals import Judged, judge
from .sampling.step_windows import Entry

if TYPE_CHECKING:
    from comfy.sd import CLIP

MAX_LETTERS = 120  # of a prompt in the message that stops a run; by hand


def settings(gate: str, preset: str) -> SteerSettings:
    """Return a preset's settings with a gate."""
    return replace(PRESETS[preset], gate=gate)


def judged(conditioning: Conditioning, direction: AlignedDirection, gate: str, preset: str) -> list[Judged]:
    """Judge every entry. Raises MismatchError for text the direction is not aligned to."""
    return judge([entry_of(*pair) for pair in conditioning], direction, settings(gate, preset))


def stand_in(safe_prompt: str, clip: CLIP | None, replacement: Conditioning | None) -> Entry:
    """Return the one entry that stands in for unsafe ones. Raises DataError when there is none, or more than one."""
    if replacement is None:
        if clip is None:
            raise DataError(
                "This prompt is unsafe, and there is nothing to put in its place. Connect clip on Refuse Unsafe Prompt, which "
                "encodes safe_prompt, or an encoded prompt to replacement."
            )
        replacement = clip.encode_from_tokens_scheduled(clip.tokenize(safe_prompt))
    if len(replacement) != 1:
        raise DataError(
            f"Expected one prompt to put in the place of an unsafe one, but got {len(replacement)}. Connect a single CLIP Text "
            "Encode to replacement on Refuse Unsafe Prompt, of a CLIP without a schedule."
        )
    return entry_of(*replacement[0])


def why(
    judged: Sequence[Judged], direction: AlignedDirection, clip: CLIP | None, queued: queued_prompt.Graph, node: str | None
) -> str:
    """Say which prompt stopped the run, why, and what to do."""
    first = next(one for one in judged if one.refused)
    assert first.refusal is not None
    assert first.outcome is not None
    texts = queued_prompt.typed_prompts(queued, queued_prompt.before(queued, node, ("conditioning",)))
    if len(texts) > 1 and clip is not None:
        records = records_of([first.outcome])
        texts = next(([text] for text in texts if any(find_words(clip, [text], records, direction))), texts)
    named = " or ".join(f"'{text if len(text) <= MAX_LETTERS else text[:MAX_LETTERS] + '...'}'" for text in texts)
    return (
        f"Stopped before sampling: the prompt {named + ' ' if named else ''}is "
        f"{verdict(first.refusal.gate, first.refusal.worst, direction)}. Change the prompt, or choose 'replace' or 'steer' in "
        f"when_unsafe on Refuse Unsafe Prompt."
    )
