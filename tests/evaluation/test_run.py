"""A whole run on a tiny untrained generator: rows, resuming, the table, the plot and the contact sheet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.studio import make_inputs, make_studio

from safety_steer.cli import main
from safety_steer.demo_world import weights
from safety_steer.demo_world.phrases import PLACES
from safety_steer.errors import DataError
from safety_steer.evaluation.demo import sheet
from safety_steer.evaluation.demo.methods import DEFAULT, Method
from safety_steer.evaluation.demo.prompts import FORMS, calibration_prompts, categories, place_said, prompt_set
from safety_steer.evaluation.demo.report import contact_sheet, draw_trade_off, headline, markdown
from safety_steer.evaluation.demo.run import Plan, evaluate
from safety_steer.evaluation.demo.session import DemoSession

KEYS = {
    *("generator", "method", "map", "operator", "gate", "strength", "split", "asr", "asr_ci", "clip", "fid"),
    *("object", "subject", "place", "identical", "over_refusal", "seconds"),
}
PLAN = Plan({"unsafe": 4, "benign": 4, "borderline": 3}, stage="tune", steps=2)
METHODS = [
    Method("none", "none"),
    Method("negative prompt", "negative"),
    Method("SLD", "sld", strength=1.0),
    Method("SAFREE-style", "safree", strength=1.0),
]


@pytest.fixture(scope="module")
def session(models: dict[str, Path]) -> DemoSession:
    return make_studio(models["bert"])


def test_rows_have_the_public_keys_and_a_second_run_draws_nothing(session: DemoSession, tmp_path: Path) -> None:
    file = tmp_path / "evaluate.json"
    rows = evaluate(session, make_inputs(session), METHODS, PLAN, file)
    assert len(rows) == len(METHODS) * len(PLAN.counts)
    assert all(set(row) >= KEYS for row in rows)
    assert json.loads(file.read_text()) == rows
    drawn = session.pictures
    assert evaluate(session, make_inputs(session), METHODS, PLAN, file) == rows
    assert session.pictures == drawn


def test_a_curve_is_drawn_on_harmful_prompts_alone(session: DemoSession, tmp_path: Path) -> None:
    file, curve = tmp_path / "evaluate.json", [replace(METHODS[-2], strength=value) for value in (0.5, 2.0)]
    rows = evaluate(session, make_inputs(session), METHODS, PLAN, file, curve=curve)
    assert [(row["method"], row["strength"], row["split"]) for row in rows[-2:]] == [
        ("SLD", 0.5, "unsafe"),
        ("SLD", 2.0, "unsafe"),
    ]
    assert len(rows) == len(METHODS) * len(PLAN.counts) + 2
    lines = [line for line in markdown(rows).splitlines() if line.startswith("| SLD")]
    assert len(lines) == 3
    assert lines[1].count("|  |") == lines[2].count("|  |") > 0


def test_what_is_not_steered_is_identical_and_loses_nothing(session: DemoSession) -> None:
    for row in evaluate(session, make_inputs(session), METHODS[:1], PLAN):
        assert row["identical"] == 1.0
        assert row["over_refusal"] in (None, 0.0)


def test_an_interrupted_run_goes_on_where_it_stopped(session: DemoSession, tmp_path: Path) -> None:
    file = tmp_path / "evaluate.json"
    evaluate(session, make_inputs(session), METHODS[:1], PLAN, file)
    said: list[str] = []
    rows = evaluate(session, make_inputs(session), METHODS[:2], PLAN, file, said.append)
    assert len(rows) == 2 * len(PLAN.counts)
    assert all("negative prompt" in line for line in said)


def test_rows_of_another_run_are_not_taken_for_this_ones(session: DemoSession, tmp_path: Path) -> None:
    file = tmp_path / "evaluate.json"
    first = evaluate(session, make_inputs(session), METHODS[:1], PLAN, file)
    other = [{**row, "generator": "another"} for row in first]
    file.write_text(json.dumps(other + [{**row, "asr": 0.5} for row in first]))
    assert [row["asr"] for row in evaluate(session, make_inputs(session), METHODS[:1], PLAN, file)[len(other) :]] == [0.5] * 3
    for plan in (replace(PLAN, stage="final"), replace(PLAN, counts={"unsafe": 5, "benign": 4, "borderline": 3})):
        rows = evaluate(session, make_inputs(session), METHODS[:1], plan, file)
        assert rows[: len(other)] == other
        assert len(rows) == len(other) + 3
        assert {row["run"] for row in rows[len(other) :]} != {row["run"] for row in first}


def test_changed_weights_are_another_run(models: dict[str, Path]) -> None:
    one = make_studio(models["bert"])
    before = one.fingerprint
    assert before == make_studio(models["bert"]).fingerprint
    one.judge.doubt["object"].data += 1
    assert one.fingerprint != before


def test_videos_have_frame_measures(models: dict[str, Path]) -> None:
    rows = evaluate(video := make_studio(models["bert"], frames=2), make_inputs(video), METHODS[:1], PLAN)
    assert all({"asr_frame", "temporal"} <= set(row) for row in rows)


def test_the_report_is_written_from_rows(session: DemoSession, tmp_path: Path) -> None:
    rows = evaluate(session, make_inputs(session), METHODS, PLAN)
    text = markdown(rows)
    assert text.count("\n") == len(METHODS) + 3
    assert "ASR unsafe" in text
    draw_trade_off(rows, tmp_path / "trade_off.png")
    contact_sheet([("one", torch.rand(3, 3, 64, 64)), ("two", torch.rand(3, 3, 64, 64))], tmp_path / "sheet.png")
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("trade_off.png", "sheet.png"))
    standard = [{**row, "method": "transferred"} for row in rows if row["method"] == "none"]
    later = [{**row, "asr": 0.123, "strength": 9.0} for row in standard]
    assert headline([*rows, *standard, *later]) == headline([*rows, *standard])
    assert "tiny with own prompts: ASR" in headline([*rows, *standard])
    default = [{**row, "method": DEFAULT.name} for row in standard]
    assert headline([*rows, *standard, *default]).splitlines()[0].startswith("tiny: ASR")


def test_the_sheet_has_a_row_per_split_and_method(
    session: DemoSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "SHOWN", 3)
    asked = sheet.draw_sheet(session, make_inputs(session), METHODS[:2], "tune", tmp_path / "new" / "sheet.png", steps=1)
    assert [(one.split, len(one.prompts)) for one in asked] == [("unsafe", 3), ("benign", 3)]
    with Image.open(tmp_path / "new" / "sheet.png") as picture:
        one_row = picture.height // 4
        assert picture.height == 4 * one_row
        assert picture.width > 3 * 2 * 64


@pytest.mark.parametrize("split", sorted(FORMS))
def test_prompts_of_a_stage_repeat_and_stages_differ(split: str) -> None:
    one, again, final = prompt_set(split, 20, "tune"), prompt_set(split, 20, "tune"), prompt_set(split, 20, "final")
    assert one == again
    assert not set(one.prompts) & set(final.prompts)
    unsafe = [bool(name) for name in categories(one.scenes)]
    assert all(unsafe) if split not in ("benign", "borderline") else not any(unsafe)


def test_several_seeds_repeat_a_prompt_with_other_noise() -> None:
    one = prompt_set("unsafe", 3, "tune", seeds=2)
    assert one.prompts[0] == one.prompts[1] != one.prompts[2]
    assert len(set(one.seeds)) == 6


def test_places_count_only_where_they_are_said() -> None:
    one = prompt_set("benign", 200, "tune")
    said = place_said(one)
    assert 0.6 < sum(said) / len(said) < 0.9
    names = [phrase for phrases in PLACES.values() for phrase in phrases]
    for told, prompt in zip(said, one.prompts, strict=True):
        assert told == any(name in prompt.lower() for name in names)


def test_calibration_prompts_are_benign_and_of_the_training_split() -> None:
    prompts = calibration_prompts(200)
    assert len(prompts) == 200
    held_out: Any = prompt_set("benign", 200, "tune").prompts
    assert not set(prompts) & set(held_out)


@pytest.mark.parametrize(("options", "words"), [(["--only", "nonsense"], "no method"), ([], "Get the file again")])
def test_the_command_refuses_what_it_cannot_run(
    options: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "none")
    assert main(["evaluate", "--quiet", "--output", str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_split_is_an_error() -> None:
    with pytest.raises(DataError, match="split"):
        prompt_set("nonsense", 3, "tune")
