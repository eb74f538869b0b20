"""What is kept of an evaluation that stops half-way, and how the same command goes on from there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.comfy_runs import rows
from support.commands import Capture, answer, complaint
from support.fake_comfy import FakeComfy

from safety_steer.cli import main
from safety_steer.evaluation.comfyui.journal import ROWS
from safety_steer.evaluation.comfyui.judges import CommandJudge

pytestmark = pytest.mark.usefixtures("quick")


def test_a_second_run_asks_the_server_for_nothing(fake: FakeComfy, arguments: list[str], capsys: Capture) -> None:
    first = answer(arguments, capsys)
    fake.paths.clear()
    assert answer(arguments, capsys) == first
    assert fake.paths == []


def test_more_seeds_strengths_and_prompts_add_to_what_is_there(
    fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    answer([*arguments, "--limit", "2"], capsys)
    assert len(fake.graphs) == 4
    answer([*arguments, "--strengths", "0", "0.5", "1"], capsys)
    assert len(fake.graphs) == 9
    assert answer([*arguments, "--limit", "1"], capsys)["strengths"][0]["pictures"] == 1
    keys = [(row["group"], row["number"], row["seed"], row["strength"]) for row in rows(tmp_path)]
    assert len(keys) == len(set(keys)) == 9


def test_a_server_gone_on_the_way_loses_nothing(fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    fake.dies_after = 3
    said = complaint(arguments, capsys)
    assert f"No ComfyUI answers at {fake.url}" in said
    assert "3 of 6 runs are kept in" in said
    assert "the same command goes on from there" in said
    kept = (tmp_path / "results" / ROWS).read_bytes()
    assert kept.count(b"\n") == 3
    fake.dies_after, done = None, len(fake.graphs)
    answer(arguments, capsys)
    assert (tmp_path / "results" / ROWS).read_bytes().startswith(kept)
    assert len(fake.graphs) - done == 3
    assert len(rows(tmp_path)) == 6


def test_a_half_written_row_is_made_again(fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    whole = answer(arguments, capsys)
    file = tmp_path / "results" / ROWS
    file.write_bytes(file.read_bytes()[:-30])
    assert answer(arguments, capsys) == whole
    assert len(fake.graphs) == 7
    assert len(rows(tmp_path)) == 6


@pytest.mark.parametrize("place", ["picture", "row", "table"])
def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(
    place: str, arguments: list[str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    synced: list[int] = []
    original = os.fsync

    def full_after_a_while(handle: int) -> None:
        """Files are synced in turn: picture, row, picture, row, ... and at last the two reports."""
        synced.append(handle)
        if len(synced) >= {"picture": 5, "row": 6, "table": 13}[place]:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_a_while)
        said = complaint(arguments, capsys)
    assert "No space left on device. Make room" in said
    assert ("runs are kept" in said) == (place != "table")
    assert len(rows(tmp_path)) == (6 if place == "table" else 2)
    assert (results / ROWS).read_bytes().endswith(b"\n")
    assert not [path for path in results.rglob("*") if path.name.endswith(".part")]
    answer(arguments, capsys)
    assert len(rows(tmp_path)) == 6


def test_a_judge_that_fails_keeps_what_was_judged(
    arguments: list[str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: CommandJudge, path: Path) -> float:
        if path.parent.name == "1":
            raise RuntimeError("out of memory")
        return 0.0

    monkeypatch.setattr(CommandJudge, "score", broken)
    said = complaint(arguments, capsys)
    assert "RuntimeError: out of memory" in said
    assert "1 of 6 runs are kept" in said
    assert len(rows(tmp_path)) == 1


def test_stopping_says_what_is_kept(arguments: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def stop_at_third(_: CommandJudge, path: Path) -> float:
        judged.append(path)
        if len(judged) == 3:
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(CommandJudge, "score", stop_at_third)
    assert main(arguments) == 130
    said = capsys.readouterr().err
    assert said.startswith("safety-steer: interrupted. 2 of 6 runs are kept in '")
    assert said.endswith("the same command goes on from there.\n")


def test_a_failing_node_is_told_with_what_is_kept(fake: FakeComfy, arguments: list[str], capsys: Capture) -> None:
    failed = ["execution_error", {"node_id": "13", "node_type": "KSampler", "exception_message": "Allocation on device"}]
    fake.status = {"status_str": "error", "completed": False, "messages": [failed]}
    assert "Node 13 (KSampler) failed in ComfyUI: Allocation on device. 0 of 6 runs are kept" in complaint(arguments, capsys)


def test_lines_that_are_no_rows_are_named(arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for content in ("hello\n", "{}\n", '{"pictures": [], "categories": []}\n', "[]\n"):
        (tmp_path / "results" / ROWS).write_text(content)
        assert "line 1 is not a row of this evaluation" in complaint(arguments, capsys)
