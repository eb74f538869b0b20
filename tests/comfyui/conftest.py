"""What the ComfyUI tests share. They run in one process against the one checkout that COMFYUI_PATH names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _as_in_a_node() -> Iterator[None]:
    """Run every test as ComfyUI runs nodes: in inference mode, and with an empty folder of kept fits."""
    import torch
    from support.comfyui import running_comfyui

    running_comfyui.forget_fits()
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a ComfyUI server of a module's own, a `comfy_process.ComfyProcess`."""
    from support.comfyui.comfy_process import ComfyProcess

    server = ComfyProcess(tmp_path_factory.mktemp("comfy"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def error() -> Any:
    """Return the class of all errors that the pack raises."""
    from support.comfyui import running_comfyui

    return running_comfyui.module("safety_steer.errors").SafetySteerError


@pytest.fixture
def empty_folders() -> Iterator[None]:
    """Empty the folders of directions, of aligned ones and of trusted keys after a test."""
    from support.comfyui import running_comfyui

    yield
    keys = running_comfyui.module("adapters.folders").trusted_keys_folder()
    for folder in (running_comfyui.ALIGNED, running_comfyui.DIRECTIONS, keys):
        for path in folder.iterdir() if folder.is_dir() else []:
            path.unlink()


@pytest.fixture(scope="module")
def small_demo_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have Load Demo Generator find small random weights for all tests of a module."""
    from support.comfyui import small_demo

    with small_demo.in_folder(tmp_path_factory.mktemp("weights")):
        yield
