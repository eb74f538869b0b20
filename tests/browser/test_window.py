"""The window's command in ComfyUI's real front end: the same graph as `safety-steer add`, in one step that can be undone.

Needs what test_workflows.py needs. SAFETY_STEER_PICTURES names a folder for pictures of steered workflows.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from harness import ALL_TEMPLATES, NEEDS_BROWSER, Json, folder, run_in_browser
from shapes import left_alone, shapes
from templates import workflows

from safety_steer.workflow import add, check
from safety_steer.workflow.graph import nested_definitions
from safety_steer.workflow.own_nodes import APPLY
from safety_steer.workflow.plan import STEER

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]
ONE_OF_EACH_FAMILY = {
    "3d_hunyuan3d_multiview_to_model.json",
    "3d_pixal3d_trellis2_image_to_model.json",
    "3d_triposplat_image_to_gaussian_splat.json",
    "audio_ace_step_1_t2a_instrumentals.json",
    "audio_minimax_music_3.json",
    "audio_stable_audio_example.json",
    "audio_yue2_music_cover.json",
    "flux_schnell.json",
    "hidream_i1_fast.json",
    "hunyuan_video_text_to_video.json",
    "image_anima_preview.json",
    "image_boogu_image_0_1_turbo_t2i.json",
    "image_chroma_text_to_image.json",
    "image_ernie_image_turbo.json",
    "image_fibo2_edit_turbo_pe.json",
    "image_flux2_text_to_image_9b.json",
    "image_flux3_klein_image_edit.json",
    "image_ideogram4_t2i.json",
    "image_joyai_image_edit.json",
    "image_krea2_turbo_int8_image_style_reference.json",
    "image_lens_t2i.json",
    "image_longcat_text_to_image.json",
    "image_lotus_depth_v1_1.json",
    "image_mage_flow_t2i_int8.json",
    "image_ming_image_01_design_t2i.json",
    "image_minimax_h3_t2i.json",
    "image_moss_image_edit.json",
    "image_netayume_lumina_t2i.json",
    "image_newbieimage_exp0_1-t2i.json",
    "image_omnigen2_t2i.json",
    "image_ovis_text_to_image.json",
    "image_pixeldit_t2i.json",
    "image_qwen_image_2512_with_2steps_lora.json",
    "image_z_image_turbo.json",
    "ltxv_text_to_video.json",
    "sd3.5_simple_example.json",
    "sdxl_refiner_prompt_example.json",
    "text_to_video_wan.json",
    "txt_to_image_to_video.json",
    "utility_seedvr2_3b_int8_upscale_image.json",
    "utility_void_video_inpainting.json",
    "video_humo.json",
    "video_kandinsky5_t2v.json",
    "video_wan2_2_14B_t2v.json",
}
PICTURES = ["sdxl_refiner_prompt_example.json", "video_wan2_2_14B_t2v.json"]
IN_SUBGRAPH = ["all in a subgraph.json", "video_wan2_2_14B_t2v.json"]
"""Where the command is given while a subgraph is open."""


def over_reroute_points() -> Json:
    """Two samplers on one model, whose wire to the second is drawn over a point of the canvas."""
    data = copy.deepcopy(shapes()["two samplers on one model"][0])
    number = next(link[0] for link in data["links"] if link[5] == "MODEL" and link[3] == 4)
    data["extra"]["reroutes"] = [{"id": 1, "pos": [900, 500], "linkIds": [number]}]
    data["extra"]["linkExtensions"] = [{"id": number, "parentId": 1}]
    return data


def cases() -> dict[str, Json]:
    """Every shape, and a template of every family, by the name of its file."""
    found = {f"{name}.json": data for name, (data, _) in (shapes() | left_alone()).items()}
    found["reroute points.json"] = over_reroute_points()
    where = folder()
    assert where is not None
    found |= {name: data for name, data in workflows(where) if ALL_TEMPLATES or name in ONE_OF_EACH_FAMILY}
    for data in found.values():
        for definition in nested_definitions(data):
            for side in ("inputs", "outputs"):
                for place, socket in enumerate(definition.get(side) or []):
                    # The front end tells a subgraph's sockets by ids, which the shapes leave out.
                    socket.setdefault("id", f"{side} {place}")
    return found


def written(where: Path) -> Path:
    """Write what the script reads: workflows before and after the command line, and its orders."""
    for name in ("before", "after", "pictures"):
        (where / name).mkdir()
    for name, data in cases().items():
        (where / "before" / name).write_text(json.dumps(data))
        (where / "after" / name).write_text(json.dumps(add(data).data))
    (where / "orders.json").write_text(json.dumps({"pictures": PICTURES, "inSubgraph": IN_SUBGRAPH}))
    return where


@pytest.fixture(scope="module", params=["classic", "vue"])
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """What the script prints, with the classic canvas and with Nodes 2.0."""
    where = written(tmp_path_factory.mktemp(request.param))
    found = run_in_browser("window.mjs", where, request.param)
    assert len(found) >= len(ONE_OF_EACH_FAMILY) + len(shapes()) + len(left_alone())
    pictures = sorted((where / "pictures").glob("*.png"))
    assert len(pictures) == len(PICTURES)
    if kept := os.environ.get("SAFETY_STEER_PICTURES"):
        for picture in pictures:
            shutil.copy(picture, Path(kept) / f"{picture.stem}-{request.param}.png")
    return found


@pytest.fixture(scope="module")
def answers(printed: list[Json]) -> list[Json]:
    """What became of every workflow that nothing was done to on purpose."""
    return printed[:-1]


def signatures(output: Json) -> Counter[str]:
    """Describe every node that would run by all that it is made from, whatever its id."""
    known: dict[str, str] = {}

    def signature(number: str) -> str:
        if number not in known:
            known[number] = "a circle"
            node = output.get(number, {"inputs": {}, "class_type": "missing"})
            inputs = [
                f"{name}: {signature(value[0])} {value[1]}" if _is_wire(value) else f"{name}: {value!r}"
                for name, value in sorted((node.get("inputs") or {}).items())
                if value is not None
            ]
            title = (node.get("_meta") or {}).get("title")
            known[number] = str(hash((node.get("class_type") or title, tuple(inputs))))
        return known[number]

    return Counter(map(signature, output))


def _is_wire(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def content(workflow: Json) -> Json:
    """Leave out of a saved workflow what the front end works out anew: the part of the canvas in view, the order of nodes."""
    found: Json = json.loads(json.dumps(workflow))
    (found.get("extra") or {}).pop("ds", None)
    for graph in (found, *nested_definitions(found)):
        for node in graph["nodes"]:
            node.pop("order", None)
    return found


def test_nothing_goes_wrong_in_the_page(answers: list[Json]) -> None:
    for line in answers:
        assert "error" not in line, (line["name"], line["error"])
        assert line["pageErrors"] == [], line["name"]


def test_the_graph_is_that_of_the_command_line(answers: list[Json]) -> None:
    steered = 0
    for line in answers:
        assert signatures(line["after"]["output"]) == signatures(line["expected"]), line["name"]
        steered += sum(node.get("class_type") == APPLY for node in line["after"]["output"].values())
    assert steered > len(ONE_OF_EACH_FAMILY)


def test_one_undo_gives_back_the_workflow(answers: list[Json]) -> None:
    for line in answers:
        changes = line["after"]["steps"] - line["before"]["steps"]
        verdicts = check(line["before"]["workflow"])
        assert changes == any(verdict.state == STEER for verdict in verdicts), line["name"]
        if changes:
            assert content(line["undone"]["workflow"]) == content(line["before"]["workflow"]), line["name"]
            assert signatures(line["undone"]["output"]) == signatures(line["before"]["output"]), line["name"]


def test_a_wire_over_reroute_points_stays_on_them(answers: list[Json]) -> None:
    (line,) = (line for line in answers if line["name"] == "reroute points.json")
    for state in ("before", "after", "undone"):
        assert len(line[state]["workflow"]["extra"]["reroutes"]) == 1, state
    applies = [node for node in line["after"]["output"].values() if node["class_type"] == APPLY]
    assert len(applies) == 2


def test_a_second_time_changes_nothing_and_says_so(answers: list[Json]) -> None:
    for line in answers:
        assert line["again"]["output"] == line["after"]["output"], line["name"]
        assert content(line["again"]["workflow"]) == content(line["after"]["workflow"]), line["name"]
        assert line["again"]["steps"] == line["after"]["steps"], line["name"]
        assert line["toastsAgain"][0]["summary"].startswith("Nothing"), line["name"]


def test_one_message_tells_what_became_of_the_samplers(answers: list[Json]) -> None:
    for line in answers:
        verdicts = check(line["before"]["workflow"])
        (toast,) = line["toasts"]
        number = sum(verdict.state == STEER for verdict in verdicts)
        if number:
            assert f"added: {number} sampler{'s' if number > 1 else ''} steered now" in toast["summary"], line["name"]
        for verdict in verdicts[:8]:
            assert verdict.reason in toast["detail"], line["name"]


def test_a_change_that_fails_half_way_is_taken_back(printed: list[Json]) -> None:
    refused = printed[-1]
    assert [toast["severity"] for toast in refused["toasts"]] == ["error"]
    assert "The workflow is as it was" in refused["toasts"][0]["detail"]
    assert content(refused["after"]["workflow"]) == content(refused["before"]["workflow"])
    assert signatures(refused["after"]["output"]) == signatures(refused["before"]["output"])


def test_the_command_is_in_the_menu_and_on_the_canvas(answers: list[Json]) -> None:
    assert answers[0]["menus"] == {"menu": True, "canvas": True, "palette": True}
