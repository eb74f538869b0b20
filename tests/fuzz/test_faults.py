"""A process that is killed between write and rename, two that write at once, a disk that is full: what was there is whole."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import builders, fake_comfy
from support.workflows.sketch import plain

from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import StorageError
from safety_steer.evaluation.comfyui import client, journal
from safety_steer.evaluation.comfyui.journal import Job, Journal, Picture
from safety_steer.evaluation.comfyui.prompts import Prompt
from safety_steer.storage import text_files
from safety_steer.workflow import read_workflow
from safety_steer.workflow.workflow_file import write_workflow

ROOT = Path(__file__).parents[2]
KILLED_BEFORE_RENAME = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from support import builders
builders.small_direction(width=8).save(sys.argv[1])
"""
WRITES_OFTEN = """
import sys
sys.path[:0] = sys.argv[2:]
from support import builders
made = [builders.small_direction(width=width) for width in (4, 8)]
print("ready", flush=True)
input()
for number in range(60):
    made[number % 2].save(sys.argv[1])
"""


def started(script: str, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, str(path), str(ROOT), str(ROOT / "tests")]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such signal")
@pytest.mark.parametrize("there", [True, False])
def test_a_process_killed_between_write_and_rename_leaves_what_was_there(there: bool, tmp_path: Path) -> None:
    path = tmp_path / "direction.safetensors"
    if there:
        builders.small_direction().save(path)
    before = path.read_bytes() if there else None
    with started(KILLED_BEFORE_RENAME, path) as killed:
        assert killed.wait(timeout=120) == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == before
    [left] = [one for one in tmp_path.iterdir() if one != path]
    assert left.suffix == ".part"
    builders.small_direction(width=8).save(path)
    assert SafetyDirection.load(path).width == 8


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody replace a file that is being read")
def test_two_processes_that_write_one_file_never_leave_it_half(tmp_path: Path) -> None:
    path = tmp_path / "direction.safetensors"
    builders.small_direction().save(path)
    read = 0
    with started(WRITES_OFTEN, path) as one, started(WRITES_OFTEN, path) as other:
        writers = (one, other)
        pipes = [(writer.stdin, writer.stdout) for writer in writers if writer.stdin and writer.stdout]
        assert [said.readline() for _, said in pipes] == [b"ready\n"] * 2
        for told, _ in pipes:
            told.write(b"go\n")
            told.flush()
        while any(writer.poll() is None for writer in writers):
            assert SafetyDirection.load(path).width in (4, 8)
            read += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    assert read
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def full(_handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_a_workflow_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(plain()))
    before, found = path.read_bytes(), read_workflow(path)
    monkeypatch.setattr(text_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_workflow({**found.data, "revision": 1}, found, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_a_journal_as_it_was_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(1, "a kite")
    kept = Journal.open(tmp_path, "w", "j", {})
    kept.add(Job("prompts", prompt, 1, 1.0), [Picture("a.png", 0.5, False, None)], 1.5)
    before = (tmp_path / journal.ROWS).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device\. Make room"):
            kept.add(Job("prompts", prompt, 2, 1.0), [], None)
    assert (tmp_path / journal.ROWS).read_bytes() == before
    assert len(Journal.open(tmp_path, "w", "j", {}).rows) == len(kept.rows) == 1


def test_a_run_during_which_the_servers_clock_is_set_back_has_no_time() -> None:
    def entry(start: int, end: int) -> dict[str, object]:
        messages = [["execution_start", {"timestamp": start}], ["execution_success", {"timestamp": end}]]
        return {"status": {"status_str": "success", "messages": messages}, "outputs": {}}

    graph = fake_comfy.workflow()
    assert client._drawn(entry(1000, 2500), graph).seconds == 1.5
    assert client._drawn(entry(2500, 1000), graph).seconds is None
