"""What ComfyUI itself writes into pictures and videos: `safety-steer add` reads the workflow in it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.workflows.sketch import plain

PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "ein Drache über Köln"}},
    "3": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["2", 0]}},
}
IMAGES = torch.linspace(0, 1, 2 * 64 * 64 * 3).reshape(2, 64, 64, 3)


def node_class(**extra: Any) -> Any:
    """What a saving node is asked for: the prompt and what the editor sent along."""
    return SimpleNamespace(hidden=SimpleNamespace(prompt=PROMPT, extra_pnginfo=extra))


def newest(suffix: str) -> Path:
    import folder_paths

    return max(Path(folder_paths.get_output_directory()).rglob(f"*{suffix}"), key=lambda path: path.stat().st_mtime_ns)


def saved(kind: str, **extra: Any) -> Path:
    """Save pictures or a video with a helper of ComfyUI's own, and return the file."""
    api = pytest.importorskip("comfy_api.latest", reason="this ComfyUI has no saving helpers")
    cls, folder = node_class(**extra), api.io.FolderType.output
    helper = api._ui.ImageSaveHelper
    if kind == "png":
        helper.save_images(IMAGES, "one", folder, cls)
    elif kind == "apng":
        helper.save_animated_png(IMAGES, "more", folder, cls, 8.0, 4)
    elif kind == "webp":
        helper.save_animated_webp(IMAGES, "moving", folder, cls, 8.0, False, 80, 4)
    else:
        path = Path(running_comfyui.BASE) / "output" / "clip.mp4"
        path.parent.mkdir(exist_ok=True)
        components = api.Types.VideoComponents(images=IMAGES, audio=None, frame_rate=Fraction(8))
        api.InputImpl.VideoFromComponents(components).save_to(str(path), metadata={"prompt": PROMPT, **extra})
        return path
    return newest(".webp" if kind == "webp" else ".png")


@pytest.mark.parametrize("kind", ["png", "apng", "webp", "mp4"])
def test_the_workflow_is_read_and_steered(kind: str, tmp_path: Path) -> None:
    files, adding = (running_comfyui.module(f"safety_steer.workflow.{name}") for name in ("workflow_file", "adding"))
    found = files.read_workflow(saved(kind, workflow=plain()))
    assert (found.read, found.kind, found.data) == ("workflow", "editor", plain())
    change = adding.add(found.data)
    assert change.changed
    files.write_change(change, found, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == change.data


@pytest.mark.parametrize("kind", ["png", "apng", "webp", "mp4"])
def test_the_prompt_is_read_where_no_editor_sent_a_workflow(kind: str) -> None:
    found = running_comfyui.module("safety_steer.workflow.workflow_file").read_workflow(saved(kind))
    assert (found.read, found.kind, found.data) == ("prompt", "api", PROMPT)


def test_a_webm_is_read() -> None:
    av = pytest.importorskip("av")
    path = Path(running_comfyui.BASE) / "clip.webm"
    with av.open(str(path), mode="w") as container:
        container.metadata["prompt"] = json.dumps(PROMPT)
        container.metadata["workflow"] = json.dumps(plain())
        stream = container.add_stream("libvpx-vp9", rate=8)
        stream.width = stream.height = 64
        for image in IMAGES:
            frame = av.VideoFrame.from_ndarray((image * 255).to(torch.uint8).numpy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = running_comfyui.module("safety_steer.workflow.workflow_file").read_workflow(path)
    assert (found.read, found.data) == ("workflow", plain())


def test_a_comment_as_video_helper_suite_writes_it_is_read() -> None:
    av = pytest.importorskip("av")
    path = Path(running_comfyui.BASE) / "comment.mp4"
    with av.open(str(path), mode="w") as container:
        container.metadata["comment"] = json.dumps({"prompt": json.dumps(PROMPT), "workflow": plain(), "CreationTime": "now"})
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 64
        for image in IMAGES:
            frame = av.VideoFrame.from_ndarray((image * 255).to(torch.uint8).numpy(), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    found = running_comfyui.module("safety_steer.workflow.workflow_file").read_workflow(path)
    assert (found.read, found.data) == ("workflow", plain())


def test_what_is_no_video_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(4000))
    with pytest.raises(running_comfyui.module("safety_steer.errors").DataError, match=r"'clip\.mp4' cannot be used"):
        running_comfyui.module("safety_steer.workflow.workflow_file").read_workflow(path)
