"""Every past fault again: the input that showed it is refused now, or read. The long run is `python -m tools.fuzz.run`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tools.docs import write_security
from tools.fuzz import past, run
from tools.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "corpus"
LARGEST = 20_000
ROUNDED = ("direction", "aligned", "patch", "refusal")  # their numbers may differ in the last bit on another computer
SECONDS = 10.0


KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_was_a_fault_is_refused_or_read(path: Path) -> None:
    assert path.stat().st_size <= LARGEST
    started = time.process_time()
    TARGETS[path.parent.name].run(path.read_bytes())
    assert time.process_time() - started < SECONDS


def test_the_page_about_security_says_what_was_measured() -> None:
    page = write_security.PAGE.read_text(encoding="utf-8")
    assert write_security.written(page) == page
    assert tuple(write_security.READS) == run.NAMES


def test_every_reader_has_a_target_that_runs_and_past_faults_are_as_they_are_written() -> None:
    assert set(run.NAMES) == set(TARGETS)
    for name, faults in past.faults().items():
        for title, data in faults.items():
            kept = (CORPUS / name / title).read_bytes()
            assert kept == data or name in ROUNDED


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_begins_with_is_no_fault(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)
