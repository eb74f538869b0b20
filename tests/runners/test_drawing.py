"""The demo's evaluation by workers that are killed half way: the table and the pictures of one process, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from support import builders
from support.killing import Killing, ray_workers

from safety_steer.evaluation.demo import session as sessions
from safety_steer.evaluation.demo.methods import UNSAFE_CONCEPTS, Method, MethodInputs
from safety_steer.evaluation.demo.report import markdown
from safety_steer.evaluation.demo.run import Plan, evaluate
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Runner
from safety_steer.storage.kept_parts import KeptParts

pytestmark = pytest.mark.slow
PLAN = Plan({"unsafe": 6, "benign": 4, "borderline": 2}, stage="tune", steps=1)
METHODS = [
    Method("none", "none"),
    Method("negative prompt", "negative"),
    Method("SLD", "sld", strength=1.0),
    Method("SAFREE-style", "safree", strength=1.0),
]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH", 2)


def table(session: DemoSession, rows_file: Path | None = None) -> tuple[list[dict[str, Any]], str]:
    states = builders.planted_states()
    inputs = MethodInputs(builders.planted_direction(), None, states, states, session.states(UNSAFE_CONCEPTS))
    rows = evaluate(session, inputs, METHODS, PLAN, rows_file)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows], markdown(rows)


def processes() -> list[int]:
    return [process.pid for process in active_children() if process.pid is not None]


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_worker_killed_half_way_changes_no_bit_of_the_table(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if name == "ray" and not Path("/proc/self/cmdline").exists():
        pytest.skip("finds workers in /proc")
    runner: Runner = Processes(2) if name == "processes" else request.getfixturevalue("cluster")
    workers: Callable[[], Sequence[int]] = processes if name == "processes" else lambda: ray_workers("draw_part")
    killing = Killing(runner, workers, "draw_part")
    here, away = DemoSession.open("image"), DemoSession.open("image", killing, KeptParts(tmp_path / "kept"))
    assert table(away, tmp_path / "rows.json") == table(here)
    assert set(away.drawn) == set(here.drawn)
    assert all(torch.equal(picture, away.drawn[key]) for key, picture in here.drawn.items())
    assert killing.killed > 0
    assert away.pictures == here.pictures == len(here.drawn)
    drawn = killing.results
    again = DemoSession.open("image", killing, KeptParts(tmp_path / "kept"))
    assert table(again) == table(here)
    assert killing.results == drawn > 15
