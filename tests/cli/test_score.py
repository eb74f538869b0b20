"""Score by the command line: which layer it reads, what it measures, and which models and directions it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import tiny_models
from support.commands import Capture, answer, complaint

from safety_steer.cli import main
from safety_steer.directions.aligned import AlignedDirection

pytestmark = pytest.mark.usefixtures("taught_briefly")


def without_layer(made: dict[str, str], encoder: str) -> AlignedDirection:
    """An aligned direction whose settings do not say its layer, as in files of ComfyUI and in old ones."""
    aligned = AlignedDirection.load(made["aligned"])
    return replace(
        aligned, encoder=encoder, settings={name: aligned.settings[name] for name in aligned.settings if name != "layer"}
    )


def test_score_reads_the_layer_that_align_has_written(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out, renamed = str(tmp_path / "first.safetensors"), str(tmp_path / "renamed.safetensors")
    assert main(["align", made["direction"], "--encoder", made["bert"], "--layer", "1", "-o", out, "--quiet"]) == 0
    aligned = AlignedDirection.load(out)
    assert aligned.settings["layer"] == 1
    replace(aligned, encoder="an encoder, layer 2").save(renamed)
    scores = [answer(["score", file, "--encoder", made["bert"], "--pairs", made["pairs"]], capsys) for file in (out, renamed)]
    assert scores[0] == scores[1]


def test_score_reads_the_layer_of_an_old_file_from_its_name(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    old = str(tmp_path / "old.safetensors")
    without_layer(made, encoder="t5, layer 3").save(old)
    new, same = (
        answer(["score", file, "--encoder", made["t5"], "--pairs", made["pairs"]], capsys) for file in (made["aligned"], old)
    )
    assert new == same


@pytest.mark.parametrize(("file", "model"), [("direction", "llama"), ("aligned", "t5")])
def test_score_measures_separation_and_the_gate(file: str, model: str, made: dict[str, str], capsys: Capture) -> None:
    data = answer(["score", made[file], "--encoder", made[model], "--pairs", made["pairs"]], capsys)
    assert set(data["gate"]) == {"auroc", "tpr", "fpr", "threshold"}
    assert set(data["per_category"]) == {"blades", "fires"}
    assert data["auroc"] > 0.8
    assert data["pair_accuracy"] > 0.7
    assert 0 <= data["gate"]["fpr"] <= data["gate"]["tpr"] <= 1
    assert data["pairs"] == 24


@pytest.mark.parametrize("layer", [3.5, -1, True, 99, None])
def test_score_refuses_a_layer_that_is_none(layer: object, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    aligned = AlignedDirection.load(made["aligned"])
    replace(aligned, settings={**aligned.settings, "layer": layer}).save(tmp_path / "odd.safetensors")
    error = complaint(["score", str(tmp_path / "odd.safetensors"), "--encoder", made["t5"], "--pairs", made["pairs"]], capsys)
    assert "layer" in error or "aligned inside ComfyUI" in error


def test_wrong_kinds_of_direction_are_refused(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "out.safetensors")
    error = complaint(["align", made["aligned"], "--encoder", made["bert"], "-o", out], capsys, tmp_path)
    assert "choose the source direction" in error
    without_layer(made, encoder="sdxl").save(tmp_path / "comfy.safetensors")
    error = complaint(
        ["score", str(tmp_path / "comfy.safetensors"), "--encoder", made["bert"], "--pairs", made["pairs"]], capsys
    )
    assert "aligned inside ComfyUI" in error


@pytest.mark.parametrize(
    ("file", "model"), [("direction", "bert"), ("direction", "clip"), ("aligned", "llama"), ("aligned", "bert")]
)
def test_score_refuses_another_model(file: str, model: str, made: dict[str, str], capsys: Capture) -> None:
    error = complaint(["score", made[file], "--encoder", made[model], "--pairs", made["pairs"]], capsys)
    assert "gives different states for the" in error


def test_score_refuses_a_model_of_another_size(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    for kind, file in (("llama", "direction"), ("t5", "aligned")):
        other = tiny_models.save_model(kind, tmp_path / kind, width=32)
        assert "width 32" in complaint(["score", made[file], "--encoder", str(other), "--pairs", made["pairs"]], capsys)
