"""Every bad input of the command line, with tiny models: one line, exit 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import builders, forged, wording
from support.commands import Capture, complaint

from safety_steer.cli import main
from safety_steer.directions.source import SafetyDirection

pytestmark = pytest.mark.usefixtures("taught_briefly")


def test_align_refuses_own_thresholds_without_own_prompts(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "aligned.safetensors")
    arguments = ["align", made["direction"], "--encoder", made["bert"], "--thresholds", "own", "-o", out]
    assert "at least 200" in complaint(arguments, capsys, tmp_path)


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
FEW = "\n".join(wording.sentences(10))


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


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "noise": lambda data: bytes(reversed(data)),
    "pickle": lambda _: b"\x80\x04}q\x00.",
    "list-dtype": lambda _: forged.joined({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    "digits": lambda _: forged.joined(b'{"a": ' + b"9" * 5000 + b"}", b""),
    "nan": lambda _: forged.joined({"__metadata__": {"safety_steer": '{"report": NaN}'}}, b""),
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
    forged.rewritten(path, document=lambda found: found.update(report={"deep": nested}))
    assert main(["inspect", str(path)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
