"""What the ComfyUI tests share. They run in one process against the one checkout that COMFYUI_PATH names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

COMPOSITION = "test_composition.py::test_"
BITS, NO_STEP = (
    "a_graph_gives_the_bits_of_library_steered_conditioning",
    "a_window_that_holds_no_step_gives_the_bits_of_the_unpatched_graph",
)
# What is known to be wrong and not mended yet: these tests have to fail, and say so when they no longer do.
KNOWN_BUGS = {
    f"{BITS}[area of the negative-cross-attention-last]": "a negative prompt with an area is drawn otherwise",
    f"{NO_STEP}[area of the negative-cross-attention]": "the same",
    f"{BITS}[somebody's wrapper of the text-cross-attention-last]": "a wrapper that changes the text is undone",
    f"{NO_STEP}[area-conditioning]": "ComfyUI gives the negative an area for the first of several windows only",
    f"{NO_STEP}[mask bounds-conditioning]": "the same for the bounds of a mask",
    "two_apply_nodes_in_a_row_both_act[cross-attention-conditioning]": "of two nodes the first one's targets win",
    "two_apply_nodes_in_a_row_both_act[cross-attention-cross-attention]": "the same",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of known bugs."""
    for item in items:
        for name, reason in KNOWN_BUGS.items():
            if f"{COMPOSITION}{name}" in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    """Use one thread here, not two: where the cores are busy, threads wait for each other and are many times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _as_in_a_node() -> Iterator[None]:
    """Run every test as ComfyUI runs nodes: in inference mode, and with an empty folder of kept fits."""
    import torch
    import world

    world.forget_fits()
    with torch.inference_mode():
        yield
