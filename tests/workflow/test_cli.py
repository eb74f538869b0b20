"""`safety-steer add` at the terminal: files and folders, results as text and JSON, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.workflows import shapes
from support.workflows.sketch import Json, loader, node, plain, sampler, text, workflow

from safety_steer.cli import main
from safety_steer.workflow import add
from safety_steer.workflow.format_check import HINT

Capture = pytest.CaptureFixture[str]
SHAPES = shapes.shapes()


def saved(path: Path, data: object, **style: Any) -> Path:
    path.write_text(json.dumps(data, **style), encoding="utf-8")
    return path


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["add", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def refused(capsys: Capture, folder: Path, *arguments: object) -> str:
    """Run what cannot work: exit 2, one line, and every file as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, error = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert error.startswith("safety-steer: ")
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return error


def test_a_file_is_written_and_told_about(tmp_path: Path, capsys: Capture) -> None:
    source, out = saved(tmp_path / "in.json", plain()), tmp_path / "out.json"
    code, printed, _ = run(capsys, source, "-o", out)
    assert code == 0
    assert printed == "in.json: 1 sampler: 1 steered now\n  KSampler #3: steered now\n"
    assert json.loads(out.read_text()) == add(plain()).data
    assert json.loads(source.read_text()) == plain()
    code, printed, _ = run(capsys, out, "-o", tmp_path / "again.json")
    assert printed.startswith("out.json: 1 sampler: 1 steered already\n")
    assert (tmp_path / "again.json").read_bytes() == out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "in.json", "out.json"]


@pytest.mark.parametrize(
    "style",
    [{}, {"indent": 2}, {"indent": 4, "ensure_ascii": False}, {"separators": (",", ":")}, {"indent": "\t"}],
)
def test_a_file_comes_back_byte_for_byte(style: dict[str, Any], tmp_path: Path, capsys: Capture) -> None:
    data = plain()
    data["nodes"][1]["widgets_values"] = ["ein Drache über Köln"]
    source, out, back = saved(tmp_path / "in.json", data, **style), tmp_path / "out.json", tmp_path / "back.json"
    run(capsys, source, "-o", out)
    code, printed, _ = run(capsys, out, "-o", back, "--remove")
    assert (code, printed) == (0, "out.json: took out 3 nodes, as it was before\n")
    assert back.read_bytes() == source.read_bytes()


def test_letters_that_cannot_be_written_alone_are_kept(tmp_path: Path, capsys: Capture) -> None:
    data = plain()
    data["nodes"][1]["widgets_values"] = ["\ud83d", "ü"]
    source = tmp_path / "in.json"
    source.write_text(json.dumps(data).replace("\\u00fc", "ü"), encoding="utf-8")
    code, _, _ = run(capsys, source, "-o", source)
    assert code == 0
    assert json.loads(source.read_text(encoding="utf-8"))["nodes"][1]["widgets_values"] == ["\ud83d", "ü"]


def test_the_input_is_replaced_when_it_is_named(tmp_path: Path, capsys: Capture) -> None:
    source = saved(tmp_path / "in.json", plain())
    assert run(capsys, source, "-o", source)[0] == 0
    assert json.loads(source.read_text()) == add(plain()).data


def test_check_writes_nothing_and_tells_everything(tmp_path: Path, capsys: Capture) -> None:
    data = workflow(
        loader(),
        text(2, "1.1"),
        sampler(3, "1.0", "2.0"),
        node(5, "LotusConditioning", "", "CONDITIONING"),
        sampler(6, "1.0", "5.0"),
    )
    source = saved(tmp_path / "in.json", data)
    code, printed, _ = run(capsys, source, "--check")
    assert code == 0
    reason = "its prompt is not text: it comes from LotusConditioning"
    assert printed.splitlines() == [
        f"in.json: 2 samplers: 1 would be steered, 1 left alone ({reason})",
        "  KSampler #3: would be steered",
        f"  KSampler #6: left alone, {reason}",
    ]
    code, printed, _ = run(capsys, source, "--check", "--json")
    found = json.loads(printed)["files"][0]
    assert (found["state"], found["format"], [one["state"] for one in found["samplers"]]) == (
        "would change",
        "editor",
        ["steer", "left alone"],
    )
    assert list(tmp_path.iterdir()) == [source]


def test_a_folder_gives_a_line_for_each_file(tmp_path: Path, capsys: Capture) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    saved(source / "a.json", plain())
    saved(source / "b.json", {"index": 1})
    saved(source / "deep" / "c.json", workflow(loader()))
    code, printed, _ = run(capsys, source, "-o", out)
    assert code == 0
    assert printed.splitlines() == [
        "a.json: 1 sampler: 1 steered now",
        f"b.json: skipped ('b.json' cannot be used. This is not a ComfyUI workflow. {HINT})",
        "c.json: unchanged (it has no sampler that runs in ComfyUI itself)",
    ]
    assert (out / "deep" / "c.json").read_bytes() == (source / "deep" / "c.json").read_bytes()
    assert not (out / "b.json").exists()
    code, printed, _ = run(capsys, out, "-o", tmp_path / "back", "--remove", "--json")
    assert [one["state"] for one in json.loads(printed)["files"]] == ["removed", "unchanged"]
    assert (tmp_path / "back" / "a.json").read_bytes() == (source / "a.json").read_bytes()


def test_the_api_format_is_told_apart(tmp_path: Path, capsys: Capture) -> None:
    sampled = {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["2", 0]}}
    data: Json = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "3": sampled,
    }
    source = saved(tmp_path / "in.json", data)
    _, printed, _ = run(capsys, source, "-o", source, "--json")
    assert (json.loads(printed)["files"][0]["format"], len(json.loads(source.read_text()))) == ("api", 6)


def test_what_cannot_be_done_is_refused(tmp_path: Path, capsys: Capture) -> None:
    source = saved(tmp_path / "in.json", plain())
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    saved(tmp_path / "bad" / "x.json", 7)
    out = tmp_path / "out.json"
    assert "with -o OUT.json" in refused(capsys, tmp_path, source)
    assert "with -o OUT.json" in refused(capsys, tmp_path, source, "--remove")
    assert "writes nothing" in refused(capsys, tmp_path, source, "--check", "-o", out)
    assert "There is no file" in refused(capsys, tmp_path, tmp_path / "absent.json", "-o", out)
    assert "it is a folder" in refused(capsys, tmp_path, source, "-o", tmp_path / "empty")
    assert "folder does not exist" in refused(capsys, tmp_path, source, "-o", tmp_path / "no" / "out.json")
    assert "not a ComfyUI workflow" in refused(capsys, tmp_path, tmp_path / "bad" / "x.json", "-o", out)
    assert "holds no .json file" in refused(capsys, tmp_path, tmp_path / "empty", "-o", out)
    assert "None of the 1 files" in refused(capsys, tmp_path, tmp_path / "bad", "--check")
    assert "is a file" in refused(capsys, tmp_path, tmp_path / "bad", "-o", source)
    assert "lies within" in refused(capsys, tmp_path, tmp_path / "bad", "-o", tmp_path / "bad" / "more")


def test_a_workflow_is_edited_without_waiting_for_torch(tmp_path: Path) -> None:
    source = saved(tmp_path / "in.json", plain())
    script = (
        "import sys; from safety_steer.cli import main; "
        f"main(['add', {str(source)!r}, '-o', {str(source)!r}]); "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.splitlines()[-1] == "[]"
