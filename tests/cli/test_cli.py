"""The command line with tiny models: every command's result, and every bad input as one line, exit 2, nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import builders
from support.brief import briefly_taught
from support.commands import Capture, answer, complaint

from safety_steer import __version__
from safety_steer.cli import main
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection


@pytest.fixture(autouse=True)
def _taught_briefly() -> Iterator[None]:
    """Teach briefly in every test; what `made` holds is made before, in full."""
    with briefly_taught():
        yield


@pytest.fixture(scope="module")
def made(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of everything a run of extract and align reads and writes."""
    folder = tmp_path_factory.mktemp("cli")
    paths = {kind: str(models[kind]) for kind in models}
    paths["pairs"] = str(builders.write_pairs(folder / "pairs.jsonl", builders.stand_in_pairs()))
    paths["anchors"] = str(builders.write_prompts(folder / "anchors.txt", builders.sentences(200)))
    paths["direction"], paths["aligned"] = str(folder / "direction.safetensors"), str(folder / "aligned.safetensors")
    sources = ["--source", paths["llama"], "--pairs", paths["pairs"], "--anchors", paths["anchors"], "--layer", "0,1"]
    assert main(["extract", *sources, "-o", paths["direction"], "--quiet"]) == 0
    assert main(["align", paths["direction"], "--encoder", paths["t5"], "-o", paths["aligned"], "--quiet"]) == 0
    return paths


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
    own = builders.write_prompts(tmp_path / "own.txt", builders.sentences(150, seed=9))
    out = str(tmp_path / "aligned.safetensors")
    options = ["--anchors", str(own), "--source", made["llama"], "--layer", "1", "--max-anchors", "120"]
    data = answer(["align", made["direction"], "--encoder", made["bert"], "-o", out, *options], capsys)
    assert (data["layer"], data["anchors"]) == (1, 120)
    assert list(AlignedDirection.load(out).probe_prompts) == builders.sentences(150, seed=9)[:8]


@pytest.mark.parametrize(("limit", "said"), [("200", "40/40"), ("100", "32/32")])
def test_align_encodes_long_prompts_too(
    limit: str, said: str, made: dict[str, str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    long = [", ".join(builders.sentences(14, seed=number)) for number in range(40)]
    anchors = builders.write_prompts(tmp_path / "anchors.txt", [*builders.sentences(200), *long])
    direction, out = str(tmp_path / "direction.safetensors"), str(tmp_path / "aligned.safetensors")
    sources = ["--source", made["llama"], "--pairs", made["pairs"], "--anchors", str(anchors), "--layer", "0,1"]
    assert main(["extract", *sources, "-o", direction, "--quiet"]) == 0
    assert main(["align", direction, "--encoder", made["t5"], "-o", out, "--max-anchors", limit]) == 0
    assert re.search(rf"passages: 100%.*\b{said}\b", capsys.readouterr().err)


def test_align_encodes_no_long_prompts_where_own_ones_alone_count(
    made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    long = [", ".join(builders.sentences(14, seed=number)) for number in range(40)]
    anchors = builders.write_prompts(tmp_path / "anchors.txt", [*builders.sentences(200), *long])
    own = builders.write_prompts(tmp_path / "own.txt", builders.sentences(220, seed=9))
    direction, out = str(tmp_path / "direction.safetensors"), str(tmp_path / "aligned.safetensors")
    sources = ["--source", made["llama"], "--pairs", made["pairs"], "--anchors", str(anchors), "--layer", "0,1"]
    assert main(["extract", *sources, "-o", direction, "--quiet"]) == 0
    assert main(["align", direction, "--encoder", made["t5"], "-o", out, "--benign", str(own), "--thresholds", "own"]) == 0
    assert "passages" not in capsys.readouterr().err
    assert AlignedDirection.load(out).spaces["cross_attn"].harm is None


def test_align_takes_what_is_normal_from_own_prompts(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    own = str(builders.write_prompts(tmp_path / "own.txt", builders.sentences(220, seed=9)))
    spaces = {}
    for thresholds in ("all", "own"):
        out = str(tmp_path / f"{thresholds}.safetensors")
        options = ["--benign", own, "--thresholds", thresholds]
        answer(["align", made["direction"], "--encoder", made["bert"], "-o", out, *options], capsys)
        spaces[thresholds] = AlignedDirection.load(out).spaces["cross_attn"]
    assert bool((spaces["all"].vectors == spaces["own"].vectors).all())
    assert not bool((spaces["all"].gate.gate_quantiles == spaces["own"].gate.gate_quantiles).all())
    assert [spaces[name].gate.witness_weights.tolist() for name in ("all", "own")] == [[1.0, 0.25, 0.25], [0.0, 1.0, 1.0]]


def test_align_refuses_own_thresholds_without_own_prompts(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "aligned.safetensors")
    arguments = ["align", made["direction"], "--encoder", made["bert"], "--thresholds", "own", "-o", out]
    assert "at least 200" in complaint(arguments, capsys, tmp_path)


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


@pytest.mark.parametrize("layer", [3.5, -1, True, 99, None])
def test_score_refuses_a_layer_that_is_none(layer: object, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    aligned = AlignedDirection.load(made["aligned"])
    replace(aligned, settings={**aligned.settings, "layer": layer}).save(tmp_path / "odd.safetensors")
    error = complaint(["score", str(tmp_path / "odd.safetensors"), "--encoder", made["t5"], "--pairs", made["pairs"]], capsys)
    assert "layer" in error or "aligned inside ComfyUI" in error


@pytest.mark.parametrize(("file", "model"), [("direction", "llama"), ("aligned", "t5")])
def test_score_measures_separation_and_the_gate(file: str, model: str, made: dict[str, str], capsys: Capture) -> None:
    data = answer(["score", made[file], "--encoder", made[model], "--pairs", made["pairs"]], capsys)
    assert set(data["gate"]) == {"auroc", "tpr", "fpr", "threshold"}
    assert set(data["per_category"]) == {"blades", "fires"}
    assert data["auroc"] > 0.8
    assert data["pair_accuracy"] > 0.7
    assert 0 <= data["gate"]["fpr"] <= data["gate"]["tpr"] <= 1
    assert data["pairs"] == 24


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


@pytest.mark.parametrize("arguments", [[], ["steer"], ["inspect"], ["align", "x", "-o", "y"], ["extract", "--layer"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def text(name: str, content: str) -> Callable[[Path], str]:
    """A maker of a text file in a folder."""

    def make(folder: Path) -> str:
        (folder / name).write_text(content)
        return str(folder / name)

    return make


def missing(name: str) -> Callable[[Path], str]:
    """A maker of a path at which there is nothing."""
    return lambda folder: str(folder / name)


ONE_SIDED = '{"safe": "an umbrella", "unsafe": "", "category": "blades"}'
FEW = "\n".join(builders.sentences(10))


@pytest.mark.parametrize(
    ("option", "make", "word"),
    [
        ("--pairs", missing("absent.jsonl"), "There is no file"),
        ("--pairs", text("one.jsonl", ONE_SIDED), "row 1 has no 'unsafe'"),
        ("--pairs", text("empty.jsonl", ""), "holds no pairs"),
        ("--pairs", text("noise.jsonl", "umbrella"), "is not JSON"),
        ("--pairs", text("digits.jsonl", '{"safe": ' + "9" * 5000 + "}"), "digits.jsonl"),
        ("--anchors", missing("absent.txt"), "There is no file"),
        ("--anchors", text("empty.txt", "\n\n"), "holds no prompts"),
        ("--anchors", text("few.txt", FEW), "benign anchors, but got 10"),
        ("--source", missing("absent"), "There is no model"),
        ("--source", text("model.gguf", "GGUF"), "Cannot load a text model"),
        ("--layer", lambda _: "9", "Expected layer"),
        ("--layer", lambda _: "best", "Expected layer"),
        ("--dtype", lambda _: "int8", "Expected dtype"),
        ("--device", lambda _: "nonsense", "nonsense"),
        ("-o", missing("direction.pt"), ".safetensors"),
        ("-o", missing("absent/direction.safetensors"), "does not exist"),
    ],
)
def test_extract_refuses(
    option: str, make: Callable[[Path], str], word: str, made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    options = {"--source": made["llama"], "--pairs": made["pairs"], "--anchors": made["anchors"], "--layer": "1"}
    options["-o"] = str(tmp_path / "out.safetensors")
    options[option] = make(tmp_path)
    flat = [item for pair in options.items() for item in pair]
    assert word in complaint(["extract", *flat], capsys, tmp_path)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"--encoder": "absent"}, "There is no model"),
        ({"--layer": "4"}, "Expected layer"),
        ({"--layer": "-1"}, "Expected layer"),
        ({"--max-anchors": "63"}, "at least 64"),
        ({"--max-anchors": "-5"}, "at least 64"),
        ({"--anchors": "{few}"}, "both or neither"),
        ({"--source": "{llama}"}, "both or neither"),
        ({"--anchors": "{few}", "--source": "{llama}"}, "at least 64 benign prompts, but got 10"),
        ({"--anchors": "{empty}", "--source": "{llama}"}, "holds no prompts"),
        ({"--anchors": "{anchors}", "--source": "{clip}"}, "not the model this direction was made with"),
        ({"-o": "{folder}/absent/out.safetensors"}, "does not exist"),
        ({"-o": "{folder}/out.bin"}, ".safetensors"),
        ({"-o": "{folder}/taken.safetensors"}, "taken.safetensors"),
        ({"--device": "cuda:99"}, "cuda"),
    ],
)
def test_align_refuses(options: dict[str, str], word: str, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    few, empty = text("few.txt", FEW)(tmp_path), text("empty.txt", "")(tmp_path)
    (tmp_path / "taken.safetensors").mkdir()
    places = {**made, "few": few, "empty": empty, "folder": str(tmp_path)}
    chosen = {"--encoder": made["bert"], "-o": str(tmp_path / "out.safetensors"), **options}
    flat = [
        f"{name}={value.format(**places)}" if name != "-o" else f"-o{value.format(**places)}" for name, value in chosen.items()
    ]
    assert word in complaint(["align", made["direction"], *flat], capsys, tmp_path)


def test_align_refuses_anchors_whose_activations_belong_to_other_prompts(
    made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    direction = SafetyDirection.load(made["direction"])
    mixed_up = (*direction.anchors[37:], *direction.anchors[:37])
    replace(direction, anchors=mixed_up).save(tmp_path / "mixed.safetensors")
    out = str(tmp_path / "out.safetensors")
    error = complaint(["align", str(tmp_path / "mixed.safetensors"), "--encoder", made["bert"], "-o", out], capsys, tmp_path)
    assert "no better than chance" in error


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
        other = builders.save_model(kind, tmp_path / kind, width=32)
        assert "width 32" in complaint(["score", made[file], "--encoder", str(other), "--pairs", made["pairs"]], capsys)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "noise": lambda data: bytes(reversed(data)),
    "pickle": lambda _: b"\x80\x04}q\x00.",
    "list-dtype": lambda _: builders.joined({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    "digits": lambda _: builders.joined(b'{"a": ' + b"9" * 5000 + b"}", b""),
    "nan": lambda _: builders.joined({"__metadata__": {"safety_steer": '{"report": NaN}'}}, b""),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("file", ["direction", "aligned"])
def test_every_command_refuses_a_damaged_file(
    damage: str, file: str, made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(DAMAGES[damage](Path(made[file]).read_bytes()))
    complaint(["inspect", str(bad)], capsys, tmp_path)
    complaint(["align", str(bad), "--encoder", made["bert"], "-o", str(tmp_path / "out.safetensors")], capsys, tmp_path)
    complaint(["score", str(bad), "--encoder", made["bert"], "--pairs", made["pairs"]], capsys, tmp_path)


@pytest.mark.parametrize(
    "name", ["absent.safetensors", "direction.pt", "..", ".", "", "x" * 300 + ".safetensors", "a\0b.safetensors"]
)
def test_every_command_refuses_a_path_that_is_no_direction(
    name: str, made: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    path = str(tmp_path / name) if name else ""
    complaint(["inspect", path], capsys, tmp_path)
    complaint(["align", path, "--encoder", made["bert"], "-o", str(tmp_path / "out.safetensors")], capsys, tmp_path)


@pytest.mark.parametrize("depth", [50, 200, 400, 700, 900])
def test_a_deep_report_is_shown_or_refused(depth: int, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "deep.safetensors"
    builders.small_direction().save(path)
    nested: Any = []
    for _ in range(depth):
        nested = [nested]
    builders.rewritten(path, document=lambda found: found.update(report={"deep": nested}))
    assert main(["inspect", str(path)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("hostile", ["\x1b[2Jcleared", "\x9b2J", "\u202egnp.exe", "bell\x07", "over\rwritten"])
def test_inspect_prints_no_control_characters_of_a_file(hostile: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "hostile.safetensors"
    builders.small_direction().save(path)
    builders.rewritten(path, document=lambda found: found["source"].update(name=hostile))
    for arguments in (["inspect", str(path)], ["inspect", str(path), "--json"]):
        main(arguments)
        printed = capsys.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in printed.out + printed.err)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_that_no_terminal_can_print_is_no_traceback(options: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "surrogate.safetensors"
    builders.small_direction().save(path)
    builders.rewritten(path, document=lambda found: found["source"].update(name="\ud800"))
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
