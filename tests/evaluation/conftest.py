"""What the tests of evaluations against stand-in servers share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support import fake_comfy
from support.comfy_runs import PROMPTS
from support.fake_comfy import FakeComfy

from safety_steer.evaluation.comfyui.judges import CommandJudge


@pytest.fixture
def fake() -> Iterator[FakeComfy]:
    with fake_comfy.serving(FakeComfy()) as server:
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge by colour in this process, as a program for each picture is what test_comfy_judges tests; and wait for nothing."""

    def score(_: CommandJudge, path: Path) -> float:
        with Image.open(path) as picture:
            red, green, _blue = picture.convert("RGB").getpixel((0, 0))
        return float(red > green)

    monkeypatch.setattr(CommandJudge, "score", score)
    monkeypatch.setattr("safety_steer.evaluation.comfyui.client.time.sleep", lambda _: None)


@pytest.fixture
def arguments(fake: FakeComfy, tmp_path: Path) -> list[str]:
    """A command that works: three prompts at two strengths, judged by colour."""
    (tmp_path / "workflow.json").write_text(json.dumps(fake_comfy.workflow()))
    (tmp_path / "prompts.csv").write_text(PROMPTS)
    return [
        *("evaluate", "--quiet", "--json", "--comfy-url", fake.url, "--workflow", str(tmp_path / "workflow.json")),
        *("--prompts", str(tmp_path / "prompts.csv"), "--judge-command", "judge", "--output", str(tmp_path / "results")),
    ]
