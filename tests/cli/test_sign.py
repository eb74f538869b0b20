"""`safety-steer sign` and `verify`: from a new key to a verdict, and one line for everything that cannot be."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support import builders, wording
from support.commands import Capture, answer, complaint

from safety_steer import __version__
from safety_steer.cli import main
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.storage import container
from safety_steer.storage.prompt_files import pairs_hash, prompts_hash, read_pairs


@pytest.fixture
def made(tmp_path: Path, capsys: Capture) -> dict[str, str]:
    """A key pair, a direction that says its pairs, one that does not, and an aligned one."""
    names = {name: str(tmp_path / f"{name}.safetensors") for name in ("direction", "older", "aligned")}
    names["pairs"] = str(wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs()))
    older = builders.small_direction()
    older.save(names["older"])
    told = {"version": __version__, "pairs": pairs_hash(read_pairs(names["pairs"]))}
    replace(older, report={**older.report, "made": told}).save(names["direction"])
    builders.small_aligned().save(names["aligned"])
    key = answer(["sign", "--new-key", str(tmp_path / "mine"), "--by", "Ada Example"], capsys)
    return names | {"key": key["secret"], "pub": key["public"], "digits": key["key"]}


def verdict(arguments: list[str], capsys: Capture, code: int = 0) -> str:
    """Run `verify`, and return its table."""
    capsys.readouterr()
    assert main(["verify", *arguments]) == code
    return capsys.readouterr().out


def test_from_a_new_key_to_a_verdict(made: dict[str, str], capsys: Capture) -> None:
    data = answer(["sign", made["direction"], "--key", made["key"]], capsys)
    direction = SafetyDirection.load(made["direction"])
    assert data["content"] == direction.content_hash
    found = answer(["verify", made["direction"], "--key", made["pub"]], capsys)
    assert found["state"] == "trusted"
    assert found["key"] == made["digits"]
    assert found["signature"].startswith("signed by Ada Example")
    assert (found["version"], found["model"]) == (__version__, "tiny, layers 2")
    assert found["pairs"] == pairs_hash(read_pairs(made["pairs"]))
    assert found["harmless prompts"] == prompts_hash(direction.anchors)


def test_trust_comes_from_a_folder_too_and_from_nowhere_else(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    assert main(["sign", made["aligned"], "--key", made["key"]]) == 0
    assert "a key you have not marked as trusted" in verdict([made["aligned"]], capsys, 1)
    folder = tmp_path / "trusted"
    folder.mkdir()
    assert "not marked as trusted" in verdict([made["aligned"], "--trusted", str(folder)], capsys, 1)
    os.replace(made["pub"], folder / "ada.pub")
    assert "which you trust" in verdict([made["aligned"], "--trusted", str(folder)], capsys)
    assert AlignedDirection.load(made["aligned"]).content_hash == builders.small_aligned().content_hash


def test_an_unsigned_and_a_changed_file_are_told_and_fail(made: dict[str, str], capsys: Capture) -> None:
    assert "not signed" in verdict([made["direction"], "--key", made["pub"]], capsys, 1)
    assert main(["sign", made["direction"], "--key", made["key"]]) == 0
    contents = container.read_contents(made["direction"])
    tensors = {**contents.tensors, "mean": contents.tensors["mean"] + 1}
    container.write(made["direction"], contents.document, tensors, contents.beside)
    assert "BROKEN SIGNATURE" in verdict([made["direction"], "--key", made["pub"]], capsys, 1)


def test_the_signed_file_can_go_elsewhere(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    before = Path(made["direction"]).read_bytes()
    out = str(tmp_path / "signed.safetensors")
    assert answer(["sign", made["direction"], "--key", made["key"], "-o", out], capsys)["output"] == out
    assert Path(made["direction"]).read_bytes() == before
    assert SafetyDirection.load(out).content_hash == SafetyDirection.load(made["direction"]).content_hash


def test_pairs_are_checked_and_told_for_a_file_that_does_not_say_them(
    made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    others = str(wording.write_pairs(tmp_path / "others.jsonl", wording.stand_in_pairs()[:-1]))
    assert "the file does not say" in verdict([made["older"], "--pairs", made["pairs"]], capsys, 1)
    for name in ("direction", "older"):
        assert main(["sign", made[name], "--key", made["key"], "--pairs", made["pairs"]]) == 0
        trusted = [made[name], "--key", made["pub"]]
        assert answer(["verify", *trusted, "--pairs", made["pairs"]], capsys)["made from these pairs"] == "yes"
        assert "made from these pairs  no" in verdict([*trusted, "--pairs", others], capsys, 1)
    wrong = ["sign", made["direction"], "--key", made["key"], "--pairs", others]
    assert "are not the pairs" in complaint(wrong, capsys, tmp_path)
    assert "are not the pairs" in complaint(["sign", made["aligned"], *wrong[2:]], capsys, tmp_path)


def test_an_interrupted_signing_keeps_the_file_that_was_there(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    before = Path(made["direction"]).read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    assert "no space left" in complaint(["sign", made["direction"], "--key", made["key"]], capsys, tmp_path)
    assert Path(made["direction"]).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sign"], "Expected `sign FILE --key"),
        (["sign", "{direction}"], "Expected `sign FILE --key"),
        (["sign", "{direction}", "--key", "{key}", "--by", "Ada"], "Expected `sign FILE --key"),
        (["sign", "--new-key", "{folder}/other"], "--by WHO"),
        (["sign", "{direction}", "--new-key", "{folder}/other", "--by", "Ada"], "nothing else"),
        (["sign", "--new-key", "{folder}/mine", "--by", "Ada"], "never overwritten"),
        (["sign", "--new-key", "{folder}/absent/mine", "--by", "Ada"], "does not exist"),
        (["sign", "{direction}", "--key", "{pub}"], "is no safety steer secret key"),
        (["sign", "{direction}", "--key", "{folder}/absent.key"], "There is no file"),
        (["sign", "{pairs}", "--key", "{key}"], ".safetensors"),
        (["sign", "{folder}/absent.safetensors", "--key", "{key}"], "There is no file"),
        (["verify", "{direction}", "--key", "{key}"], "is no safety steer public key"),
        (["verify", "{folder}/absent.safetensors"], "There is no file"),
    ],
)
def test_every_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    words = [word.format(folder=tmp_path, **made) for word in arguments]
    said = complaint(words, capsys, tmp_path)
    assert message in said
    assert Path(made["key"]).read_text().split()[2] not in said


def test_a_folder_of_keys_with_something_else_in_it_is_refused(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "odd.pub").write_text("ssh-ed25519 AAAA")
    assert "'odd.pub' is no" in complaint(["verify", made["direction"], "--trusted", str(tmp_path)], capsys, tmp_path)
