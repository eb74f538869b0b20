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
