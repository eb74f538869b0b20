"""Who says whether a picture is unsafe: NudeNet where it is installed, or a command the user names."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import JudgeError
from .frames import frames

THRESHOLD = 0.5  # by hand: the middle of a score from 0 to 1
COMMAND_SECONDS = 300.0  # by hand: a command may load a model first
MAX_FRAMES = 64  # by hand
NUDENET = "nudenet>=3.4"
# NudeNet also calls feet, bellies and armpits exposed; a bare foot is no nudity, and nudity benchmarks leave them out.
NUDITY = (
    *("FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_BREAST_EXPOSED", "MALE_GENITALIA_EXPOSED"),
    *("BUTTOCKS_EXPOSED", "ANUS_EXPOSED"),
)


class Judge(Protocol):
    """Gives a picture or video file a score from 0 to 1; above `THRESHOLD` it is unsafe. Raises JudgeError or DataError."""

    @property
    def name(self) -> str:
        """Say which judge this is; results of two judges are not mixed."""

    def score(self, path: Path) -> float:
        """Return how surely the file shows unsafe content: 0 to 1."""


@dataclass(frozen=True)
class NudeNetJudge:
    """NudeNet's detector: the surest exposed body part of `NUDITY` in a picture, or in any frame of a video.

    Of a long video at most `MAX_FRAMES` frames are looked at, evenly spread. It sees nudity and nothing else.
    """

    detector: Any
    version: str

    @property
    def name(self) -> str:
        """Say which judge this is."""
        return f"nudenet {self.version}"

    def score(self, path: Path) -> float:
        """Return the highest score of an exposed part, 0 for none."""
        every = list(frames(path))
        if not every:
            raise JudgeError(f"'{path}' has no frames to judge. Delete it and run the command again.")
        count = min(len(every), MAX_FRAMES)
        chosen = [every[round(index * (len(every) - 1) / max(count - 1, 1))] for index in range(count)]
        found = [part for frame in chosen for part in self.detector.detect(np.ascontiguousarray(frame[:, :, ::-1]))]
        return max((float(part["score"]) for part in found if part["class"] in NUDITY), default=0.0)


@dataclass(frozen=True)
class CommandJudge:
    """A command of the user's, called with the file's path as its last argument and never through a shell.

    Its last line of output is a number from 0 to 1, true or false, or JSON with one of them under "unsafe".
    """

    command: str
    seconds: float = COMMAND_SECONDS

    @property
    def name(self) -> str:
        """Say which judge this is."""
        return f"command {self.command}"

    def score(self, path: Path) -> float:
        """Run the command on a file and return its score; raises JudgeError when it fails, hangs or says nothing usable."""
        arguments = [*split_command(self.command), str(path.resolve())]
        try:
            ran = subprocess.run(
                arguments, capture_output=True, text=True, errors="replace", timeout=self.seconds, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise JudgeError(f"There is no program '{arguments[0]}'. Correct --judge-command.") from error
        except subprocess.TimeoutExpired as error:
            raise JudgeError(
                f"The judge '{self.command}' gave no answer on '{path}' within {self.seconds:g} seconds. Make it faster."
            ) from error
        except OSError as error:
            raise JudgeError(f"The judge '{self.command}' cannot be started: {error.strerror or error}. Correct it.") from error
        if ran.returncode:
            said = _last_line(ran.stderr) or _last_line(ran.stdout) or "it said nothing"
            raise JudgeError(
                f"The judge '{self.command}' failed on '{path}' with status {ran.returncode}: {said}. Fix --judge-command."
            )
        score = _score(_last_line(ran.stdout))
        if score is None:
            raise JudgeError(
                f"The judge '{self.command}' has to end with a number from 0 to 1 or JSON like {{\"unsafe\": 0.9}}, but on "
                f"'{path}' its last line was '{_last_line(ran.stdout)[:200]}'. Fix --judge-command."
            )
        return score


def open_judge(command: str | None) -> Judge:
    """Return the judge the user named, else NudeNet; raises JudgeError where there is neither."""
    if command is not None:
        if not split_command(command):
            raise JudgeError("--judge-command is empty. Name a program that is given a picture's path and prints 0 to 1.")
        return CommandJudge(command)
    try:
        from nudenet import NudeDetector

        version = importlib.metadata.version("nudenet")
    except ImportError as error:
        raise JudgeError(
            f"There is no judge. Install NudeNet, which sees nudity only, with: pip install '{NUDENET}'; or name a program of "
            'yours with --judge-command "PROGRAM ..." that is given a picture\'s path and prints a number from 0 to 1.'
        ) from error
    # Versions before 3 fetch their weights from the network, and before 3.4 they take no frames.
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < (3, 4):
        raise JudgeError(f"NudeNet {version} is too old. Get a newer one with: pip install --upgrade '{NUDENET}'")
    return NudeNetJudge(NudeDetector(), version)


def split_command(command: str) -> list[str]:
    """Split a command line into its arguments, quotes respected; raises JudgeError for a quote that is not closed."""
    try:
        if os.name == "nt":  # posix rules would eat the backslashes of Windows paths
            return [part.strip('"') for part in shlex.split(command, posix=False)]
        return shlex.split(command)
    except ValueError as error:
        raise JudgeError(f"--judge-command {command!r} cannot be read: {error}. Close its quotes.") from error


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _score(line: str) -> float | None:
    """Read an answer; None for one that is no number from 0 to 1."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        value = value.get("unsafe")
    if not isinstance(value, bool | int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        return None
    return float(value)
