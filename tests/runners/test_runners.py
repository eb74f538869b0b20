"""Runners: every item once, whoever dies; on Ray, a cluster of two nodes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from safety_steer.errors import DataError, WorkerError
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Here, Runner, open_runner


def double(item: int) -> int:
    return 2 * item


def fail(item: int) -> int:
    raise DataError(f"Item {item} is wrong.")


def die_once(item: tuple[str, int]) -> int:
    """Kill the worker the first time that item 3 comes."""
    folder, number = item
    trace = Path(folder) / "died"
    if number == 3 and not trace.exists():
        trace.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_always(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.fixture(params=["here", pytest.param("processes", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "here":
        return Here()
    return Processes(2) if request.param == "processes" else request.getfixturevalue("cluster")


def test_every_item_comes_back_once(runner: Runner) -> None:
    assert sorted(runner.run(double, range(9))) == [(number, 2 * number) for number in range(9)]
    assert list(runner.run(double, [])) == []


def test_a_task_that_raises_raises_here(runner: Runner) -> None:
    with pytest.raises(DataError, match=r"^Item \d is wrong\.$"):
        list(runner.run(fail, range(3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "ray"])
def test_an_item_whose_worker_is_killed_is_done_by_another(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    runner = Processes(2) if name == "processes" else request.getfixturevalue("cluster")
    found = sorted(runner.run(die_once, [(str(tmp_path), number) for number in range(8)]))
    assert found == [(number, number) for number in range(8)]
    assert (tmp_path / "died").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_part_that_kills_every_worker_is_an_error(name: str, request: pytest.FixtureRequest) -> None:
    runner = Processes(1) if name == "processes" else request.getfixturevalue("cluster")
    with pytest.raises(WorkerError, match="4 workers died one after the other on the same part"):
        list(runner.run(die_always, [1]))


def test_what_cannot_be_opened_is_one_error() -> None:
    with pytest.raises(DataError, match="Give one of them"):
        open_runner(2, "auto")
    with pytest.raises(DataError, match="at least 1, but got 0"):
        open_runner(0, None)
    assert isinstance(open_runner(None, None), Here)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(DataError, match="No Ray cluster answers at 'auto'"):
        open_runner(None, "auto")
