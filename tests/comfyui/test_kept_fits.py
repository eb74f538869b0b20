"""A kept fit is found again by what the encoder does: a LoRA that changes the model alone makes no new one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import folder_paths
import pytest
from safetensors.torch import save_file
from support.comfyui import situations, tiny

import nodes

NAME = "kept-fits.safetensors"


@pytest.fixture
def lora() -> Iterator[str]:
    """A LoRA file for the model and its text encoder, as most LoRAs are; its name."""
    path = Path(folder_paths.get_folder_paths("loras")[0]) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({**situations.model_lora(tiny.model("sd15")), **situations.clip_lora(0.2)}, path)
    yield NAME
    path.unlink()


@pytest.fixture
def origins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Align Direction says of each fit: where it came from."""
    said: list[str] = []

    def show(_node: str, text: str) -> None:
        said.append("read from disk" if "read from disk" in text else "fitted now" if "fitted now" in text else text)

    monkeypatch.setattr(running_comfyui.module("adapters.node_text"), "show", show)
    return said


def align(clip: Any) -> Any:
    # The gate of older directions: an encoder of random weights with a LoRA is too unlike the source for the newer one.
    direction = replace(tiny.direction("sd15"), examples=None)
    inputs = {"direction": direction, "clip": clip, "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **inputs)[0]


def loaded(lora: str, strength_clip: float) -> Any:
    """Return the CLIP that Load LoRA gives, from a checkpoint loaded anew."""
    model, clip = tiny.model("sd15"), tiny.clip("sd15")
    changed, result = nodes.LoraLoader().load_lora(model, clip, lora, 1.0, strength_clip)
    assert changed is not model
    assert result is not clip
    assert changed.patches
    return result


def test_a_lora_on_the_model_alone_reads_the_fit_from_disk(lora: str, origins: list[str]) -> None:
    plain = align(tiny.clip("sd15"))
    with_lora = align(loaded(lora, 0.0))
    assert origins == ["fitted now", "read from disk"]
    assert with_lora.content_hash == plain.content_hash
    assert len(running_comfyui.fits()) == 1


def test_a_fit_made_behind_such_a_lora_serves_without_it_too(lora: str, origins: list[str]) -> None:
    with_lora = align(loaded(lora, 0.0))
    assert align(tiny.clip("sd15")).content_hash == with_lora.content_hash
    assert origins == ["fitted now", "read from disk"]


def test_a_lora_that_moves_the_text_encoder_is_another_fit(lora: str, origins: list[str]) -> None:
    plain = align(tiny.clip("sd15"))
    moved = align(loaded(lora, 1.0))
    assert origins == ["fitted now", "fitted now"]
    assert moved.content_hash != plain.content_hash
    assert align(tiny.clip("sd15")).content_hash == plain.content_hash
    assert align(loaded(lora, 1.0)).content_hash == moved.content_hash
    assert origins[2:] == ["read from disk", "read from disk"]
