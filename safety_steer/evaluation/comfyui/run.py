"""The run: each prompt with each seed at each strength through ComfyUI, judged, and kept as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...errors import DataError, JudgeError, SafetySteerError, ServerError, StorageError
from ...extraction.text_model import Progress
from .client import ComfyServer, SavedFile
from .frames import pixel_digest
from .journal import Job, Journal, Picture, Row
from .judges import THRESHOLD, Judge
from .prompts import MAX_SEED, Prompt, spread
from .servers import Lost, on_all
from .workflow import Workflow

PROMPTS, BENIGN = "prompts", "benign"
MAX_STRENGTH = 10.0  # the node's


@dataclass(frozen=True)
class Plan:
    """How much to draw: steering strengths, pictures per prompt (seeds in a row), and at most how many prompts per file."""

    strengths: tuple[float, ...] = (0.0, 1.0)
    seeds: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        """Raise DataError for strengths Apply Safety Steer does not take, and for nothing to draw."""
        wrong = [strength for strength in self.strengths if not 0 <= strength <= MAX_STRENGTH]
        if wrong or not self.strengths:
            raise DataError(f"Expected --strengths from 0 to {MAX_STRENGTH:g}, but got {', '.join(map(str, wrong)) or 'none'}.")
        for name, value in (("--seeds", self.seeds), ("--limit", self.limit)):
            if value is not None and value < 1:
                raise DataError(f"Expected {name} of at least 1, but got {value}.")


def jobs_of(sets: Mapping[str, Sequence[Prompt]], plan: Plan) -> list[Job]:
    """List every run to make, all strengths of a prompt and seed in a row, so that stopping early still compares them.

    A prompt's first seed is its file's, else its number.
    """
    return [
        Job(group, prompt, ((prompt.number if prompt.seed is None else prompt.seed) + offset) % (MAX_SEED + 1), strength)
        for group, prompts in sets.items()
        for prompt in spread(prompts, plan.limit)
        for offset in range(plan.seeds)
        for strength in dict.fromkeys(plan.strengths)
    ]


@dataclass(frozen=True)
class _Pictures:
    """What a job's graph left, fetched: files as (ending, bytes), and the seconds the server spent on them."""

    files: tuple[tuple[str, bytes], ...]
    seconds: float | None


def measure(
    servers: Sequence[ComfyServer],
    workflow: Workflow,
    judge: Judge,
    jobs: Sequence[Job],
    journal: Journal,
    lost: Lost,
    progress: Progress | None = None,
) -> list[Row]:
    """Make the jobs that have no row yet on the servers, and return the rows of all of them, in the jobs' order.

    `lost` is told of servers that are gone; their jobs go to the others. Raises what the last server, the judge and the disk
    raise, and KeyboardInterrupt, each saying how much is kept.
    """
    missing = [job for job in jobs if job.key not in journal.rows]
    kept = len(jobs) - len(missing)
    if progress is not None:
        progress(kept, len(jobs))
    try:
        for job, pictures in on_all(servers, missing, partial(_draw, workflow), lost):
            _keep(judge, job, pictures, journal)
            kept += 1
            if progress is not None:
                progress(kept, len(jobs))
    except (ServerError, JudgeError, StorageError, DataError) as error:
        raise type(error)(f"{error} {_kept(kept, jobs, journal)}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"interrupted. {_kept(kept, jobs, journal)}") from stop
    return [journal.rows[job.key] for job in jobs]


def _kept(kept: int, jobs: Sequence[Job], journal: Journal) -> str:
    return f"{kept} of {len(jobs)} runs are kept in '{journal.folder}'; the same command goes on from there."


def _draw(workflow: Workflow, server: ComfyServer, job: Job) -> _Pictures:
    drawn = server.draw(workflow.filled(job.prompt.text, job.seed, job.strength))
    files = _chosen(drawn.files, workflow)
    if not files:
        raise ServerError(
            "The workflow saved no picture or video behind Apply Safety Steer. Connect the steered sampler's picture to Save "
            "Image or Save Video and export the workflow again."
        )
    return _Pictures(tuple((file.suffix, server.fetch(file)) for file in files), drawn.seconds)


def _keep(judge: Judge, job: Job, drawn: _Pictures, journal: Journal) -> Row:
    pictures = []
    for number, (suffix, data) in enumerate(drawn.files):
        name = _file_name(job, number, suffix)
        pictures.append(_judged(judge, journal.store(name, data), name))
    return journal.add(job, pictures, drawn.seconds)


def _chosen(files: Sequence[SavedFile], workflow: Workflow) -> list[SavedFile]:
    """Leave out what does not come from steering, and previews where pictures were saved too."""
    steered = [file for file in files if file.node in workflow.steered or file.node not in workflow.graph]
    chosen = [file for file in steered if file.folder == "output"] or steered
    # Nodes finish in any order, and pictures of two strengths are compared one by one.
    return sorted(chosen, key=lambda file: file.node)


def _file_name(job: Job, number: int, suffix: str) -> str:
    """Name a file by its job; nothing of the name the server gave it but a known ending."""
    more = f"_{number}" if number else ""
    benign = "benign_" if job.group == BENIGN else ""
    return f"pictures/{job.strength:.12g}/{benign}{job.prompt.number:05d}_{job.seed}{more}{suffix}"


def _judged(judge: Judge, path: Path, name: str) -> Picture:
    try:
        score = judge.score(path)
    except SafetySteerError:
        raise
    except Exception as error:  # a judge is another's code
        raise JudgeError(f"The judge {judge.name} failed on '{path}': {type(error).__name__}: {error}.") from error
    return Picture(name, score, score > THRESHOLD, pixel_digest(path))
