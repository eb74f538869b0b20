"""The command line with tiny models: what extract, align and inspect give, what is printed where, and being interrupted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from support import builders, forged, wording
from support.commands import Capture, answer

from safety_steer import __version__
from safety_steer.cli import main
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection

pytestmark = pytest.mark.usefixtures("taught_briefly")


def test_extract_reports_the_layer_curve(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "direction.safetensors"
    data = answer(
        ["extract", "--source", made["bert"], "--pairs", made["pairs"], "--anchors", made["anchors"], "-o", str(out)], capsys
    )
    direction = SafetyDirection.load(out)
    assert data["hash"] == direction.content_hash
    assert data["layers"] == list(direction.layers)
    assert data["categories"] == ["global", "blades", "fires"]
    assert [row[0] for row in data["layer_curve"]] == [0, 1, 2, 3]
    assert data["output"] == str(out)


def test_extract_is_reproducible_byte_for_byte(made: dict[str, str], tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    sources = ["--source", made["llama"], "--pairs", made["pairs"], "--anchors", made["anchors"], "--layer", "0,1"]
    assert main(["extract", *sources, "-o", str(again), "--quiet"]) == 0
    assert again.read_bytes() == Path(made["direction"]).read_bytes()


@pytest.mark.parametrize("options", [["--pooling", "last"], ["--estimator", "lda", "--layer", "2"], ["--dtype", "bfloat16"]])
def test_extract_takes_its_options(options: list[str], made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "direction.safetensors")
    data = answer(
        ["extract", "--source", made["llama"], "--pairs", made["pairs"], "--anchors", made["anchors"], "-o", out, *options],
        capsys,
    )
    direction = SafetyDirection.load(out)
    assert direction.content_hash == data["hash"]
    assert ("last" in options) == (direction.pooling == "last")
    assert ("lda" in options) == (direction.estimator == "lda")


@pytest.mark.parametrize("name", ["ridge", "svd", "mlp"])
def test_align_reports_the_map_against_its_control(name: str, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "aligned.safetensors")
    data = answer(["align", made["direction"], "--encoder", made["t5"], "--map", name, "-o", out], capsys)
    aligned = AlignedDirection.load(out)
    assert data["hash"] == aligned.content_hash
    assert data["anchors"] == 200
    assert aligned.settings["map"] == name
    assert data["report"]["cosine"] > data["report"]["shuffled_cosine"]
    assert aligned.encoder == "t5, layer 3"


def test_align_takes_own_anchors_a_layer_and_a_limit(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    own = wording.write_prompts(tmp_path / "own.txt", wording.sentences(150, seed=9))
    out = str(tmp_path / "aligned.safetensors")
    options = ["--anchors", str(own), "--source", made["llama"], "--layer", "1", "--max-anchors", "120"]
    data = answer(["align", made["direction"], "--encoder", made["bert"], "-o", out, *options], capsys)
    assert (data["layer"], data["anchors"]) == (1, 120)
    assert list(AlignedDirection.load(out).probe_prompts) == wording.sentences(150, seed=9)[:8]


@pytest.mark.parametrize(("limit", "said"), [("200", "40/40"), ("100", "32/32")])
def test_align_encodes_long_prompts_too(
    limit: str, said: str, made: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    long = [", ".join(wording.sentences(14, seed=number)) for number in range(40)]
    anchors = wording.write_prompts(tmp_path / "anchors.txt", [*wording.sentences(200), *long])
    direction, out = str(tmp_path / "direction.safetensors"), str(tmp_path / "aligned.safetensors")
    sources = ["--source", made["llama"], "--pairs", made["pairs"], "--anchors", str(anchors), "--layer", "0,1"]
    assert main(["extract", *sources, "-o", direction, "--quiet"]) == 0
    assert main(["align", direction, "--encoder", made["t5"], "-o", out, "--max-anchors", limit]) == 0
    assert re.search(rf"passages: 100%.*\b{said}\b", capsys.readouterr().err)


def test_align_encodes_no_long_prompts_where_own_ones_alone_count(
    made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    long = [", ".join(wording.sentences(14, seed=number)) for number in range(40)]
    anchors = wording.write_prompts(tmp_path / "anchors.txt", [*wording.sentences(200), *long])
    own = wording.write_prompts(tmp_path / "own.txt", wording.sentences(220, seed=9))
    direction, out = str(tmp_path / "direction.safetensors"), str(tmp_path / "aligned.safetensors")
    sources = ["--source", made["llama"], "--pairs", made["pairs"], "--anchors", str(anchors), "--layer", "0,1"]
    assert main(["extract", *sources, "-o", direction, "--quiet"]) == 0
    assert main(["align", direction, "--encoder", made["t5"], "-o", out, "--benign", str(own), "--thresholds", "own"]) == 0
    assert "passages" not in capsys.readouterr().err
    assert AlignedDirection.load(out).spaces["cross_attn"].harm is None


def test_align_takes_what_is_normal_from_own_prompts(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    own = str(wording.write_prompts(tmp_path / "own.txt", wording.sentences(220, seed=9)))
    spaces = {}
    for thresholds in ("all", "own"):
        out = str(tmp_path / f"{thresholds}.safetensors")
        options = ["--benign", own, "--thresholds", thresholds]
        answer(["align", made["direction"], "--encoder", made["bert"], "-o", out, *options], capsys)
        spaces[thresholds] = AlignedDirection.load(out).spaces["cross_attn"]
    assert bool((spaces["all"].vectors == spaces["own"].vectors).all())
    assert not bool((spaces["all"].gate.gate_quantiles == spaces["own"].gate.gate_quantiles).all())
    assert [spaces[name].gate.witness_weights.tolist() for name in ("all", "own")] == [[1.0, 0.25, 0.25], [0.0, 1.0, 1.0]]


def test_inspect_describes_both_kinds(made: dict[str, str], capsys: Capture) -> None:
    source, aligned = (answer(["inspect", made[file]], capsys) for file in ("direction", "aligned"))
    assert source["hash"] == SafetyDirection.load(made["direction"]).content_hash
    assert source["anchors"] == 200
    assert source["kind"].startswith("safety direction")
    assert aligned["hash"] == AlignedDirection.load(made["aligned"]).content_hash
    assert aligned["direction"] == source["hash"]
    assert aligned["spaces"] == {"cross_attn": 48}


def test_people_get_tables_on_stdout_and_progress_on_stderr(
    made: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["inspect", made["direction"]]) == 0
    printed = capsys.readouterr()
    assert "categories" in printed.out
    assert printed.err == ""
    assert main(["score", made["aligned"], "--encoder", made["t5"], "--pairs", made["pairs"]]) == 0
    printed = capsys.readouterr()
    assert "pair accuracy" in printed.out
    assert "encoding pairs" not in printed.out
    assert "encoding pairs: 100%" in printed.err
    assert "48/48" in printed.err
    assert "Traceback" not in printed.err


def test_no_progress_is_drawn_into_a_log(made: dict[str, str], capsys: Capture) -> None:
    assert main(["score", made["aligned"], "--encoder", made["t5"], "--pairs", made["pairs"]]) == 0
    assert "encoding pairs" not in capsys.readouterr().err


def test_the_version_is_printed(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("hostile", ["\x1b[2Jcleared", "\x9b2J", "\u202egnp.exe", "bell\x07", "over\rwritten"])
def test_inspect_prints_no_control_characters_of_a_file(hostile: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "hostile.safetensors"
    builders.small_direction().save(path)
    forged.rewritten(path, document=lambda found: found["source"].update(name=hostile))
    for arguments in (["inspect", str(path)], ["inspect", str(path), "--json"]):
        main(arguments)
        printed = capsys.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in printed.out + printed.err)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_that_no_terminal_can_print_is_no_traceback(options: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "surrogate.safetensors"
    builders.small_direction().save(path)
    forged.rewritten(path, document=lambda found: found["source"].update(name="\ud800"))
    code = main(["inspect", str(path), *options])
    printed = capsys.readouterr()
    assert code in (0, 2)
    (printed.out + printed.err).encode()


def test_an_interrupted_command_says_so(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safety_steer.cli.align.align", interrupt)
    out = tmp_path / "out.safetensors"
    assert main(["align", made["direction"], "--encoder", made["bert"], "-o", str(out), "--quiet"]) == 130
    assert capsys.readouterr().err == "safety-steer: interrupted, nothing written\n"
    assert list(tmp_path.iterdir()) == []


def test_commands_leave_the_random_state_alone(made: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert main(["align", made["direction"], "--encoder", made["bert"], "-o", str(tmp_path / "a.safetensors"), "--quiet"]) == 0
    assert torch.equal(torch.get_rng_state(), before)
