"""The pack as ComfyUI sees it: loading, schemas, model folder."""

from __future__ import annotations

import json
import logging
import sys

import pytest

import world  # isort: skip
import folder_paths

import nodes

STEERING = ["strength", "operator", "gate", "start_percent", "end_percent", "preserve_norm"]
SCHEMAS = {
    "LoadSafetyDirection": (["direction_name"], ["SAFETY_DIRECTION"]),
    "AlignSafetyDirection": (["direction", "clip", "map", "max_anchors", "anchors", "thresholds"], ["ALIGNED_DIRECTION"]),
    "SafetyCategoryMixer": (
        ["direction", "global", "hate", "sexual", "violence", "humiliation", "illegal_activity", "disturbing"],
        ["ALIGNED_DIRECTION"],
    ),
    "ApplySafetySteer": (["model", "direction", *STEERING, "site", "fade", "blocks", "preset"], ["MODEL", "SAFETY_REPORT"]),
    "ApplySafetySteerConditioning": (["conditioning", "direction", *STEERING, "preset"], ["CONDITIONING", "SAFETY_REPORT"]),
    "LoadDemoGenerator": (["generator"], ["MODEL", "CLIP", "VAE"]),
    "ExtractSafetyDirection": (["pairs", "model", "layer", "estimator", "clip", "anchors"], ["SAFETY_DIRECTION"]),
    "SaveSafetyDirection": (["direction", "filename"], []),
    "ApplySafetySteerWanVideo": (
        ["text_embeds", "direction", "strength", "operator", "gate", "preserve_norm", "preset"],
        ["WANVIDEOTEXTEMBEDS", "SAFETY_REPORT"],
    ),
    "SafetyReport": (["report", "theme", "after", "clip", "prompt"], ["IMAGE", "STRING", "STRING", "*"]),
    "SafetyScore": (
        ["direction", "conditioning", "theme", "clip", "prompt"],
        ["FLOAT", "BOOLEAN", "STRING", "IMAGE", "STRING"],
    ),
}
DEFAULTS = {
    "AlignSafetyDirection": {"map": "ridge", "max_anchors": 3072, "anchors": "", "thresholds": "all"},
    "SafetyCategoryMixer": {"global": 1.0, "hate": 0.0, "disturbing": 0.0},
    "ApplySafetySteer": {
        "strength": 1.0,
        "operator": "erase",
        "gate": "hard",
        "start_percent": 0.0,
        "end_percent": 1.0,
        "preserve_norm": False,
        "site": "conditioning",
        "fade": 0.0,
        "blocks": "",
        "preset": "as set",
    },
    "ExtractSafetyDirection": {"model": "the clip input", "layer": "auto", "estimator": "mean", "anchors": ""},
    "SaveSafetyDirection": {"filename": "my-direction"},
    "LoadDemoGenerator": {"generator": "image"},
    "SafetyReport": {"theme": "dark", "prompt": ""},
    "SafetyScore": {"theme": "dark", "prompt": ""},
}


def test_the_pack_loads_fast_and_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    import asyncio

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(nodes.load_custom_node(str(world.LINK)))
    assert [record.message for record in caplog.records if "pyproject.toml" not in record.message] == []
    assert world.LOAD_SECONDS < 1.0


def test_loading_the_pack_imports_nothing_but_itself() -> None:
    foreign = {name.partition(".")[0] for name in world.LOADED_MODULES if not name.startswith(world.PACKAGE)}
    assert foreign - set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("node", SCHEMAS)
def test_names_and_order_of_inputs_never_change(node: str) -> None:
    schema = nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA()
    inputs, outputs = SCHEMAS[node]
    assert [item.id for item in schema.inputs] == inputs
    assert [item.get_io_type() for item in schema.outputs] == outputs


@pytest.mark.parametrize("node", DEFAULTS)
def test_defaults_of_a_saved_workflow_never_change(node: str) -> None:
    found = {item.id: getattr(item, "default", None) for item in nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA().inputs}
    assert {name: found[name] for name in DEFAULTS[node]} == DEFAULTS[node]


@pytest.mark.parametrize("node", SCHEMAS)
def test_every_input_and_output_explains_itself(node: str) -> None:
    schema = nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA()
    assert schema.description
    for item in [*schema.inputs, *schema.outputs]:
        assert item.tooltip, (node, item)
        assert item.tooltip.endswith(".")


def test_the_schemas_reach_the_browser_as_json() -> None:
    for node in SCHEMAS:
        cls = nodes.NODE_CLASS_MAPPINGS[node]
        assert json.loads(json.dumps(cls.GET_NODE_INFO_V1()))["name"] == node


def test_the_model_folder_keeps_what_a_user_registered() -> None:
    folders = world.module("nodes.folders")
    kept = dict(folder_paths.folder_names_and_paths)
    try:
        folder_paths.folder_names_and_paths["safety_directions"] = (["/users/own/folder"], set())
        folders.register()
        paths, extensions = folder_paths.folder_names_and_paths["safety_directions"]
    finally:
        folder_paths.folder_names_and_paths.update(kept)
    assert paths[0] == "/users/own/folder"
    assert str(world.BASE / "models" / "safety_directions") in paths
    assert str(world.REPOSITORY / "directions") in paths
    assert extensions == {".safetensors"}
