"""Align Direction (Vision) on ComfyUI's own CLIP vision: fitted, kept, and one clear error for every bad folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.clip_vision
import numpy as np
import pytest
import torch
from support.comfyui import captioned, tiny, versions, words

CONFIG = {
    "model_type": "clip_vision_model",
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "num_channels": 3,
    "hidden_act": "quick_gelu",
    "image_size": captioned.CELLS * captioned.PIXELS,
    "patch_size": captioned.PIXELS,
    "projection_dim": 32,
}


@cache
def vision(seed: int = 0) -> Any:
    """Make a small CLIP vision model of ComfyUI's class."""
    made = versions.clip_vision(CONFIG)
    made.dtype = torch.float32
    made.model.float()
    tiny.randomise(made.model, seed)
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    """Fill a folder in ComfyUI's input folder with captioned pictures."""
    with captioned.in_input_folder() as place:
        yield place


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fill it with as many as the way through text needs."""
    monkeypatch.setattr(captioned, "COUNT", 240)
    captioned.drawings.cache_clear()
    with captioned.in_input_folder() as place:
        yield place
    captioned.drawings.cache_clear()


def align(**changes: Any) -> Any:
    inputs = {"direction": tiny.direction("sd15"), "clip_vision": vision(), "clip": tiny.clip("sd15")}
    given = {"pictures": captioned.FOLDER, "max_pictures": 8192, **inputs, **changes}
    return running_comfyui.call("AlignSafetyDirectionVision", **given)[0]


def as_image(pictures: list[captioned.Drawing]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255


@pytest.mark.usefixtures("folder")
def test_it_fits_every_space_and_hears_what_it_never_saw() -> None:
    aligned = align()
    assert set(aligned.spaces) == {"last_hidden_state", "penultimate_hidden_states", "image_embeds"}
    # Before 0.33 a CLIP_VISION keeps neither its kind nor its configuration.
    known = hasattr(vision(), "config")
    assert aligned.encoder == ("clip_vision_model, width 48" if known else "ClipVisionModel")
    assert aligned.direction_hash == tiny.direction("sd15").content_hash
    assert aligned.probe_prompts == tuple(captioned.drawings()[0][:8])
    unsafe = [f"{pair.unsafe}" for pair in words.pairs()]
    benign = words.benign_prompts(48, seed=9)
    said = [vision().encode_image(as_image(captioned.drawn(prompts))) for prompts in (unsafe, benign)]
    gate, auroc = (running_comfyui.module(f"safety_steer.{name}") for name in ("steering.gate", "statistics"))
    scores = [gate.open_gate(one.last_hidden_state, aligned.spaces["last_hidden_state"]).scores for one in said]
    assert auroc.auroc(*scores) > 0.8


@pytest.mark.usefixtures("folder")
def test_a_second_alignment_reads_the_fit_from_disk_and_another_model_is_another_fit() -> None:
    first = align()
    assert len(running_comfyui.fits()) == 1
    assert align().content_hash == first.content_hash
    assert len(running_comfyui.fits()) == 1
    assert align(clip_vision=vision(1)).content_hash != first.content_hash
    assert len(running_comfyui.fits()) == 2
    assert align(max_pictures=128).content_hash != first.content_hash
    assert len(running_comfyui.fits()) == 3


def test_another_caption_is_another_fit(folder: Path) -> None:
    first = align()
    node = running_comfyui.module("nodes.align_direction_vision").AlignSafetyDirectionVision
    before = node.fingerprint_inputs(captioned.FOLDER, 8192)
    (folder / "000.txt").write_text("a photo of something else")
    assert node.fingerprint_inputs(captioned.FOLDER, 8192) != before
    assert align().content_hash != first.content_hash


def test_the_folder_is_offered_and_drawn_scenes_come_first(folder: Path) -> None:
    sets = running_comfyui.module("adapters.clip_vision.picture_sets")
    assert sets.names()[0] == sets.folders.DRAWN
    assert folder.name in sets.names()


def test_drawn_scenes_need_no_folder() -> None:
    sets = running_comfyui.module("adapters.clip_vision.picture_sets")
    chosen = sets.load(sets.folders.DRAWN, 70)
    seen = list(chosen.pictures())
    assert len(chosen.captions) == len(seen) == 70
    assert seen[0].shape == (1, 64, 64, 3)
    assert 0 <= float(seen[0].min()) <= float(seen[0].max()) <= 1
    assert torch.equal(next(chosen.first(1)), seen[0])


def without_caption(folder: Path) -> None:
    (folder / "007.txt").unlink()


def unreadable(folder: Path) -> None:
    (folder / "007.png").write_bytes(b"no picture")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def few(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.stem > "040"]:
        path.unlink()


def swapped(folder: Path) -> None:
    captions = words.benign_prompts(captioned.COUNT, seed=3)
    order = torch.randperm(captioned.COUNT, generator=torch.Generator().manual_seed(1)).tolist()
    for number, other in enumerate(order):
        (folder / f"{number:03}.txt").write_text(captions[other])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_caption, r"of pictures of Align Direction \(Vision\) have no caption, such as '007.png'"),
        (unreadable, "'007.png' is not a picture that can be read"),
        (empty, r"of pictures of Align Direction \(Vision\) holds no pictures"),
        (few, "at least 64 captioned pictures, but got 41"),
        (swapped, "no better than chance"),
    ],
)
def test_one_clear_error_for_each_bad_folder(spoil: Callable[[Path], None], message: str, folder: Path, error: Any) -> None:
    spoil(folder)
    with pytest.raises(error, match=message):
        align()
    assert running_comfyui.fits() == []


@pytest.mark.parametrize("name", ["nowhere", "..", "../models", "/etc", ""])
def test_a_folder_that_is_not_offered_is_an_error(name: str, error: Any) -> None:
    with pytest.raises(error, match=r"There is no folder .* for pictures of Align Direction \(Vision\)"):
        align(pictures=name)


@pytest.mark.usefixtures("folder")
def test_a_missing_model_is_an_error(error: Any) -> None:
    with pytest.raises(error, match=r"The clip_vision input of Align Direction \(Vision\) is empty"):
        align(clip_vision=None)


class Speaking:
    """Stands in for a CLIP vision trained together with a CLIP: what it says of a picture is what its caption means there."""

    model_type, config = "speaking", {"hidden_size": 64}

    def __init__(self, turned: bool = False) -> None:
        captions, drawn = captioned.drawings()
        states = torch.cat([tiny.encode(tiny.clip("sd15"), caption)[0][1]["pooled_output"] for caption in captions]).float()
        if turned:
            states = states @ torch.linalg.qr(torch.randn(states.shape[1], states.shape[1], generator=seeded())).Q
        self.known = {picture.tobytes(): row + 3 for picture, row in zip(drawn, states, strict=True)}

    def encode_image(self, image: torch.Tensor) -> Any:
        rows = [self.known[(one * 255).round().to(torch.uint8).numpy().tobytes()] for one in image]
        output = comfy.clip_vision.Output()
        output["image_embeds"] = torch.stack(rows)
        output["last_hidden_state"] = torch.stack(rows)[:, None, :20].repeat(1, 4, 1)
        output["penultimate_hidden_states"] = output["mm_projected"] = None
        return output


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(6)


@pytest.mark.usefixtures("many")
def test_through_text_is_the_library_where_the_models_agree_and_is_kept_apart() -> None:
    by_map, through, either = (align(clip_vision=Speaking(), way=way) for way in ("pictures", "through text", "auto"))
    assert set(by_map.spaces) == {"last_hidden_state", "image_embeds"}
    assert tuple(through.spaces) == ("image_embeds",)
    assert tuple(either.spaces) == ("image_embeds", "last_hidden_state")
    assert through.report["image_embeds"]["agreement"] > 0.99
    assert len(running_comfyui.fits()) == 3
    assert align(clip_vision=Speaking(), way="through text").content_hash == through.content_hash
    assert align(clip_vision=Speaking()).content_hash == by_map.content_hash
    assert len(running_comfyui.fits()) == 3


@pytest.mark.usefixtures("many")
def test_through_text_is_refused_where_the_models_say_it_otherwise(error: Any) -> None:
    with pytest.raises(error, match=r"shares a space with clip_vision.*image_embeds is as wide as .* set way to 'pictures'"):
        align(clip_vision=Speaking(turned=True), way="through text")
    assert running_comfyui.fits() == []
    assert set(align(clip_vision=Speaking(turned=True), way="auto").spaces) == {"last_hidden_state", "image_embeds"}


@pytest.mark.usefixtures("folder")
def test_a_way_that_is_not_offered_is_an_error(error: Any) -> None:
    with pytest.raises(error, match="Expected way pictures, through text, auto, but got 'sideways'"):
        align(way="sideways")


@pytest.mark.usefixtures("folder")
def test_the_way_back_to_the_source_reads_the_first_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_comfyui.module("safety_steer.alignment.vision_ways"), "REVERSE_ANCHORS", 80)
    node, read = running_comfyui.module("adapters.clip_vision.fit_direction"), list[tuple[str, ...]]()
    original = node.encode_prompts

    def encode_prompts(encoding: Any, prompts: Any, progress: Any = None) -> Any:
        read.append(tuple(prompts))
        return original(encoding, prompts, progress)

    monkeypatch.setattr(node, "encode_prompts", encode_prompts)
    align(way="pictures")
    assert read[0] == tuple(tiny.direction("sd15").anchors[:80])
