"""What the tests share: one thread, tiny models saved once per run, and what must not be missing.

Tests that need a real ComfyUI or a browser are left out where there is none. REQUIRE_COMFYUI and REQUIRE_BROWSER turn
that into a failure (`.ci/run` says more).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported, and for the processes that tests start. Two threads share so little work here that they mostly
# wait for each other, and where the cores are busy that takes far longer than the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
collect_ignore = [] if os.environ.get("COMFYUI_PATH") else ["comfyui"]
BROWSER_ASKED, BROWSER_RAN = pytest.StashKey[bool](), pytest.StashKey[set[str]]()


def required(what: str) -> bool:
    """Say whether REQUIRE_COMFYUI or REQUIRE_BROWSER is set; empty and 0 mean that it is not."""
    return os.environ.get(f"REQUIRE_{what}", "0") not in ("", "0")


class PlainRoot:
    """Collects the repository root as a folder: its `__init__.py` is for ComfyUI and cannot be imported without it."""

    @staticmethod
    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == HERE.parent else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(PlainRoot(), "plain-root")
    config.stash[BROWSER_ASKED], config.stash[BROWSER_RAN] = False, set()
    if required("COMFYUI") and not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError("REQUIRE_COMFYUI is set, but COMFYUI_PATH names no checkout of ComfyUI")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while modules and tests are collected, nor ever again among them: they are kept to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether tests are asked for that need a browser."""
    session.config.stash[BROWSER_ASKED] = any(item.get_closest_marker("browser") for item in session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a browser where something for it is missing; fail it where a browser is required."""
    if item.get_closest_marker("browser") is None:
        return
    from support.browser.harness import MISSING

    if MISSING and required("BROWSER"):
        pytest.fail(f"REQUIRE_BROWSER is set, but this is missing: {', '.join(MISSING)}", pytrace=False)
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")


def pytest_runtest_call(item: pytest.Item) -> None:
    """Count a test that runs in a browser."""
    if item.get_closest_marker("browser") is not None:
        item.config.stash[BROWSER_RAN].add(item.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran in a browser, where any were asked for; `.ci/run` reads this line."""
    config = terminalreporter.config
    if config.stash[BROWSER_ASKED]:
        terminalreporter.write_line(f"Tests in a browser: {len(config.stash[BROWSER_RAN]) or 'none'} ran")


@pytest.fixture(scope="session", autouse=True)
def _limit_threads() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny randomly initialised models: llama, bert, t5 and clip."""
    from support import tiny_models

    folder = tmp_path_factory.mktemp("models")
    return {kind: tiny_models.save_model(kind, folder / kind) for kind in tiny_models.KINDS}
