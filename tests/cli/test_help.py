"""The list of commands: at once, without the libraries that commands work with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Capture

from safety_steer.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
OWN = {"safety_steer", "safety_steer.cli", "safety_steer.cli.console", "safety_steer.errors", "safety_steer.version"}
LISTED = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
from safety_steer.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_help_imports_the_commands_names_and_the_standard_library_alone() -> None:
    command = [sys.executable, "-c", LISTED, str(ROOT)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(json.loads(answer.stdout))
    assert {name for name in imported if name.split(".")[0] == "safety_steer"} == OWN
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == OWN


def test_help_names_every_command_and_what_it_does(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, meaning in COMMANDS.items():
        assert name in shown
        assert " ".join(meaning.split()[:8]) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_own_help(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"safety-steer {name}" in shown
    assert "--json" in shown


def test_every_command_is_a_module_of_its_own() -> None:
    modules = {path.stem for path in (ROOT / "safety_steer" / "cli").glob("*.py")} - {"__init__", "console"}
    assert {name.replace("-", "_") for name in COMMANDS} == modules
