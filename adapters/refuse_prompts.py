"""What Refuse Unsafe Prompt does with a CONDITIONING: judge its entries, find what stands in for one, say why a run stops.

ComfyUI asks a node which lazy inputs it needs, once or twice, and executes it then, all in the one task of a run. Verdicts wait
in that task's context (contextvars) for the node's execution, which takes them out. They are gone with the task, also when the
run fails in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from comfy_execution.utils import get_executing_context

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
MAX_WAITING = 32  # conditionings of one list; by hand


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was `judged`, of which conditioning, by which direction and settings."""

    conditioning: Conditioning
    direction: AlignedDirection
    settings: SteerSettings
    judged: list[Judged]

    def of(self, conditioning: Conditioning, direction: AlignedDirection, settings: SteerSettings) -> bool:
        """Say whether this is the verdict on these very objects."""
        return self.conditioning is conditioning and self.direction is direction and self.settings == settings


_waiting: ContextVar[tuple[Verdict, ...]] = ContextVar("safety_steer_waiting_verdicts", default=())


def settings(gate: str, preset: str) -> SteerSettings:
    """Return a preset's settings with a gate."""
    return replace(PRESETS[preset], gate=gate)


def judged(conditioning: Conditioning, direction: AlignedDirection, gate: str, preset: str, last: bool) -> list[Judged]:
    """Judge every entry, or return the verdict that waits in this run; it waits on unless this is the `last` time it is wanted.

    Raises MismatchError for text the direction is not aligned to.
    """
    how, waiting = settings(gate, preset), _waiting.get()
    found = next((verdict for verdict in waiting if verdict.of(conditioning, direction, how)), None)
    if found is None:
        entries = [entry_of(*pair) for pair in conditioning]
        found = Verdict(conditioning, direction, how, judge(entries, direction, how))
    others = tuple(verdict for verdict in waiting if verdict is not found)
    # Outside a run nothing ends the context, and so nothing may wait in it.
    keep = not last and get_executing_context() is not None
    _waiting.set((*others, found)[-MAX_WAITING:] if keep else others)
    return found.judged


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
