"""`.ci/run` with stand-ins for make, ComfyUI and its Python: what runs in which order, what the end says and what fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="`.ci/run` is a script for bash")]
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


def run(home: Path, said: str = "", **named: str) -> tuple[int, list[str]]:
    """Run with a make whose tests say this."""
    script(home / "bin" / "npm", "exit 0")
    installs = '[ "$1" != node_modules/.installed ] || [ -z "${NO_REGISTRY:-}" ] || exit 2'
    script(home / "bin" / "make", f"{installs}\n[ \"$1\" != test ] || echo '{said}'\nexit ${{MAKE_CODE:-0}}")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("COMFYUI_", "REQUIRE_"))}
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


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        ("1", []),
        ("0.33.0,0.8.0", []),
        ("0.33.0 0.3.64", ["0.3.64"]),
        ("0.33 9.9.9", ["0.33", "9.9.9"]),
    ],
)
def test_an_expected_version_that_did_not_run_fails_the_run(expected: str, missing: list[str], tmp_path: Path) -> None:
    for version in ("0.33.0", "0.8.0"):
        checkout(tmp_path / "comfyui" / version, version, "7 passed in 1s")
    checkout(tmp_path / "comfyui" / "0.3.64", "0.3.64", None)
    code, lines = run(tmp_path, REQUIRE_COMFYUI=expected)
    said = [line for line in lines if line.startswith("Expected")]
    assert said == [f"Expected, but not run: the tests of tests/comfyui on ComfyUI {version}." for version in missing]
    assert code == bool(missing)


def test_no_comfyui_fails_the_run_where_one_is_expected(tmp_path: Path) -> None:
    assert run(tmp_path, REQUIRE_COMFYUI="0")[0] == 0
    code, lines = run(tmp_path, REQUIRE_COMFYUI="1")
    assert code == 1
    assert lines[-1] == "Expected, but not run: the tests of tests/comfyui on any version of ComfyUI."


def test_a_version_that_only_skips_has_not_run(tmp_path: Path) -> None:
    checkout(tmp_path / "comfyui" / "one", "0.33.0", "9 skipped in 1s")
    assert run(tmp_path)[0] == 0
    assert run(tmp_path, REQUIRE_COMFYUI="1")[0] == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [("Tests in a browser: 12 ran", 0), ("Tests in a browser: none ran", 1), ("10 passed in 1s", 1)],
)
def test_the_end_says_whether_tests_ran_in_a_browser(said: str, code: int, tmp_path: Path) -> None:
    shown = said if said.startswith("Tests in") else "Tests in a browser: no result"
    done, lines = run(tmp_path, said)
    assert done == 0
    assert f"== {shown}" in lines
    done, lines = run(tmp_path, said, REQUIRE_BROWSER="1")
    assert done == code
    assert ("Expected, but not run: the tests in a browser." in lines) == bool(code)


def test_javascript_is_checked_where_npm_can_install_and_said_where_not(tmp_path: Path) -> None:
    code, lines = run(tmp_path)
    assert code == 0
    assert "== JavaScript: checked by tsc and eslint" in lines
    code, lines = run(tmp_path, NO_REGISTRY="1")
    assert code == 0
    assert "== JavaScript: not checked by tsc and eslint, npm could not install them" in lines


def test_a_failing_step_of_make_fails_the_run(tmp_path: Path) -> None:
    assert run(tmp_path, MAKE_CODE="2")[0] == 2


def pytest_says(*arguments: str, **named: str) -> tuple[int, str]:
    """Run this repository's pytest without a ComfyUI and a browser."""
    unset = ("COMFYUI_", "REQUIRE_", "SAFETY_STEER_", "CHROMIUM")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(unset)} | named
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=RUN.parents[1], env=settings, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def test_pytest_refuses_to_leave_out_a_comfyui_that_is_required() -> None:
    code, said = pytest_says("--collect-only", "tests/comfyui", REQUIRE_COMFYUI="1")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "REQUIRE_COMFYUI is set, but COMFYUI_PATH names no checkout of ComfyUI" in said


def test_tests_in_a_browser_are_skipped_unless_one_is_required() -> None:
    code, said = pytest_says("tests/browser/test_pack.py")
    assert code == pytest.ExitCode.OK
    assert "Tests in a browser: none ran" in said
    code, said = pytest_says("tests/browser/test_pack.py", REQUIRE_BROWSER="1")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "REQUIRE_BROWSER is set, but this is missing: SAFETY_STEER_COMFY_URL, SAFETY_STEER_PLAYWRIGHT" in said
    assert "skipped" not in said
