"""Small files that stand for much are refused in time, and none takes more than a gigabyte."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import hostile

from safety_steer.errors import SafetySteerError
from safety_steer.workflow import add

TESTS = Path(__file__).parents[1]
SECONDS = 20.0  # of the processor; a busy machine takes longer
READ_ALL = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from support import hostile
from safety_steer.errors import SafetySteerError
for name, _, read, said in hostile.CASES:
    try:
        read(Path(sys.argv[3]) / name)
    except SafetySteerError as error:
        assert said in str(error), str(error)
    else:
        sys.exit(f"{name} was read")
    print(name, [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@pytest.mark.parametrize(("name", "make", "read", "said"), hostile.CASES, ids=[case[0] for case in hostile.CASES])
@pytest.mark.slow
def test_a_small_file_that_stands_for_much_is_refused_soon(
    name: str, make: Callable[[], hostile.Made], read: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = hostile.written(tmp_path / name, make())
    started = time.process_time()
    with pytest.raises(SafetySteerError, match=said):
        read(path)
    assert time.process_time() - started < SECONDS


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read as Linux tells them")
@pytest.mark.slow
def test_none_of_them_takes_more_than_a_gigabyte(tmp_path: Path) -> None:
    for name, make, _, _ in hostile.CASES:
        hostile.written(tmp_path / name, make())
    command = [sys.executable, "-c", READ_ALL, str(TESTS.parent), str(TESTS), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    peaks = [int(line.split()[1]) for line in ran.stdout.splitlines()]
    assert len(peaks) == len(hostile.CASES)
    assert max(peaks) < 2**20, ran.stdout


def test_a_prompt_through_subgraphs_that_cross_is_followed_once() -> None:
    started = time.process_time()
    change = add(hostile.crossing())
    assert [verdict.sampler.label for verdict in change.verdicts]
    assert time.process_time() - started < SECONDS
