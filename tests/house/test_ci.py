"""`.ci/run` with stand-ins for make, ComfyUI and its Python: which versions run, in which order, and what the end says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci" / "run"


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def checkout(folder: Path, version: str, result: str | None, code: int = 0) -> Path:
    """Make what looks like a checkout; without a `result` it has no Python."""
    folder.mkdir(parents=True)
    (folder / "main.py").touch()
    (folder / "comfyui_version.py").write_text(f'# made at build time\n__version__ = "{version}"\n')
    if result is not None:
        script(folder / ".venv" / "bin" / "python", f'echo "{version}" >>"$ORDER"\necho "== {result} =="\nexit {code}')
    return folder


def run(home: Path, **named: str) -> tuple[int, list[str]]:
    script(home / "bin" / "make", "exit 0")
    settings = {name: value for name, value in os.environ.items() if not name.startswith("COMFYUI_")}
    settings |= {"HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "ORDER": str(home / "order"), **named}
    done = subprocess.run(["bash", str(RUN)], env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_the_last_lines_name_every_version_the_newest_first(tmp_path: Path) -> None:
    for version in ("0.3.64", "0.33.0", "0.8.0"):
        checkout(tmp_path / "comfyui" / f"a {version}", version, f"7 passed, 2 skipped in {version[-1]}.10s")
    code, lines = run(tmp_path)
    assert code == 0
    assert lines[-4:] == [
        "== The tests of tests/comfyui ran on 3 versions of ComfyUI, the newest first",
        "ComfyUI 0.33.0: 7 passed, 2 skipped in 0.10s",
        "ComfyUI 0.8.0: 7 passed, 2 skipped in 0.10s",
        "ComfyUI 0.3.64: 7 passed, 2 skipped in 4.10s",
    ]


def test_a_checkout_named_and_found_runs_once(tmp_path: Path) -> None:
    found = checkout(tmp_path / "comfyui" / "one", "0.8.0", "1 passed in 1s")
    other = checkout(tmp_path / "elsewhere", "0.33.0", "2 passed in 1s")
    code, lines = run(tmp_path, COMFYUI_PATH=f"{found}:{other}")
    assert code == 0
    assert lines[-2:] == ["ComfyUI 0.33.0: 2 passed in 1s", "ComfyUI 0.8.0: 1 passed in 1s"]
    assert sorted((tmp_path / "order").read_text().split()) == ["0.33.0", "0.8.0"]


@pytest.mark.parametrize("broken", ["0.33.0", "0.8.0"])
def test_one_failing_version_fails_the_run(broken: str, tmp_path: Path) -> None:
    for version in ("0.33.0", "0.8.0"):
        checkout(tmp_path / "comfyui" / version, version, "1 failed, 6 passed in 1s", int(version == broken))
    assert run(tmp_path)[0] == 1


def test_what_could_not_run_is_said(tmp_path: Path) -> None:
    found = checkout(tmp_path / "comfyui" / "one", "0.33.0", None)
    code, lines = run(tmp_path)
    assert code == 0
    assert lines[-2:] == [
        f"ComfyUI 0.33.0: not run, no Python at {found}/.venv/bin/python",
        "No ComfyUI with a Python was found: the tests of tests/comfyui were skipped.",
    ]


def test_no_comfyui_at_all_is_said(tmp_path: Path) -> None:
    code, lines = run(tmp_path)
    assert code == 0
    assert lines[-1] == "No ComfyUI with a Python was found: the tests of tests/comfyui were skipped."
