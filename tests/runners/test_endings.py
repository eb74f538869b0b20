"""What is left of workers when a crew ends, when a run is cut short, and when the process that started them is: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import wording

from safety_steer.cli import main
from safety_steer.errors import DataError
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.runners.on_ray import OnRay
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Crew, Here, Runner

ROOT = Path(__file__).parents[2]
LONG = 600.0
LARGE = bytes(2**25)  # far more than a pipe holds: it is still being handed over when the workers end
PATIENCE = 60.0
# Starts two workers on tasks of ten minutes, says who they are, and waits for their results.
DRIVER = """
from test_endings import LONG, wait_long

from safety_steer.runners.processes import Processes

if __name__ == "__main__":
    with Processes(2) as crew:
        list(crew.run(wait_long, [({folder!r}, LONG, b"")] * 3))
"""


def own_id(_: int) -> int:
    return os.getpid()


def wait_long(item: tuple[str, float, bytes]) -> None:
    """Leave a file named by this process, and wait."""
    folder, seconds, _ = item
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(seconds)


def large(_: int) -> bytes:
    return LARGE


def fail_beside(item: tuple[str, float, bytes]) -> None:
    """Fail, as soon as another worker is at a long task."""
    folder, seconds, _ = item
    if seconds:
        wait_long(item)
    processes_at_work(Path(folder), 1)
    raise DataError("This one fails.")


def processes_at_work(folder: Path, count: int) -> list[int]:
    """Wait until so many workers have left their file; return who they are."""
    end = time.monotonic() + PATIENCE
    while len(found := list(folder.iterdir())) < count:
        assert time.monotonic() < end, "no worker has come"
        time.sleep(0.05)
    return [int(file.name) for file in found]


def alive(process: int) -> bool:
    """Say whether a process is there and has not ended (one whose end nobody has asked for is still listed)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def gone(processes: list[int]) -> bool:
    """Wait until none of these processes is there; say whether that was so in time."""
    end = time.monotonic() + PATIENCE
    while (left := [one for one in processes if alive(one)]) and time.monotonic() < end:
        time.sleep(0.05)
    return not left


@pytest.fixture
def no_child() -> Iterator[None]:
    assert active_children() == []
    yield
    assert active_children() == []


def test_a_crew_in_this_process_ends_with_nothing_to_do() -> None:
    with Here() as crew:
        assert [one for _, one in crew.run(own_id, [1, 2])] == [os.getpid()] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("no_child")
def test_workers_stay_for_the_next_run_and_end_with_the_crew() -> None:
    with Processes(1) as crew:
        first, second = ([one for _, one in crew.run(own_id, range(3))] for _ in range(2))
        assert len(set(first + second)) == 1
        assert [child.pid for child in active_children()] == first[:1]
    assert active_children() == []
    assert [one for _, one in crew.run(own_id, [1])] != first[:1]
    crew.close()


@pytest.mark.slow
@pytest.mark.usefixtures("no_child")
def test_an_error_in_a_task_ends_what_the_others_are_at(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match="This one fails"):
        list(Processes(2).run(fail_beside, [(str(tmp_path), LONG, b""), (str(tmp_path), 0.0, b"")]))
    assert active_children() == []
    assert time.monotonic() - start < LONG / 2


@pytest.mark.slow
@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_an_error_while_results_are_used_ends_them(error: type[BaseException], tmp_path: Path) -> None:
    def use() -> None:
        with Processes(2) as crew:
            for _ in crew.run(wait_long, [(folder, 0.0, LARGE), *[(folder, LONG, LARGE)] * 8]):
                raise error

    folder = str(tmp_path)

    start = time.monotonic()
    with pytest.raises(error):
        use()
    assert active_children() == []
    assert time.monotonic() - start < LONG / 2


@pytest.mark.slow
@pytest.mark.usefixtures("no_child")
def test_workers_that_hand_over_large_results_can_be_ended() -> None:
    """A worker that ends in the middle of a result would have the reader wait for ever."""
    for _ in range(12):
        with Processes(2) as crew:
            next(crew.run(large, range(40)))
        assert active_children() == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for workers in /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(sign: signal.Signals, tmp_path: Path) -> None:
    (traces := tmp_path / "traces").mkdir()
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(folder=str(traces)))
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE) as driver:
        workers = processes_at_work(traces, 2)
        driver.send_signal(sign)
        driver.wait(PATIENCE)
        assert gone(workers)
        assert len(list(traces.iterdir())) == 2


class Watched(Crew):
    """A crew that notes its end."""

    def __init__(self) -> None:
        self.runs, self.ended = 0, False

    def run(self, task: Any, items: Any) -> Iterator[tuple[int, Any]]:
        assert not self.ended
        self.runs += 1
        return Here().run(task, items)

    def close(self) -> None:
        self.ended = True


def test_every_command_ends_its_crew_once(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Watched] = []

    def watched(*_: object) -> Watched:
        opened.append(Watched())
        return opened[-1]

    def stopped(_: str, runner: Runner, *__: object) -> None:
        list(runner.run(own_id, [1]))
        raise DataError("This is as far as it goes.")

    monkeypatch.setattr("safety_steer.runners.runner.open_runner", watched)
    monkeypatch.setattr(DemoSession, "open", stopped)
    pairs = str(wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs()))
    anchors = str(wording.write_prompts(tmp_path / "anchors.txt", wording.sentences(400, seed=9)))
    llama, made, out = str(models["llama"]), str(tmp_path / "made.safetensors"), str(tmp_path / "out.safetensors")
    common = ["--quiet", "--processes", "2"]
    commands = {
        0: [
            ["extract", "--source", llama, "--pairs", pairs, "--anchors", anchors, "-o", made],
            ["align", made, "--encoder", str(models["bert"]), "--source", llama, "--anchors", anchors, "-o", out],
            ["score", made, "--encoder", llama, "--pairs", pairs],
        ],
        2: [
            ["evaluate", "--output", str(tmp_path / "results")],
            ["extract", "--source", str(tmp_path / "no"), "--pairs", pairs, "--anchors", anchors, "-o", made],
        ],
    }
    for code, each in commands.items():
        for arguments in each:
            opened.clear()
            assert main([*arguments, *common]) == code, capsys.readouterr().err
            assert [crew.ended for crew in opened] == [True]
            assert opened[0].runs > 0 or "no" in arguments[2]


def test_a_connection_to_ray_ends_with_the_crew_that_made_it() -> None:
    closed: list[str] = []
    for connected in (True, False):
        ray = SimpleNamespace(shutdown=lambda connected=connected: closed.append(str(connected)))
        with OnRay(ray, connected):
            assert closed == ([] if connected else ["True"])
    assert closed == ["True"]
