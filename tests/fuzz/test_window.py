"""The scripts of the window's commands on workflows of strangers, in node: past faults, and some inputs of the fuzzer.

The long run is `python -m tools.fuzz.window.run`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import hostile
from support.browser.harness import NEEDS_NODE, NODE
from support.browser.twins import new_nodes

from tools.fuzz.odd_workflows import odd_workflows
from tools.fuzz.window import run, twins

pytestmark = [NEEDS_NODE]
CORPUS = Path(__file__).parents[1] / "corpus" / "workflow"
INPUTS, SAMPLE = 500, 200
SECONDS = 60.0  # for all of them; the faults took for ever


def replayed(texts: dict[str, bytes], where: Path) -> dict[str, dict[str, Any]]:
    """Return what the window's commands make of workflows, by name."""
    (where / "before").mkdir()
    (where / "new_nodes.json").write_text(new_nodes())
    for name, text in texts.items():
        (where / "before" / name).write_bytes(text)
    command = [str(NODE), str(run.SCRIPT.with_name("replay.mjs")), str(where / "new_nodes.json"), str(where / "before")]
    ran = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=SECONDS)
    found = [json.loads(line) for line in ran.stdout.split("\n") if line]
    return {one["name"]: one for one in found}


def test_past_faults_are_refused_or_read_and_judged_as_by_the_command_line(tmp_path: Path) -> None:
    texts = {path.name: data[1:] for path in CORPUS.iterdir() if (data := path.read_bytes())[:1] == b"\0"}
    texts["crossing"] = json.dumps(hostile.crossing()).encode()
    found = replayed(texts, tmp_path)
    assert set(odd_workflows()) | {"crossing"} <= set(found)
    assert {name: one["fault"] for name, one in found.items() if one["kind"] == "fault"} == {}
    assert "holds itself" in found["a-subgraph-that-holds-itself"]["refused"]
    assert "cannot count on" in found["a-link-with-an-id-that-floats-do-not-count"]["refused"]
    assert found["crossing"]["kind"] == "steered"
    assert found["values-700-deep"]["kind"] == "steered"
    assert found["a-slot-called-length"]["kind"] == "left"
    miscounted = [name for name in found if name.startswith("a-counter-") and "floats" not in name]
    assert {found[name]["kind"] for name in miscounted} == {"steered"}
    assert "no plain id" in found["a-link-whose-id-has-no-text"]["refused"]
    assert "no plain id" in found["a-slot-that-has-no-text"]["refused"]
    assert len(miscounted) == 3
    counts = twins.compared(json.dumps({**one, "before": texts[name].decode()}) for name, one in found.items())
    assert counts["changed alike"] >= 4
    assert counts["refused by both"] == 5


def test_some_inputs_of_the_fuzzer_break_no_law_and_both_make_the_same_of_them(tmp_path: Path) -> None:
    found = run.fuzzed(tmp_path, seconds=SECONDS, inputs=INPUTS, sample=SAMPLE, guided=False)
    assert found["fault"] == ""
    assert found["counts"]["inputs"] == INPUTS
    assert found["counts"]["steered"] > INPUTS // 5
    assert found["compared"]["changed alike"] > SAMPLE // 10


def test_what_the_seeds_run_is_counted(tmp_path: Path) -> None:
    found = run.fuzzed(tmp_path, seconds=SECONDS, inputs=0, sample=0)
    assert found["counts"]["inputs"] == len(list((tmp_path / "seeds").iterdir()))
    assert found["blocks"] > 500
    assert all(0 < done <= lines for done, lines in found["lines"].values())


def test_a_law_that_does_not_hold_is_noticed_and_its_input_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A node whose input has another name takes no direction, so the script fails with words of its own engine.
    made = new_nodes().replace(
        '"name": "direction", "type": "ALIGNED_DIRECTION"', '"name": "other", "type": "ALIGNED_DIRECTION"'
    )
    assert made != new_nodes()
    monkeypatch.setattr("support.browser.twins.new_nodes", lambda: made)
    found = run.fuzzed(tmp_path, seconds=SECONDS, inputs=INPUTS, sample=0, guided=False)
    assert "TypeError" in found["fault"]
    assert json.loads((tmp_path / "fault").read_bytes())["nodes"]
