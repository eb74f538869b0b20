"""Where the rows of a text came from: the part of an encoder that gave them, and how many it was left off the front."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import torch

ROWS = torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(1))


def tokens(**lengths: int) -> dict[str, Any]:
    return {key: [[(number, 1.0) for number in range(count)]] for key, count in lengths.items()}


def source(outputs: dict[str, Any], said: dict[str, Any], states: torch.Tensor) -> Any:
    return running_comfyui.module("adapters.clip.parts").source(outputs, said, states)


def test_rows_cut_at_both_ends_are_found_in_the_part_that_gave_them() -> None:
    outputs = {"llama": (ROWS, None), "clip_l": (OTHER, None)}
    said = tokens(l=12, llama=9)
    assert source(outputs, said, ROWS[0, 2:7]) == ("llama", 2)
    assert source(outputs, said, OTHER[0, 3:]) == ("l", 3)
    assert source(outputs, said, ROWS[0].half().float()) == ("llama", 0)


def test_rows_of_zeros_may_have_been_any() -> None:
    masked = ROWS[0, 1:8].clone()
    masked[[0, 5, 6]] = 0
    assert source({"llama": (ROWS, None)}, tokens(llama=9), masked) == ("llama", 1)
    assert source({"llama": (ROWS, None)}, tokens(llama=9), torch.zeros(3, 4)) is None


def test_sections_lie_end_to_end_and_the_empty_one_for_weights_is_none() -> None:
    said = {"t5": [[(1, 1.0)] * 3, [(2, 1.0)] * 3]}
    three = ROWS[0].reshape(3, 3, 4)
    assert source({"t5": (three, None)}, said, ROWS[0, 1:6]) == ("t5", 1)
    assert source({"t5": (three, None)}, said, ROWS[0, 5:8]) is None


def test_rows_that_no_part_gave_are_not_placed() -> None:
    outputs = {"llama": (ROWS, None), "clip_l": (OTHER, None)}
    changed = ROWS[0, 2:7].clone()
    changed[3] += 1
    for states in (changed, ROWS[0, :, :3], torch.cat([ROWS[0], ROWS[0]])):
        assert source(outputs, tokens(l=12, llama=9), states) is None
    assert source({"llama": (ROWS[0], None)}, tokens(llama=9), ROWS[0]) is None
    assert source({"llama": (ROWS, None)}, tokens(llama=8), ROWS[0]) is None
    assert source({}, tokens(llama=9), ROWS[0]) is None
