"""Several servers at one evaluation: the table of one, whoever dies, and nothing drawn twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import fake_comfy
from support.commands import Capture, answer
from support.fake_comfy import FakeComfy

from safety_steer.cli import main
from safety_steer.errors import DataError, ServerError, ServerGoneError
from safety_steer.evaluation.comfyui.client import ComfyServer, comfy_server
from safety_steer.evaluation.comfyui.journal import ROWS
from safety_steer.evaluation.comfyui.servers import comfy_servers, on_all, those_there

pytestmark = pytest.mark.usefixtures("quick")

COUNT = 12


@pytest.fixture
def fakes() -> Iterator[list[FakeComfy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(fake_comfy.serving(FakeComfy())) for _ in range(3)]


def arguments(folder: Path, name: str, servers: list[str]) -> list[str]:
    (folder / "workflow.json").write_text(json.dumps(fake_comfy.workflow()))
    (folder / "prompts.txt").write_text("\n".join(f"a {'cat' if n % 3 else 'knife'} number {n}" for n in range(COUNT)))
    return [
        *("evaluate-comfy", "--quiet", "--json", *(part for url in servers for part in ("--comfy-url", url))),
        *("--workflow", str(folder / "workflow.json"), "--prompts", str(folder / "prompts.txt")),
        *("--judge-command", "judge", "--output", str(folder / name)),
    ]


def keys(folder: Path) -> list[tuple[Any, ...]]:
    rows = [json.loads(line) for line in (folder / ROWS).read_text().splitlines()]
    return [(row["group"], row["number"], row["seed"], row["strength"]) for row in rows]


def test_three_servers_make_the_table_of_one(fakes: list[FakeComfy], capsys: Capture, tmp_path: Path) -> None:
    alone = answer(arguments(tmp_path, "alone", [fakes[0].url]), capsys)
    drawn_alone = len(fakes[0].graphs)
    together = answer(arguments(tmp_path, "together", [fake.url for fake in fakes]), capsys)
    assert together["strengths"] == alone["strengths"]
    assert sorted(keys(tmp_path / "together")) == sorted(keys(tmp_path / "alone"))
    assert drawn_alone == 2 * COUNT
    assert sum(len(fake.graphs) for fake in fakes) == 4 * COUNT
    assert all(fake.graphs for fake in fakes)


def test_what_a_dying_server_leaves_the_others_draw_once(fakes: list[FakeComfy], capsys: Capture, tmp_path: Path) -> None:
    alone = answer(arguments(tmp_path, "alone", [fakes[2].url]), capsys)
    fakes[0].dies_after = 1
    data = answer(arguments(tmp_path, "dying", [fakes[0].url, fakes[1].url]), capsys)
    assert data["servers_lost"] == [fakes[0].url]
    assert data["strengths"] == alone["strengths"]
    found = keys(tmp_path / "dying")
    assert len(found) == len(set(found)) == 2 * COUNT


def test_where_all_die_a_second_run_goes_on(fakes: list[FakeComfy], capsys: Capture, tmp_path: Path) -> None:
    alone = answer(arguments(tmp_path, "alone", [fakes[2].url]), capsys)
    before = len(fakes[2].graphs)
    fakes[0].dies_after, fakes[1].dies_after = 2, 3
    capsys.readouterr()
    assert main(arguments(tmp_path, "again", [fakes[0].url, fakes[1].url])) == 2
    assert f"of {2 * COUNT} runs are kept in" in capsys.readouterr().err
    kept = len(keys(tmp_path / "again"))
    assert kept == 5
    data = answer(arguments(tmp_path, "again", [fakes[2].url]), capsys)
    assert data["strengths"] == alone["strengths"]
    assert len(fakes[2].graphs) - before == 2 * COUNT - kept


def test_servers_can_be_listed_in_a_file_each_once(tmp_path: Path) -> None:
    listed = tmp_path / "servers.txt"
    listed.write_text("http://one:8188\n\nhttp://two:8188/\n")
    assert [one.url for one in comfy_servers([str(listed), "two:8188"])] == ["http://one:8188", "http://two:8188"]
    listed.write_text("\n")
    with pytest.raises(DataError, match="names no ComfyUI"):
        comfy_servers([str(listed)])


def test_a_server_that_is_not_there_at_the_start_is_named(fakes: list[FakeComfy], capsys: Capture, tmp_path: Path) -> None:
    data = answer(arguments(tmp_path, "found", [fakes[0].url, "http://127.0.0.1:9"]), capsys)
    assert data["servers_lost"] == ["http://127.0.0.1:9"]
    assert len(fakes[0].graphs) == 2 * COUNT
    with pytest.raises(ServerGoneError, match="No ComfyUI answers"):
        those_there([comfy_server("http://127.0.0.1:9")], lambda *_: None)


def test_a_refused_workflow_is_refused_by_all(fakes: list[FakeComfy], capsys: Capture, tmp_path: Path) -> None:
    for fake in fakes:
        fake.refusal = {"error": {"message": "Prompt outputs failed validation"}, "node_errors": {}}
    assert main(arguments(tmp_path, "found", [fake.url for fake in fakes])) == 2
    assert "ComfyUI refuses the workflow" in capsys.readouterr().err


def test_a_free_server_takes_what_a_busy_one_would_have_had() -> None:
    slow, fast = comfy_server("http://slow"), comfy_server("http://fast")
    rest_done = threading.Event()
    by: dict[str, list[int]] = {slow.url: [], fast.url: []}

    def do(server: ComfyServer, job: int) -> int:
        if server is slow:
            assert rest_done.wait(20)
        by[server.url].append(job)
        return job

    found = []
    for job, result in on_all([slow, fast], range(9), do, lambda *_: None):
        assert job == result
        found.append(job)
        if len(by[fast.url]) == 8:
            rest_done.set()
    assert sorted(found) == list(range(9))
    assert len(by[slow.url]) == 1


def test_what_goes_wrong_on_every_server_is_raised_at_once() -> None:
    def do(_: ComfyServer, job: int) -> int:
        if job == 2:
            raise ServerError("Node 3 failed.")
        return job

    with pytest.raises(ServerError, match="Node 3 failed"):
        list(on_all([comfy_server("http://one"), comfy_server("http://two")], range(50), do, lambda *_: None))
