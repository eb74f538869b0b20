"""`safety-steer refuse` on a tiny model: what is trained and counted, and every bad input as one line with nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import refusals, wording
from support.commands import Capture, answer, complaint

from safety_steer.cli import main
from safety_steer.refusal import training
from safety_steer.refusal.head import RefusalHead


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of everything that `refuse train` reads, and of the file it wrote."""
    folder = tmp_path_factory.mktemp("refuse")
    paths = {
        "writer": refusals.save_writer(folder / "writer"),
        "other": refusals.save_writer(folder / "other", seed=1),
        "wide": refusals.save_writer(folder / "wide", width=64),
        "requests": wording.write_pairs(folder / "requests.jsonl", refusals.pairs()),
        "one_sided": wording.write_prompts(folder / "one.jsonl", ['{"safe": "the old map", "unsafe": " ", "category": "x"}']),
        "few": wording.write_pairs(folder / "few.jsonl", refusals.pairs(31)),
        "harmless": wording.write_prompts(folder / "harmless.txt", wording.sentences(12)),
        "unsafe_too": wording.write_prompts(folder / "too.txt", [refusals.pairs()[3].unsafe]),
        "file": folder / "refusal.safetensors",
    }
    named = {name: str(path) for name, path in paths.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 100)
        patch.setattr(training, "LEARNING_RATE", 1e-2)
        asked = [named["writer"], "--requests", named["requests"], "--harmless", named["harmless"]]
        assert main(["refuse", "train", *asked, "-o", named["file"], "--refusal", refusals.REFUSAL, "--quiet"]) == 0
    return named


def test_train_tells_what_is_in_the_file(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    asked = [
        "refuse",
        "train",
        made["writer"],
        "--requests",
        made["requests"],
        made["few"],
        "-o",
        str(tmp_path / "x.safetensors"),
    ]
    found = answer([*asked, "--system", "the old map", "--strength", "0.2"], capsys)
    head = RefusalHead.load(tmp_path / "x.safetensors")
    assert (head.system, head.strength, head.layer, head.threshold) == (
        "the old map", found["strength"], found["layer"], found["threshold"],
    )  # fmt: skip
    assert found["strength"] == 0.2
    assert [layer for layer, _ in found["layer_curve"]] == [1, 2]
    assert main([*asked, "--quiet"]) == 0
    assert "158" not in capsys.readouterr().out


def test_evaluate_counts_with_and_without(made: dict[str, str], capsys: Capture) -> None:
    asked = ["refuse", "evaluate", made["writer"], made["file"], "--requests", made["requests"], "--tokens", "5"]
    found = answer([*asked, "--strength", "0.1", "0"], capsys)
    assert list(found["results"]) == ["unsafe 0", "unsafe 0.1", "harmless 0", "harmless 0.1"]
    for row in found["results"].values():
        assert row["requests"] == 48
        assert row["complied"] + row["refused"] + row["broken"] == pytest.approx(1, abs=1e-3)
        assert row["closed_gate_same"] == [48 - row["flagged"]] * 2
    assert found["results"]["unsafe 0.1"]["flagged"] > found["results"]["harmless 0.1"]["flagged"]
    open_all = answer([*asked, "--threshold", "0", "--harmless", made["harmless"]], capsys)
    assert open_all["results"]["harmless 0.1"]["flagged"] == open_all["results"]["harmless 0.1"]["requests"] == 60


BAD = [
    (["train", "writer", "--requests", "one_sided", "-o", "{new}"], "row 1 has no 'unsafe'"),
    (["evaluate", "writer", "file", "--requests", "one_sided"], "row 1 has no 'unsafe'"),
    (["train", "writer", "--requests", "few", "-o", "{new}"], "needs 32 pairs of requests or more, but got 31"),
    (["train", "writer", "--requests", "requests", "-o", "{new}", "--strength", "0"], "cannot be trained for strength 0"),
    (["train", "writer", "--requests", "requests", "-o", "{new}", "--strength", "nan"], "Expected a strength from 0 to 10"),
    (["train", "writer", "--requests", "requests", "-o", "{new}", "--refusal", ""], "sentence to refuse with is empty"),
    (["train", "writer", "--requests", "requests", "-o", "{new}.txt"], "end in .safetensors"),
    (["train", "absent", "--requests", "requests", "-o", "{new}"], "There is no model at"),
    (
        ["train", "writer", "--requests", "requests", "--harmless", "unsafe_too", "-o", "{new}"],
        "unsafe in one file and harmless",
    ),
    (["evaluate", "other", "file", "--requests", "requests"], "has other embeddings"),
    (["evaluate", "wide", "file", "--requests", "requests"], "but got a model with 3 blocks of width 64"),
    (["evaluate", "writer", "requests", "--requests", "requests"], ".safetensors files, but got"),
    (["evaluate", "writer", "file", "--requests", "requests", "--threshold", "1.5"], "Expected a threshold from 0 to 1"),
    (["evaluate", "writer", "file", "--requests", "requests", "--strength", "0.1", "-1"], "Expected a strength from 0 to 10"),
    (["evaluate", "writer", "file", "--requests", "requests", "--tokens", "0"], "at least 1 token of answer"),
]


@pytest.mark.parametrize(("words", "says"), BAD)
def test_bad_input_is_one_line(words: list[str], says: str, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    new = str(tmp_path / "new.safetensors")
    asked = [word.format(new=new) if "{" in word else made.get(word, word) for word in words]
    assert says in complaint(["refuse", *asked], capsys, tmp_path)
