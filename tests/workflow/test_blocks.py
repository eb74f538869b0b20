"""Steering that is wrapped in a subgraph: it counts, it is named, and it is left whole when steering is taken out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.workflows.block_shapes import DRAWING, OWN, beside_a_block, block, blueprint, loose_behind_a_block, steered_within
from support.workflows.sketch import Wiring, loader, place, workflow

from safety_steer.cli import main
from safety_steer.workflow import add, check, remove
from safety_steer.workflow.consistency import problems
from safety_steer.workflow.plan import STEERED

WITHIN = steered_within()
OTHERS = ("CheckpointLoaderSimple", "CLIPTextEncode", "KSampler", "draw")
BLOCKS = [name for name in WITHIN if "loads" not in name]


@pytest.mark.parametrize("name", WITHIN)
def test_a_sampler_that_is_steered_within_a_subgraph_is_left_alone_and_it_is_said(name: str) -> None:
    data, said = WITHIN[name]
    assert problems(data) == []
    [verdict] = check(data)
    assert (verdict.state, verdict.reason) == (STEERED, said)
    change = add(data)
    assert not change.changed
    assert change.data == data


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_stays_whole_and_is_named(name: str) -> None:
    data, _ = WITHIN[name]
    removal = remove(data)
    assert json.dumps(removal.data) == json.dumps(data)
    assert removal.nodes == 0
    assert removal.left.startswith("placed by hand, and left in: ")
    assert removal.left.count("(#") == sum(str(one["type"]) not in OTHERS for one in data["nodes"])


def test_what_add_put_in_beside_a_block_is_taken_back_exactly() -> None:
    data = beside_a_block()
    change = add(data)
    assert change.changed
    removal = remove(change.data)
    assert (removal.exact, removal.nodes) == (True, 3)
    assert json.dumps(removal.data) == json.dumps(data)
    assert "the block (#20)" in removal.left


def test_without_the_record_what_is_not_the_blocks_goes_and_its_report_stays() -> None:
    data = beside_a_block()
    result = add(data).data
    del result["extra"]["safety_steer"]
    removal = remove(result)
    assert removal.nodes == 3
    assert problems(removal.data) == []
    assert removal.data["definitions"] == data["definitions"]
    before, after = Wiring(data), Wiring(removal.data)
    assert [path for path, _ in after.nodes()] == [path for path, _ in before.nodes()]
    assert all(
        after.source(path, socket["name"]) == before.source(path, socket["name"])
        for path, one in before.nodes()
        for socket in one["inputs"]
    )


def test_loose_steering_behind_a_block_goes() -> None:
    removal = remove(loose_behind_a_block())
    assert removal.nodes == 3
    assert Wiring(removal.data).source("3", "model") == ("20/82", 0)


def test_a_subgraph_with_more_than_steering_keeps_the_rest() -> None:
    data, _ = WITHIN["a subgraph that loads and steers"]
    removal = remove(data)
    assert (removal.nodes, removal.left) == (3, "")
    after = Wiring(removal.data)
    assert sorted(path for path, _ in after.nodes()) == ["2", "20/90", "3"]
    assert after.source("3", "model") == ("20/90", 0)


def test_a_sampler_of_a_subgraph_used_with_a_block_and_without_counts_as_steered() -> None:
    places = (place("draw", "model:MODEL<20.0", "clip:CLIP<1.1"), place("draw", "model:MODEL<1.0", "clip:CLIP<1.1", number=11))
    [verdict] = check(workflow(loader(), block(20), *places, subgraphs=(OWN, DRAWING)))
    assert verdict.state == STEERED


def test_the_terminal_names_the_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(blueprint()))
    assert main(["add", str(source), "-o", str(out)]) == 0
    assert "KSampler #62: steered already, the steering is in Safety Steer (#50)" in capsys.readouterr().out
    assert main(["add", str(source), "-o", str(out), "--remove"]) == 0
    assert capsys.readouterr().out == (
        "in.json: unchanged (placed by hand, and left in: Safety Steer (#50); bypass or delete it in ComfyUI)\n"
    )
    assert out.read_bytes() == source.read_bytes()
    source.write_text(json.dumps(loose_behind_a_block()))
    assert main(["add", str(source), "-o", str(out), "--remove"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "in.json: took out 3 nodes, the wires are reconnected around them (placed by hand, and left in: the block (#20)"
    )
