"""What the tests share: the builders' folder on the path, two threads, and tiny models saved once per run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
collect_ignore = [] if os.environ.get("COMFYUI_PATH") else ["comfyui"]


class PlainRoot:
    """Collects the repository root as a folder: its `__init__.py` is for ComfyUI and cannot be imported without it."""

    @staticmethod
    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == HERE.parent else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(PlainRoot(), "plain-root")


@pytest.fixture(scope="session", autouse=True)
def _limit_threads() -> None:
    import torch

    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny randomly initialised models: llama, bert, t5 and clip."""
    from support import builders

    folder = tmp_path_factory.mktemp("models")
    return {kind: builders.save_model(kind, folder / kind) for kind in builders.KINDS}
