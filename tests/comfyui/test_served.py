"""What a ComfyUI server hands to the browser from this pack: help pages, translations, the block, and nothing else of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui.comfy_process import ComfyProcess

pytestmark = pytest.mark.slow

# Nodes of ComfyUI that take a CLIP and give one that says something else.
CHANGES_CLIP = {
    *("CLIPSetLastLayer", "T5TokenizerOptions", "LoraLoader", "LoraLoaderBypass", "SetClipHooks"),
    *("CLIPAttentionMultiply", "CLIPMergeSimple", "CLIPMergeSubtract", "CLIPMergeAdd"),
    *("NegateUnsafeWeights", "RefuseUnsafeRequests"),
}


def fetched(comfy: ComfyProcess, path: str) -> str:
    with urllib.request.urlopen(f"{comfy.url}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def test_the_help_page_of_every_node_is_where_the_frontend_looks(comfy: ComfyProcess) -> None:
    nodes: dict[str, Any] = json.loads(fetched(comfy, "/object_info"))
    own = {name: node for name, node in nodes.items() if node["python_module"] == "custom_nodes.safety-steer"}
    assert len(own) == len(running_comfyui.module("nodes").NODES)
    for name, node in own.items():
        pack = node["python_module"].removeprefix("custom_nodes.")
        assert fetched(comfy, f"/extensions/{pack}/docs/{name}.md").startswith(f"# {node['display_name']}\n")


def test_a_page_in_a_language_there_is_none_in_is_not_found(comfy: ComfyProcess) -> None:
    """The frontend asks for it first, and takes the page above on an error alone."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(comfy, "/extensions/safety-steer/docs/ApplySafetySteer/en.md")


def test_translations_reach_the_browser(comfy: ComfyProcess) -> None:
    served = json.loads(fetched(comfy, "/api/i18n"))
    kept = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in locale_files()}
    assert set(kept) == {"en", "zh", "ja", "fr"}
    assert {language: served[language]["nodeDefs"] for language in kept} == kept


def test_the_block_is_offered_among_the_blueprints_and_given_whole(comfy: ComfyProcess) -> None:
    if not (Path(running_comfyui.CHECKOUT) / "app" / "subgraph_manager.py").is_file():
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(comfy, "/global_subgraphs")
        pytest.skip("this ComfyUI knows no subgraph blueprints")
    offered: dict[str, Any] = json.loads(fetched(comfy, "/global_subgraphs"))
    [(number, entry)] = [(number, one) for number, one in offered.items() if one["info"]["node_pack"].endswith("safety-steer")]
    [file] = (running_comfyui.REPOSITORY / "subgraphs").iterdir()
    assert entry["name"] == file.stem == "Safety Steer"
    assert json.loads(fetched(comfy, f"/global_subgraphs/{number}"))["data"] == file.read_text(encoding="utf-8")


def test_every_node_that_hands_a_clip_on_is_known_to_change_it_or_to_leave_it(comfy: ComfyProcess) -> None:
    """Two texts whose CLIPs differ by such a node alone are of one CLIP only where the node changes nothing."""
    nodes: dict[str, Any] = json.loads(fetched(comfy, "/object_info"))
    takes = {name: [kind[0] for part in one["input"].values() for kind in part.values()] for name, one in nodes.items()}
    handing = {name for name, one in nodes.items() if "CLIP" in one["output"] and "CLIP" in takes[name]}
    same = set(running_comfyui.module("safety_steer.workflow.prompts").SAME_CLIP)
    assert handing - same - CHANGES_CLIP == set()
    assert handing >= {"CLIPSetLastLayer", "LoraLoader"}


def locale_files() -> list[Any]:
    return sorted((running_comfyui.REPOSITORY / "locales").glob("*/nodeDefs.json"))
