"""Judges: what a command may answer and how it can fail, NudeNet with a stand-in detector, and reading frames."""

from __future__ import annotations

import builtins
import importlib.metadata
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from safety_steer.errors import DataError, JudgeError
from safety_steer.evaluation.comfyui.frames import frames, pixel_digest
from safety_steer.evaluation.comfyui.judges import MAX_FRAMES, CommandJudge, Judge, NudeNetJudge, open_judge

RED, BLUE = (200, 0, 0), (0, 0, 200)


def picture(path: Path, *colours: tuple[int, int, int]) -> Path:
    first, *others = [Image.new("RGB", (4, 4), colour) for colour in colours]
    options: dict[str, Any] = {"save_all": True, "append_images": others, "lossless": True} if others else {}
    first.save(path, **options)
    return path


def python(script: str) -> str:
    return shlex.join([sys.executable, "-c", script])


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("0.25", 0.25),
        ("1", 1.0),
        ("true", 1.0),
        ('looking...\\n{\\"unsafe\\": 0.75, \\"why\\": \\"a knife\\"}\\n\\n', 0.75),
        ('{\\"unsafe\\": false}', 0.0),
    ],
)
def test_a_command_answers_on_its_last_line(answer: str, score: float, tmp_path: Path) -> None:
    assert CommandJudge(python(f'print("{answer}")')).score(tmp_path / "a.png") == score


def test_a_command_gets_the_path_as_one_last_argument_and_no_shell(tmp_path: Path) -> None:
    path = picture(tmp_path / "a $(touch b); picture.png", RED)
    script = "import sys; option, path = sys.argv[1:]; print(float(option == '-v' and open(path, 'rb').read()[1:4] == b'PNG'))"
    assert CommandJudge(python(script) + " -v").score(path) == 1.0
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("print('unsafe')", "its last line was 'unsafe'"),
        ("print(1.5)", "from 0 to 1"),
        ("print('NaN')", "from 0 to 1"),
        ("print('[1]')", "from 0 to 1"),
        ("print('{}')", "from 0 to 1"),
        ("pass", "its last line was ''"),
        ("import sys; sys.exit('no model here')", "with status 1: no model here"),
        ("import sys; sys.exit(3)", "with status 3: it said nothing"),
    ],
)
def test_a_command_that_fails_is_named(script: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(JudgeError) as failed:
        CommandJudge(python(script)).score(tmp_path / "a.png")
    assert word in str(failed.value)
    assert "The judge '" in str(failed.value)


def test_a_command_that_hangs_or_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"no answer on .* within 0\.2 seconds"):
        CommandJudge(python("import time; time.sleep(60)"), seconds=0.2).score(tmp_path / "a.png")
    with pytest.raises(JudgeError, match="There is no program 'absent-judge'"):
        CommandJudge("absent-judge --fast").score(tmp_path / "a.png")
    with pytest.raises(JudgeError, match="cannot be started"):
        CommandJudge(str(tmp_path)).score(tmp_path / "a.png")


@pytest.mark.parametrize(("command", "word"), [("", "is empty"), ("  ", "is empty"), ("'half", "Close its quotes")])
def test_a_command_that_cannot_be_read_is_refused_at_once(command: str, word: str) -> None:
    with pytest.raises(JudgeError, match=word):
        open_judge(command)


class Detector:
    """Stands in for NudeNet: reports what its table says for the colour of a blue-green-red frame."""

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, frame: np.ndarray) -> list[dict[str, Any]]:
        self.seen += 1
        if frame[0, 0, 2] > frame[0, 0, 0]:
            return [{"class": "BUTTOCKS_EXPOSED", "score": 0.8}, {"class": "ANUS_EXPOSED", "score": 0.6}]
        return [{"class": "FEET_EXPOSED", "score": 0.9}, {"class": "FACE_FEMALE", "score": 0.9}]


def test_nudenet_takes_the_surest_part_of_any_frame(tmp_path: Path) -> None:
    judge = NudeNetJudge(Detector(), "3.4.2")
    assert judge.score(picture(tmp_path / "a.png", RED)) == 0.8
    assert judge.score(picture(tmp_path / "b.png", BLUE)) == 0.0
    assert judge.score(picture(tmp_path / "c.webp", BLUE, BLUE, RED)) == 0.8
    assert judge.name == "nudenet 3.4.2"


def test_nudenet_looks_at_frames_from_all_over_a_long_video(tmp_path: Path) -> None:
    detector = Detector()
    colours = [(0, 0, 100 + number % 100) for number in range(MAX_FRAMES + 10)]
    assert NudeNetJudge(detector, "3.4.2").score(picture(tmp_path / "a.webp", *colours, RED)) == 0.8
    assert detector.seen == MAX_FRAMES


def hide(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] == hidden:
            raise ImportError(name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)


def test_without_nudenet_and_command_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "nudenet")
    with pytest.raises(JudgeError, match=r"pip install 'nudenet>=3\.4'.*--judge-command"):
        open_judge(None)


@pytest.mark.parametrize(("version", "usable"), [("3.4.2", True), ("3.10.0", True), ("3.0.8", False), ("2.0.9", False)])
def test_an_old_nudenet_is_refused(version: str, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("nudenet")
    package.NudeDetector = Detector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nudenet", package)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    if usable:
        judge: Judge = open_judge(None)
        assert judge.name == f"nudenet {version}"
    else:
        with pytest.raises(JudgeError, match=f"NudeNet {version} is too old"):
            open_judge(None)


def test_frames_are_red_green_blue_whatever_the_format(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "a.gif", "a.bmp"):
        [frame] = frames(picture(tmp_path / name, RED))
        assert frame.shape == (4, 4, 3)
        assert abs(int(frame[0, 0, 0]) - 200) < 8
        assert frame[0, 0, 2] < 8
    assert len(list(frames(picture(tmp_path / "moving.gif", RED, BLUE)))) == 2


def test_the_digest_sees_pixels_and_nothing_else(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a.png", RED), picture(tmp_path / "b.bmp", RED)
    assert first.read_bytes() != second.read_bytes()
    assert pixel_digest(first) == pixel_digest(second)
    assert pixel_digest(first) != pixel_digest(picture(tmp_path / "c.png", BLUE))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", RED)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.png' is not a readable picture"):
        pixel_digest(path)


@pytest.mark.parametrize(("name", "package", "word"), [("a.mp4", "av", "PyAV"), ("a.png", "PIL", "Pillow")])
def test_a_missing_reader_is_named_and_leaves_pixels_uncompared(
    name: str, package: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"")
    hide(monkeypatch, package)
    with pytest.raises(DataError, match=f"needs {word}"):
        list(frames(tmp_path / name))
    assert pixel_digest(tmp_path / name) is None


def test_a_video_is_read_with_pyav(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width = stream.height = 32
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), (200, 0, 0), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [frame.shape for frame in frames(path)] == [(32, 32, 3)] * 3
    assert pixel_digest(path) == pixel_digest(path) is not None
