"""Loading directions: what is in the file and where it lies, and every bad name a queued graph can carry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import tiny
from support.comfyui.running_comfyui import DIRECTIONS
from support.comfyui.tiny import ADVICE, older, with_passages


@pytest.fixture
def saved() -> Any:
    path = DIRECTIONS / "tiny.safetensors"
    tiny.direction("sd15").save(path)
    yield path
    for left in DIRECTIONS.iterdir():
        left.unlink()


def load(name: str) -> Any:
    return running_comfyui.call("LoadSafetyDirection", direction_name=name)[0]


def test_a_listed_direction_loads(saved: Path) -> None:
    assert load(saved.name).content_hash == tiny.direction("sd15").content_hash


def test_a_changed_file_is_loaded_again(saved: Path) -> None:
    fingerprint = running_comfyui.module("nodes.load_direction").LoadSafetyDirection.fingerprint_inputs
    before = fingerprint(direction_name=saved.name)
    assert before == fingerprint(direction_name=saved.name)
    os.utime(saved, ns=(1, 1))
    assert before != fingerprint(direction_name=saved.name)
    assert fingerprint(direction_name="missing.safetensors") == ""


@pytest.mark.parametrize(
    "name",
    [
        "../safety_directions/tiny.safetensors",
        "../../user/secret.safetensors",
        "/etc/passwd",
        "./tiny.safetensors",
        "tiny.safetensors\0.txt",
        "..\\tiny.safetensors",
        "",
        "missing.safetensors",
    ],
)
def test_path_tricks_in_a_file_name_are_an_error(saved: Path, name: str, error: Any) -> None:
    (running_comfyui.BASE / "user" / "secret.safetensors").write_bytes(saved.read_bytes())
    with pytest.raises(error, match="no direction file"):
        load(name)


def test_a_link_out_of_the_folder_is_an_error(saved: Path, error: Any) -> None:
    outside = running_comfyui.BASE / "user" / "outside.safetensors"
    outside.write_bytes(saved.read_bytes())
    (DIRECTIONS / "link.safetensors").symlink_to(outside)
    with pytest.raises(error, match="outside the direction folders"):
        load("link.safetensors")


def test_an_aligned_direction_is_no_source_direction(saved: Path, error: Any) -> None:
    tiny.aligned("sd15").save(saved.with_name("aligned.safetensors"))
    with pytest.raises(error, match="aligned-direction"):
        load("aligned.safetensors")


def test_a_file_that_is_something_else_is_an_error(saved: Path, error: Any) -> None:
    saved.with_name("other.safetensors").write_bytes(b"not a direction")
    with pytest.raises(error, match="not a safetensors file"):
        load("other.safetensors")


def shown_by_load(name: str) -> str:
    """Return what Load Safety Direction leaves on its node, which ComfyUI shows again when the node is cached."""
    return running_comfyui.shown("LoadSafetyDirection", direction_name=name)[1]


def test_loading_says_what_is_in_the_file(saved: Path) -> None:
    text = "tiny: 2 categories, 128 harmless prompts"
    assert shown_by_load(saved.name).startswith(f"{text}\nfrom ")
    with_passages().save(saved)
    assert shown_by_load(saved.name).startswith(f"{text} and 40 long ones\nfrom ")
    older().save(saved)
    assert shown_by_load(saved.name).startswith(f"{text}\n{ADVICE}\nfrom ")


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "all-minilm-l6-v2"])
def test_the_older_bundled_directions_are_listed_and_called_older(name: str) -> None:
    described = running_comfyui.module("adapters.direction_text").described
    text = described(f"{name}.safetensors", load(f"{name}.safetensors"))
    assert text == f"{name}: 6 categories, 3,072 harmless prompts\n{ADVICE}"
