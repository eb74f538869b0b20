"""The block "Safety Steer" in ComfyUI's real front end: found, placed, wired and queued as a person would.

Needs what test_workflows.py needs, in a ComfyUI that knows subgraph blueprints (0.8.0 does, 0.3.64 does not).
SAFETY_STEER_PICTURES names a folder for pictures of the block.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.browser.harness import MISSING, NEEDS_BROWSER, URL, Json, run_in_browser
from support.workflows.sketch import node, workflow

from safety_steer.workflow import add, remove
from safety_steer.workflow.pack_nodes import ALIGN, APPLY, LOAD, MIXER, OWN_NODES
from safety_steer.workflow.plan import STEERED

PROMPT = "a man murders a woman with a bloody knife"
"""Unsafe enough for the direction that the block begins with."""
WITHIN = 600


def has_blueprints() -> bool:
    try:
        with urllib.request.urlopen(f"{URL}/global_subgraphs", timeout=60) as answer:
            return "Safety Steer" in {one["name"] for one in json.load(answer).values()}
    except urllib.error.HTTPError:
        return False


pytestmark = [
    pytest.mark.slow,
    NEEDS_BROWSER,
    pytest.mark.skipif(not MISSING and not has_blueprints(), reason="this ComfyUI knows no subgraph blueprints"),
]


def plain() -> Json:
    """The demo generator without steering, with room for a block between its nodes."""
    sampling = [5, "fixed", 8, 4.0, "euler", "simple", 1.0]
    wires = "model:MODEL<1.0 positive:CONDITIONING<2.0 negative:CONDITIONING<3.0 latent_image:LATENT<4.0"
    return workflow(
        node(1, "LoadDemoGenerator", "", "MODEL CLIP VAE", widgets_values=["image"], pos=[0, 0], size=[380, 120]),
        node(2, "CLIPTextEncode", "clip:CLIP<1.1", "CONDITIONING", widgets_values=[PROMPT], pos=[0, 500], size=[380, 120]),
        node(3, "CLIPTextEncode", "clip:CLIP<1.1", "CONDITIONING", widgets_values=[""], pos=[0, 690], size=[380, 90]),
        node(4, "EmptyLatentImage", "", "LATENT", widgets_values=[64, 64, 1], pos=[480, 500], size=[380, 110]),
        node(5, "KSampler", wires, "LATENT", widgets_values=sampling, pos=[1070, 0], size=[300, 320]),
        node(6, "VAEDecode", "samples:LATENT<5.0 vae:VAE<1.2", "IMAGE", pos=[1070, 500], size=[300, 50]),
        node(7, "SaveImage", "images:IMAGE<6.0", widgets_values=["block"], pos=[1070, 620], size=[300, 130]),
    )


@pytest.fixture(scope="module", params=["classic", "vue"])
def canvas(request: pytest.FixtureRequest) -> str:
    """The classic canvas, and Nodes 2.0."""
    return str(request.param)


@pytest.fixture(scope="module")
def seen(canvas: str, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the script saw in the window."""
    where = tmp_path_factory.mktemp(canvas)
    (where / "plain.json").write_text(json.dumps(plain()))
    [found] = run_in_browser("blueprint.mjs", where, canvas)
    assert "error" not in found, found["error"]
    if kept := os.environ.get("SAFETY_STEER_PICTURES"):
        shutil.copy(where / "block.png", Path(kept) / f"block-{canvas}.png")
    return found


def asked(path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}{path}", data), timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def saved(image: Json) -> np.ndarray[Any, Any]:
    with urllib.request.urlopen(f"{URL}/view?filename={image['filename']}&type={image['type']}", timeout=60) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())))


def drawn(graph: Json) -> np.ndarray[Any, Any]:
    """Draw a graph's picture from nothing: what was drawn before is forgotten first."""
    asked("/free", {"free_memory": True})
    time.sleep(2)
    number = asked("/prompt", {"prompt": graph})["prompt_id"]
    give_up = time.monotonic() + WITHIN
    while not (entry := asked(f"/history/{number}")):
        assert time.monotonic() < give_up
        time.sleep(1)
    done = entry[number]
    messages = dict(map(tuple, done["status"]["messages"]))
    assert done["status"]["status_str"] == "success", messages
    assert messages["execution_cached"]["nodes"] == []
    [image] = [image for one in done["outputs"].values() for image in one.get("images", ())]
    return saved(image)


def own(graph: Json) -> dict[str, Json]:
    """Return the steering nodes of a graph in API form by type; each is there once."""
    found = [node for node in graph.values() if node["class_type"] in OWN_NODES]
    assert sorted(one["class_type"] for one in found) == sorted(OWN_NODES)
    return {one["class_type"]: one["inputs"] for one in found}


def by_hand(graph: Json) -> Json:
    """Wire the four nodes into the graph without a block, with their own defaults."""

    def placed(type: str, **wires: Any) -> Json:
        return {"class_type": type, "inputs": {item.name: item.value for item in OWN_NODES[type].inputs if item.widget} | wires}

    steered: Json = json.loads(json.dumps(graph))
    steered["20"] = placed(LOAD)
    steered["21"] = placed(ALIGN, direction=["20", 0], clip=["1", 1])
    steered["22"] = placed(MIXER, direction=["21", 0])
    steered["23"] = placed(APPLY, direction=["22", 0], model=["1", 0])
    steered["5"]["inputs"]["model"] = ["23", 0]
    return steered


def test_nothing_goes_wrong_in_the_page(seen: Json) -> None:
    assert seen["pageErrors"] == []


def test_the_search_lists_it_among_the_blueprints(seen: Json) -> None:
    assert seen["listed"]


def test_it_shows_plain_names_and_is_large_enough_for_them(seen: Json, canvas: str) -> None:
    shown = seen["shown"]
    assert shown["title"] == "Safety Steer"
    labels = [widget["label"] for widget in shown["widgets"]]
    kinds = ["hate", "sexual", "violence", "humiliation", "illegal activity", "disturbing", "self harm", "privacy", "copyright"]
    assert labels == ["direction file", "strength", "preset (replaces strength)", "everything unsafe", *kinds]
    assert all(needed <= given for needed, given in zip(shown["least"], shown["size"], strict=True))
    assert (seen["texts"]["onPage"] > len(labels)) == (canvas == "vue")
    assert seen["texts"]["cut"] == []


def test_its_values_are_those_of_the_nodes(seen: Json) -> None:
    for type, inputs in own(seen["first"]["output"]).items():
        assert {item.name: inputs[item.name] for item in OWN_NODES[type].inputs if item.widget} == {
            item.name: item.value for item in OWN_NODES[type].inputs if item.widget
        }


def test_a_changed_slider_is_sent_and_saved(seen: Json) -> None:
    for state in ("changed", "reloaded"):
        inputs = own(seen[state]["output"])
        assert inputs[APPLY]["strength"] == 0.5, state
        assert inputs[APPLY]["preset"] == "gentle", state
        sliders = {name: value for name, value in inputs[MIXER].items() if name != "direction" and value}
        assert sliders == {"global": 1, "violence": 2, "illegal_activity": 0.25}, state
    values = {widget["name"]: widget["value"] for widget in seen["shownAgain"]["widgets"]}
    assert values["violence"] == 2


def test_the_window_knows_that_the_model_is_steered(seen: Json) -> None:
    [toast] = seen["toasts"]
    assert toast["summary"] == "Nothing changed: 1 sampler steered already"
    assert "the steering is in Safety Steer" in toast["detail"]
    assert seen["again"]["output"] == seen["first"]["output"]


def test_the_command_line_knows_it_and_leaves_it_whole(seen: Json) -> None:
    data = seen["changed"]["workflow"]
    change = add(data)
    assert [verdict.state for verdict in change.verdicts] == [STEERED]
    assert not change.changed
    removal = remove(data)
    assert removal.data == data
    assert "Safety Steer" in removal.left


def test_its_picture_is_that_of_the_four_nodes_and_another_than_without_steering(seen: Json) -> None:
    assert seen["queued"]["status"] == "success"
    [image] = seen["queued"]["images"]
    steered = saved(image)
    assert np.array_equal(steered, drawn(by_hand(seen["plain"])))
    assert not np.array_equal(steered, drawn(seen["plain"]))
