"""The pack as ComfyUI sees it: loading, schemas, model folder."""

from __future__ import annotations

import importlib
import json
import logging
import sys

import pytest

from support.comfyui import running_comfyui  # isort: skip
import folder_paths
from support.comfyui import public_schema

import nodes

LIGHT = {
    "",
    "adapters",
    "adapters.folders",
    "adapters.kept_text",
    "nodes",
    "nodes.negation",
    "nodes.refusal",
    "nodes.sharing",
    "safety_steer",
    "safety_steer.choices",
    "safety_steer.demo_world",
    "safety_steer.errors",
    "safety_steer.negation",
    "safety_steer.storage",
    "safety_steer.storage.bundled",
    "safety_steer.version",
}
NODES = list(json.loads(public_schema.LOCK.read_text(encoding="utf-8")))


def test_the_pack_loads_fast_and_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    import asyncio

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(nodes.load_custom_node(str(running_comfyui.LINK)))
    assert [record.message for record in caplog.records if "pyproject.toml" not in record.message] == []
    assert running_comfyui.LOAD_SECONDS < 1.0


def test_loading_the_pack_imports_what_its_schemas_need_and_nothing_that_works() -> None:
    """Modules cost about half a millisecond each, and every start of ComfyUI pays for them; `execute` imports the others."""
    package = running_comfyui.PACKAGE
    loaded = {name[len(package) :].lstrip(".") for name in running_comfyui.LOADED_MODULES if name.startswith(package)}
    folder = running_comfyui.REPOSITORY / "nodes"
    files = [path.relative_to(folder).with_suffix("") for path in folder.rglob("[!_]*.py")]
    nodes_of_the_pack = {".".join(("nodes", *path.parts)) for path in files}
    assert loaded == nodes_of_the_pack | LIGHT


def test_loading_the_pack_imports_nothing_but_itself() -> None:
    foreign = {
        name.partition(".")[0] for name in running_comfyui.LOADED_MODULES if not name.startswith(running_comfyui.PACKAGE)
    }
    assert foreign - set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("node", NODES)
def test_every_input_and_output_explains_itself(node: str) -> None:
    schema = nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA()
    assert schema.description
    for item in [*schema.inputs, *schema.outputs]:
        assert item.tooltip, (node, item)
        assert item.tooltip.endswith(".")


def test_the_schemas_reach_the_browser_as_json() -> None:
    for node in NODES:
        cls = nodes.NODE_CLASS_MAPPINGS[node]
        assert json.loads(json.dumps(cls.GET_NODE_INFO_V1()))["name"] == node


def test_the_model_folder_keeps_what_a_user_registered() -> None:
    folders = running_comfyui.module("adapters.folders")
    kept = dict(folder_paths.folder_names_and_paths)
    try:
        folder_paths.folder_names_and_paths["safety_directions"] = (["/users/own/folder"], set())
        folders.register()
        paths, extensions = folder_paths.folder_names_and_paths["safety_directions"]
    finally:
        folder_paths.folder_names_and_paths.update(kept)
    assert paths[0] == "/users/own/folder"
    assert str(running_comfyui.BASE / "models" / "safety_directions") in paths
    assert str(running_comfyui.REPOSITORY / "directions") in paths
    assert extensions == {".safetensors"}


def test_the_web_folder_and_the_languages_are_found() -> None:
    manager = importlib.import_module("app.custom_node_manager")
    assert nodes.EXTENSION_WEB_DIRS["safety-steer"] == str(running_comfyui.LINK / "web")
    served = manager.CustomNodeManager().build_translations()
    assert {language: list(texts["nodeDefs"]) for language, texts in served.items()} == {
        language: NODES for language in ("en", "fr", "ja", "zh")
    }
