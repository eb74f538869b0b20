"""The benchmark of two builds: turns, what is kept for a second run, figures worked out by hand, and a build against itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import wording

from benchmarks import first_run, side_by_side
from benchmarks.side_by_side import AFTER, BEFORE, Journal, Run
from benchmarks.transfer_table.prompts import Prompts
from safety_steer.extraction.extract_direction import extract
from safety_steer.extraction.text_model import load_text_model
from safety_steer.storage.prompt_files import Pair

ROOT = Path(__file__).parents[2]
SECONDS = {BEFORE: [10.0, 30.0, 11.0], AFTER: [4.0, 3.0, 90.0]}


def runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, list[tuple[str, str]]]:
    """Three runs of two builds that only say how long they took; what they were asked for is noted."""
    for name in (BEFORE, AFTER):
        (folder / name / "safety_steer").mkdir(parents=True, exist_ok=True)
        (folder / name / "safety_steer" / "version.py").write_text(f"# {name}")
    asked: list[tuple[str, str]] = []

    def child(_: Run, name: str, job: dict[str, Any]) -> dict[str, Any]:
        Path(job["output"]).write_text(name)
        asked.append((name, Path(job["output"]).name))
        seconds = SECONDS[name][sum(build == name for build, _ in asked) - 1]
        return {"seconds": seconds, "processor": 1.0, "peak": 100, "before": 7, "hidden": 0, "layer": 6, "hash": name}

    monkeypatch.setattr(Run, "child", child)
    builds = {name: folder / name for name in (BEFORE, AFTER)}
    return Run(builds, folder, 1, 3, Journal(folder / "runs.jsonl")), asked


def test_builds_take_turns_and_medians_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = runs(tmp_path, monkeypatch)
    found = run.side_by_side("toy", ["align"], {"do": "align"}, ".safetensors")
    assert [name for name, _ in asked] == [BEFORE, AFTER, AFTER, BEFORE, BEFORE, AFTER]
    assert (found[BEFORE]["seconds"], found[AFTER]["seconds"]) == (11.0, 4.0)
    assert found[AFTER]["all_seconds"] == SECONDS[AFTER]
    assert (found[BEFORE]["layer"], found[BEFORE]["hash"]) == (6, BEFORE)
    assert Path(found[AFTER]["file"]).read_text() == AFTER
    compared = side_by_side.compared(found, {"seconds": 0.4, "peak": 0.5})
    assert compared["ratio"]["seconds"] == pytest.approx(4 / 11)
    assert compared["kept"] == {"seconds": True, "peak": False}
    assert str(tmp_path) not in json.dumps(compared)


def test_a_second_run_goes_on_and_a_changed_build_or_a_lost_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs(tmp_path, monkeypatch)[0].side_by_side("toy", ["align"], {"do": "align"}, ".st")
    with (tmp_path / "runs.jsonl").open("a") as stream:
        stream.write('{"key": "cut sh')
    run, asked = runs(tmp_path, monkeypatch)
    assert run.side_by_side("toy", ["align"], {"do": "align"}, ".st") == first
    assert asked == []
    Path(first[BEFORE]["file"]).unlink()
    run.side_by_side("toy", ["align"], {"do": "align"}, ".st")
    assert asked == [(BEFORE, Path(first[BEFORE]["file"]).name)]
    asked.clear()
    (tmp_path / AFTER / "safety_steer" / "version.py").write_text("# changed")
    run.side_by_side("toy", ["align"], {"do": "align"}, ".st")
    assert [name for name, _ in asked] == [AFTER] * 3


def test_quality_is_read_on_all_pairs_and_at_equal_rate() -> None:
    texts = ["kind", "mild", "cruel", "vile", *(f"caption {number}" for number in range(101))]
    pairs = {"one": [Pair("kind", "cruel", "x")], "two": [Pair("mild", "vile", "x")]}
    prompts = Prompts(pairs, {"COCO": texts[4:]}, [], [], [], {})
    answer = {"readings": [3, 1, 2, 0, *[0] * 101], "scores": [0, 10, 98, 99.5, *range(101)], "threshold": 90.0}
    found = first_run.measures(answer, texts, prompts)
    assert (found["auroc"], found["gate_auroc"]) == (0.75, 1.0)
    assert (found["flagged"], found["flagged_by_default"]) == (0.5, 1.0)
    assert found["captions_flagged_by_default"] == pytest.approx(10 / 101)
    assert (found["sets"]["one"]["flagged"], found["sets"]["two"]["flagged"]) == (0.0, 1.0)


def test_other_orders_are_judged_in_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = runs(tmp_path, monkeypatch)[0], []
    monkeypatch.setattr(Run, "child", lambda _, name, job: asked.append((name, job["do"], len(job["outputs"]))) or {})
    worth = {BEFORE: [0.5, 0.7], AFTER: [0.6, 0.9]}

    def judged(build: str, file: str) -> dict[str, Any]:
        return {**dict.fromkeys(first_run.JUDGED, worth[build][int(Path(file).stem[-1]) - 1]), "sets": {}}

    files = {name: str(tmp_path / f"{name}.st") for name in (BEFORE, AFTER)}
    orders = first_run.in_orders(run, files, {"do": "align anew"}, 2, judged, "prompts")
    assert asked == [(BEFORE, "align anew", 2), (AFTER, "align anew", 2)]
    assert orders[AFTER]["flagged"] == pytest.approx(0.75)
    assert orders["change"]["flagged"] == pytest.approx(0.15)
    assert orders["standard_error"]["flagged"] == pytest.approx(0.05)
    assert first_run.in_orders(run, files, {"do": "align anew"}, 2, judged, "prompts") == orders
    assert len(asked) == 2


@pytest.mark.slow
def test_a_build_against_itself_is_as_good_and_makes_the_same(models: dict[str, Path], tmp_path: Path) -> None:
    """With tiny models and planted prompts: every process is started, and nothing but time and memory differs."""
    data = tmp_path / "data"
    data.mkdir()
    pairs = [replace(pair, source="toy") for pair in wording.stand_in_pairs(160)]
    prompts = wording.sentences(120)
    for name in ("safesteer", "coprov2", "overt"):
        wording.write_pairs(data / f"{name}_train_pairs.jsonl", pairs)
    wording.write_prompts(data / "coco_captions.txt", wording.sentences(60, seed=3))
    wording.write_prompts(data / "artist_prompts.txt", wording.sentences(4, seed=4))
    (data / "parti_prompts.tsv").write_text("Prompt\n" + "\n".join(wording.sentences(4, seed=5)) + "\n")
    (tmp_path / "heldout.jsonl").write_text(json.dumps({"text": "a quiet lake"}) + "\n")
    extract(load_text_model(models["llama"], "cpu"), pairs, prompts).save(tmp_path / "direction.safetensors")
    arguments = [
        *("--against", str(ROOT), "--models", f"tiny={models['bert']}", "--source", str(models["llama"])),
        *("--pairs", str(wording.write_pairs(tmp_path / "pairs.jsonl", pairs)), "--data", str(data)),
        *("--benign", str(wording.write_prompts(tmp_path / "benign.txt", prompts))),
        *("--heldout", str(tmp_path / "heldout.jsonl"), "--direction", str(tmp_path / "direction.safetensors")),
        *("--extract-pairs", "60", "--repeats", "1", "--threads", "1", "--orders", "2"),
        *("--work", str(tmp_path / "work"), "-o", str(tmp_path / "found.json")),
    ]
    assert first_run.main(arguments) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    aligned, extracted = found["align"]["tiny"], found["extract"]
    assert aligned[BEFORE]["hash"] == aligned[AFTER]["hash"]
    assert aligned["quality"]["change"] == {"auroc": 0.0, "gate_auroc": 0.0, "flagged": 0.0}
    orders = aligned["quality"]["orders"]
    assert orders["count"] == 2
    assert orders["change"] == orders["standard_error"] == {"auroc": 0.0, "gate_auroc": 0.0, "flagged": 0.0}
    assert extracted["alike"]["vectors_cosine"] == pytest.approx(1, abs=1e-6)
    assert extracted["alike"]["anchors_same"] == 1.0
    assert (extracted[BEFORE]["pairs"], extracted[BEFORE]["benign"]) == (60, 120)
    for part in (aligned, extracted):
        assert part["kept"]["peak"] == (part["ratio"]["peak"] <= (0.5 if part is aligned else 0.6))
        assert part[BEFORE]["peak"] > 0
        assert part[BEFORE]["seconds"] > 0
    lines = (tmp_path / "work" / "runs.jsonl").read_text()
    first_run.main(arguments)
    assert (tmp_path / "work" / "runs.jsonl").read_text() == lines
