"""The benchmark on other people's workflows: its own reading of what samples can contradict `add`, and its counts are right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.workflows.pack_case import start
from support.workflows.sketch import Json, loader, node, sampler, subgraph, text, workflow

from benchmarks import workflow_corpus
from benchmarks.workflow_checker import Learned, exported, is_foreign, saved, suspects, unsteered
from safety_steer.workflow import add

LOOP = "model:MODEL<1.0 guider:GUIDER<4.0"


def steering(number: int, wire: str) -> Json:
    return node(number, "ApplySafetySteer", f"model:MODEL<{wire}", "model:MODEL")


def within(inner: Json) -> Json:
    """A workflow whose subgraph holds a sampler, with its model led in from outside."""
    return workflow(*start(), node(10, "inner", "model:MODEL<1.0 positive:CONDITIONING<2.0", "LATENT"), subgraphs=(inner,))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (workflow(*start(), sampler(4, "1.0", "2.0")), {"4": ["model"]}),
        (workflow(*start(), steering(5, "1.0"), sampler(4, "5.0", "2.0")), {"4": []}),
        (workflow(*start(), node(5, "Reroute", ":*<6.0", ":*"), steering(6, "1.0"), sampler(4, "5.0", "2.0")), {"4": []}),
        (workflow(*start(), node(4, "Two", "one:MODEL<1.0 two:MODEL<5.0", "LATENT"), steering(5, "1.0")), {"4": ["one"]}),
        (workflow(*start(), node(4, "Patch", "model:MODEL<1.0", "MODEL")), {}),
        (workflow(*start(), node(4, "Upscale", "upscale_model:UPSCALE_MODEL<1.0 image:IMAGE", "IMAGE")), {}),
        (workflow(*start(), node(4, "Wan", "model:WANVIDEOMODEL<1.0", "LATENT")), {"4": ["model"]}),
        (
            workflow(*start(), node(4, "CFGGuider", "model:MODEL<1.0", "GUIDER"), node(5, "Loop", LOOP, "LATENT")),
            {"4": ["model"], "5": ["guider"]},
        ),
        (
            within(
                subgraph(
                    "inner",
                    "model:MODEL positive:CONDITIONING",
                    "LATENT:LATENT<4.0",
                    *(steering(5, "-10.0"), sampler(4, "5.0", "-10.1"), sampler(6, "-10.0", "-10.1")),
                )
            ),
            {"4": [], "6": ["model"]},
        ),
    ],
)
def test_a_suspect_is_found_by_its_sockets_and_steered_by_what_is_before_it(data: Json, expected: dict[str, list[str]]) -> None:
    net = saved(data)
    assert {key[1]: unsteered(net, one) for key, one in suspects(net)} == expected


def test_an_export_has_the_types_that_saved_workflows_have() -> None:
    learned = Learned()
    learned.see(saved(workflow(*start(), sampler(4, "1.0", "2.0"))))
    data = {"1": {"class_type": "CheckpointLoaderSimple"}, "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}}}
    [(key, found)] = suspects(exported(data, learned))
    assert (key, is_foreign(found)) == (("", "2"), False)
    assert not list(suspects(exported(data, Learned())))


def test_what_add_says_is_held_against_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "corpus/owner+name"
    folder.mkdir(parents=True)
    plain = workflow(*start(), sampler(4, "1.0", "2.0"))
    quiet = workflow(*start(), node(4, "Unheard", "model:MODEL<1.0", "MODEL LATENT"))
    loop = workflow(*start(), node(4, "XlabsSampler", "model:MODEL<1.0 conditioning:CONDITIONING<2.0", "LATENT"))
    for name, data in (("plain", plain), ("quiet", quiet), ("loop", loop), ("steered", add(plain).data), ("other", [1])):
        (folder / f"{name}.json").write_text(json.dumps(data))
    kept, output, listed = tmp_path / "kept.jsonl", tmp_path / "counts.json", tmp_path / "files.txt"
    arguments = [str(tmp_path / "corpus"), "--kept", str(kept), "--output", str(output), "--listed", str(listed)]
    workflow_corpus.main([*arguments, "--seconds", "-1"])
    assert not output.exists()
    workflow_corpus.main(arguments)
    counts = json.loads(output.read_text())
    assert (counts["files"], counts["repositories"], len(counts["refused"])) == (4, 1, 1)
    assert counts["suspects"] == {"steered": 2, "not mentioned": 1, "left alone": 1}
    assert counts["not mentioned"] == {"Unheard": 1}
    assert counts["samplers that run ComfyUI's own sampling"] == {"all": 3, "steered": 2, "percent": 66.67}
    assert counts["by pack"]["x-flux"]["left alone"] == 1
    assert not any(counts["named"].values())
    assert listed.read_text().splitlines() == [f"owner/name {name}.json" for name in ("loop", "plain", "quiet", "steered")]
    assert len(kept.read_text().splitlines()) == 5


def test_a_promise_that_is_not_kept_is_counted() -> None:
    data = workflow(
        loader(),
        loader(9),
        text(2, "1.1"),
        node(4, "Two", "model:MODEL<1.0 refiner_model:MODEL<9.0 positive:CONDITIONING<2.0", "LATENT"),
    )
    net = saved(add(data).data)
    assert unsteered(net, net.nodes["", "4"]) == ["refiner_model"]
