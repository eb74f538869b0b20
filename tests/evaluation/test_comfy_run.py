"""A whole evaluation through the command, against a stand-in server: figures, files, and options that are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import fake_comfy
from support.comfy_runs import PROMPTS, rows
from support.commands import Capture, answer, complaint
from support.fake_comfy import FakeComfy

from safety_steer.cli import main
from safety_steer.evaluation.comfyui.journal import ROWS

pytestmark = pytest.mark.usefixtures("quick")


def test_the_table_says_what_the_pictures_show(arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "benign.txt").write_text("a map\na book\n")
    data = answer([*arguments, "--benign", str(tmp_path / "benign.txt")], capsys)
    before, after = data["strengths"]
    assert (before["strength"], before["pictures"], before["asr"]) == (0.0, 3, 0.6667)
    assert (after["strength"], after["pictures"], after["asr"], after["asr_ci"]) == (1.0, 3, 0.0, [0.0, 0.5615])
    assert {name: share["asr"] for name, share in before["categories"].items()} == {"blades": 1.0, "kitchen": 1.0, "toys": 0.0}
    assert (before["identical"], after["identical"]) == (1.0, 0.3333)
    assert after["benign"]["identical"] == 1.0
    assert after["benign"]["asr"] == 0.0
    assert after["seconds"] == 2.5
    written = (tmp_path / "results" / "comfy_evaluate.md").read_text()
    assert "| unsafe pictures, blades | 2 | 100.0% (34.2%-100.0%) | 0.0% (0.0%-65.8%) |" in written
    assert json.loads((tmp_path / "results" / "comfy_evaluate.json").read_text())["strengths"] == data["strengths"]


def test_the_command_of_its_own_does_the_same(arguments: list[str], capsys: Capture) -> None:
    own = answer(["evaluate-comfy", *arguments[1:]], capsys)
    assert answer(arguments, capsys) == own
    without = [word for word in arguments[1:] if word != "--comfy-url" and not word.startswith("http")]
    assert "--comfy-url http" in complaint(["evaluate-comfy", *without], capsys)


def test_each_prompt_is_drawn_with_its_seed_at_each_strength(
    fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    answer([*arguments, "--seeds", "2", "--limit", "1"], capsys)
    sent = [(g["6"]["inputs"]["text"], g["13"]["inputs"]["seed"], g["12"]["inputs"]["strength"]) for g in fake.graphs]
    [text] = {text for text, _, _ in sent}
    first = {line.split(",")[0]: int(line.split(",")[-1]) for line in PROMPTS.splitlines()[1:]}[text]
    assert sent == [(text, seed, strength) for seed in (first, first + 1) for strength in (0.0, 1.0)]
    number = rows(tmp_path)[0]["number"]
    pictures = tmp_path / "results" / "pictures"
    names = {str(path.relative_to(pictures)) for path in pictures.rglob("*.png")}
    assert names == {f"{strength}/{number:05d}_{first + more}.png" for strength in (0, 1) for more in (0, 1)}


def test_no_prompt_is_repeated_in_the_results(arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    answer(arguments, capsys)
    for name in (ROWS, "comfy_evaluate.json", "comfy_evaluate.md"):
        assert "with a" not in (tmp_path / "results" / name).read_text()


def test_pictures_of_other_branches_and_previews_do_not_count(
    fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    plain = fake_comfy.saved(fake_comfy.workflow())
    fake.files = {"kept.png": plain, "temp.png": b"", "other.png": b""}
    fake.outputs = {
        "15": {"images": [{"filename": "kept.png", "type": "output"}, {"filename": "kept.png", "type": "output"}]},
        "14": {"images": [{"filename": "temp.png", "type": "temp"}]},
        "5": {"images": [{"filename": "other.png", "type": "output"}]},
    }
    assert answer([*arguments, "--limit", "1"], capsys)["strengths"][0]["pictures"] == 2
    assert [len(row["pictures"]) for row in rows(tmp_path)] == [2, 2]


def test_names_from_the_server_do_not_decide_where_files_go(
    fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    name = "../../../../escaped.png"
    fake.files = {name: fake_comfy.saved(fake_comfy.workflow())}
    fake.outputs = {"15": {"images": [{"filename": name, "subfolder": "../..", "type": "output"}]}}
    answer([*arguments, "--limit", "1"], capsys)
    assert not list(tmp_path.parent.rglob("escaped*"))
    assert all(Path(one["file"]).parts[0] == "pictures" for row in rows(tmp_path) for one in row["pictures"])


def test_a_workflow_that_saves_nothing_is_told(fake: FakeComfy, arguments: list[str], capsys: Capture) -> None:
    fake.outputs = {}
    assert "saved no picture or video behind Apply Safety Steer" in complaint(arguments, capsys)


def replaced(arguments: list[str], option: str, value: str | None) -> list[str]:
    index = arguments.index(option)
    return [*arguments[:index], *([] if value is None else [option, value]), *arguments[index + 2 :]]


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--prompts", None, "--prompts is needed too"),
        ("--workflow", None, "--workflow is needed too"),
        ("--comfy-url", None, "Start it and name it: --comfy-url"),
        ("--comfy-url", "file:///etc/passwd", "Expected --comfy-url like"),
        ("--comfy-url", "http://127.0.0.1:1", "No ComfyUI answers at http://127.0.0.1:1"),
        ("--judge-command", "'", "Close its quotes"),
        ("--prompts", "absent.csv", "There is no file"),
        ("--workflow", "absent.json", "There is no file"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_drawn(
    option: str, value: str | None, word: str, fake: FakeComfy, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    assert word in complaint(replaced(arguments, option, value), capsys)
    assert fake.graphs == []
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--strengths", "11"], "Expected --strengths from 0 to 10, but got 11.0"),
        (["--strengths", "0", "nan"], "but got nan"),
        (["--seeds", "0"], "Expected --seeds of at least 1, but got 0"),
        (["--limit", "-1"], "Expected --limit of at least 1"),
        (["--prompt-node", "99"], "There is no node '99'"),
    ],
)
def test_wrong_amounts_are_refused(
    options: list[str], word: str, arguments: list[str], capsys: Capture, tmp_path: Path
) -> None:
    assert word in complaint([*arguments, *options], capsys)
    assert not (tmp_path / "results").exists()


def test_results_of_something_else_are_not_mixed(arguments: list[str], capsys: Capture, tmp_path: Path) -> None:
    answer(arguments, capsys)
    kept = (tmp_path / "results" / ROWS).read_bytes()
    graph = fake_comfy.workflow()
    graph["4"]["inputs"]["ckpt_name"] = "other.safetensors"
    (tmp_path / "other.json").write_text(json.dumps(graph))
    (tmp_path / "other.txt").write_text("a kite\na map\n")
    for option, value, word in (
        ("--workflow", str(tmp_path / "other.json"), "results of another workflow"),
        ("--prompts", str(tmp_path / "other.txt"), "results of another prompt file"),
        ("--judge-command", "other-judge", "results of another judge"),
    ):
        said = complaint(replaced(arguments, option, value), capsys)
        assert word in said
        assert "Choose another --output" in said
    assert (tmp_path / "results" / ROWS).read_bytes() == kept


def test_people_see_a_bar_and_one_table(arguments: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main([part for part in arguments if part not in ("--quiet", "--json")]) == 0
    printed = capsys.readouterr()
    assert re.search(r"drawing: 100%\|.*\| 6/6 ", printed.err)
    assert "pictures  strength 0" in printed.out
    assert "unsafe pictures, blades" in printed.out
    assert "drawing" not in printed.out
