"""Other people's packs, installed: graphs with their nodes, steered by the command, against prompts the library has steered.

SAFETY_STEER_PACKS names a folder with the packs' code, SAFETY_STEER_PACKS_PYTHON one with what they import. A pack whose
code is not there is skipped, and one that this ComfyUI cannot load is skipped with what it says. With
SAFETY_STEER_PACKS_FOUND set to a folder, a run leaves there what it found, of which `tools/docs/write_packs.py` makes a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.packs.case import LEFT, PART
from support.packs.cases import CASES, NEEDS
from support.packs.found import leave
from support.packs.ran import FOLDER, Pack, commit_of, folder_of, run_pack

pytestmark = pytest.mark.slow
ALL = [pytest.param(pack, title, id=f"{pack}: {title}") for pack, cases in CASES.items() for title in cases]
found: dict[str, dict[str, Any]] = {}


@pytest.fixture(scope="module", autouse=True)
def _left() -> Iterator[None]:
    yield
    leave(found, {pack: commit_of(pack) for pack in found}, running_comfyui.comfyui_version())


def found_of(pack: str) -> Pack:
    """Return what became of a pack; skip where it is not there or cannot be loaded."""
    for name in (pack, *NEEDS.get(pack, ())):
        if folder_of(name) is None:
            pytest.skip(f"needs {name}: check its code out into SAFETY_STEER_PACKS" + (f" ({FOLDER})" if FOLDER else ""))
    result = run_pack(pack)
    assert not result.broken, result.broken
    if result.missing:
        found[pack] = {"missing": result.missing.rpartition(": ")[2].partition(" (/")[0]}
        pytest.skip(f"this ComfyUI cannot load {pack}: {result.missing}")
    return result


@pytest.mark.parametrize("pack", CASES)
def test_what_an_export_does_not_tell_of_its_nodes_is_in_the_table_as_the_pack_has_it(pack: str) -> None:
    known = running_comfyui.module("safety_steer.workflow.packs").SOCKETS
    for type, sockets in found_of(pack).sockets.items():
        assert sockets["outputs"] == known[type]["outputs"]
        assert set(known[type].get("inputs", "").split()) <= set(sockets["inputs"])


@pytest.mark.parametrize(("pack", "title"), ALL)
def test_a_graph_gives_the_bits_of_library_steered_prompts_or_is_said_to_be_left_alone(pack: str, title: str) -> None:
    case, result = CASES[pack][title], found_of(pack).cases[title]
    assert not result.failed, result.failed
    assert case.state in result.said
    assert case.says in result.said
    plain, steered = result.results["plain"], result.results["steered"]
    assert torch.isfinite(plain).all()
    if case.state == LEFT:
        assert not result.changed
        assert torch.equal(steered, plain)
    else:
        assert " moved, by " in result.log, result.log
        assert not torch.equal(steered, plain)
        assert torch.equal(steered, result.results["library"])
    assert (PART in result.said) == (case.state == PART)
    found.setdefault(pack, {"cases": {}})["cases"][title] = case.state
