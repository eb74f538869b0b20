"""The workflows that the window's commands are given in: every shape, what users wire by hand, a template of every family."""

from __future__ import annotations

import copy

from safety_steer.workflow.graph import nested_definitions

from ..workflows.block_shapes import beside_a_block, loose_behind_a_block, steered_within
from ..workflows.by_hand import by_hand
from ..workflows.shapes import left_alone, shapes
from ..workflows.templates import workflows
from .harness import ALL_TEMPLATES, Json, folder

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


def over_reroute_points() -> Json:
    """Two samplers on one model, whose wire to the second is drawn over a point of the canvas."""
    data = copy.deepcopy(shapes()["two samplers on one model"][0])
    number = next(link[0] for link in data["links"] if link[5] == "MODEL" and link[3] == 4)
    data["extra"]["reroutes"] = [{"id": 1, "pos": [900, 500], "linkIds": [number]}]
    data["extra"]["linkExtensions"] = [{"id": number, "parentId": 1}]
    return data


def counting_too_few() -> Json:
    """A file whose counters are behind what it holds, as some official templates are."""
    return copy.deepcopy(shapes()["two samplers on one model"][0]) | {"last_node_id": 1, "last_link_id": 1}


def cases() -> dict[str, Json]:
    """Every shape, what users have wired by hand, and a template of every family, by the name of its file."""
    found = {f"{name}.json": data for name, (data, _) in (shapes() | left_alone()).items()}
    found |= {f"{name}.json": data for name, data in by_hand().items()}
    found |= {f"{name}.json": data for name, (data, _) in steered_within().items()}
    found |= {"a block beside.json": beside_a_block(), "loose behind a block.json": loose_behind_a_block()}
    found["reroute points.json"] = over_reroute_points()
    found["counting too few.json"] = counting_too_few()
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
