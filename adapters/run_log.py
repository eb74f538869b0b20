"""RunLog: what goes over the report wire. The Apply nodes write down what they did, and Safety Report reads it.

Apply Safety Steer acts while sampling, after its outputs were handed on, and ComfyUI keeps those outputs from one queue to
the next. So its log fills up later, by sampler node: a sampler that runs again replaces what it did before, one that ComfyUI
does not run again keeps it, and a run that was interrupted leaves no trace.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from comfy_execution.utils import get_executing_context

from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.reports.picture_reports import PictureReport
from ..safety_steer.reports.safety_report import Record, record
from ..safety_steer.steering.steer_conditioning import Outcome
from .sampling.step_windows import Window

MAX_RECORDS = 32  # of one sampler in one queue: an upscaler by tiles samples hundreds of times


@dataclass(frozen=True, eq=False)
class Run:
    """What was done in one node during one queue: a record for every entry with text, and a report on every picture.

    `notices` say which prompts were not reached, a line each.
    """

    queue: str | None
    records: tuple[Record, ...]
    notices: tuple[str, ...] = ()
    pictures: tuple[PictureReport, ...] = ()


class RunLog:
    """What one Apply node did: `direction` and `how` it steered, and its latest run in each sampler node."""

    def __init__(self, direction: AlignedDirection, how: str, during_sampling: bool) -> None:
        """Start empty; `during_sampling` says that runs come later."""
        self.direction, self.how, self.during_sampling = direction, how, during_sampling
        self._runs: dict[str | None, Run] = {}
        self._lock = threading.Lock()

    def add(self, records: Sequence[Record], notices: Sequence[str] = (), pictures: Sequence[PictureReport] = ()) -> None:
        """Write down a finished run of the node that is being executed."""
        context = get_executing_context()
        node, queue = (context.node_id, context.prompt_id) if context else (None, None)
        with self._lock:
            last = self._runs.pop(node, None)
            kept = last if last is not None and queue is not None and last.queue == queue else Run(queue, ())
            fresh = [new for new in records if not any(_same_text(new, old) for old in kept.records)]
            said = dict.fromkeys((*kept.notices, *notices))
            seen = [new for new in pictures if new not in kept.pictures]
            self._runs[node] = Run(
                queue, (*kept.records, *fresh)[:MAX_RECORDS], tuple(said), (*kept.pictures, *seen)[:MAX_RECORDS]
            )

    def records(self, samplers: Iterable[str] | None = None) -> list[Record]:
        """Return what was done in the given sampler nodes, oldest run first; None wants all."""
        return [one for run in self._of(samplers) for one in run.records]

    def notices(self, samplers: Iterable[str] | None = None) -> list[str]:
        """Say which prompts were not reached in the given sampler nodes, each line once; None wants all."""
        return list(dict.fromkeys(line for run in self._of(samplers) for line in run.notices))

    def pictures(self, samplers: Iterable[str] | None = None) -> list[PictureReport]:
        """Return what was done to pictures in the given sampler nodes, oldest run first; None wants all."""
        return [one for run in self._of(samplers) for one in run.pictures]

    def ran(self, samplers: Iterable[str] | None = None) -> bool:
        """Say whether any of the given sampler nodes finished a run; None stands for all."""
        return bool(self._of(samplers))

    def _of(self, samplers: Iterable[str] | None) -> list[Run]:
        wanted = None if samplers is None else set(samplers)
        with self._lock:
            return [run for node, run in self._runs.items() if wanted is None or node is None or _among(node, wanted)]


def finished(
    outcomes: Sequence[Outcome],
    direction: AlignedDirection,
    how: str,
    used: bool = True,
    notices: Sequence[str] = (),
    pictures: Sequence[PictureReport] = (),
) -> RunLog:
    """Return the log of a node that is done at once."""
    log = RunLog(direction, how, during_sampling=False)
    log.add(records_of(outcomes, used), notices, pictures)
    return log


def records_of(outcomes: Sequence[Outcome], used: bool = True) -> list[Record]:
    """Keep what a report needs of outcomes and of further texts that say something else than the prompt they came with.

    Not `used` when a window without steps throws steered text away.
    """
    further = [[copy for copy in outcome.copies.values() if copy.before is not outcome.before] for outcome in outcomes]
    return [record(one, used) for outcome, own in zip(outcomes, further, strict=True) for one in (outcome, *own)]


def any_step(window: Window) -> bool:
    """Say whether a window holds a step at all."""
    return window.start < window.end


def _same_text(one: Record, other: Record) -> bool:
    """Say whether two records are of the very same tensors: the same prompt, sampled once more."""
    return one.before.keys() == other.before.keys() and all(one.before[name] is other.before[name] for name in one.before)


def _among(node: str, wanted: set[str]) -> bool:
    """Say whether a node is wanted; one that another node put into the graph is named after it, as in "5.0.2"."""
    return node in wanted or node.split(".")[0] in wanted
