"""Texts and pooled texts of different numbers of rows, as nodes that schedule prompts make them: steered row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import situations, tiny, words
from test_steering import Conditioning, apply, apply_conditioning, by_library

BATCH = 6
ROWS = {"two texts, one pooled": (2, 1), "one text, two pooled": (1, 2), "two texts, three pooled": (2, 3)}
SETTINGS = {"operator": "add", "gate": "off"}


def encoded(texts: int, pooled: int) -> Conditioning:
    """Encode prompts for SDXL, unsafe and harmless in turn, and keep as many rows as asked."""
    made = [situations.encode(text, situations.clip("sdxl"))[0] for text in (words.DANGEROUS, words.HARMLESS) * 2]
    states, extras = [states for states, _ in made], [extras["pooled_output"] for _, extras in made]
    return [[torch.cat(states[:texts]), {"pooled_output": torch.cat(extras[:pooled])}]]


def row_by_row(conditioning: Conditioning) -> Conditioning:
    """Write out what each row of a batch reads, with equal numbers of rows."""
    [[states, extras]] = conditioning
    pooled = extras["pooled_output"]
    pick = [[row % len(tensor) for row in range(BATCH)] for tensor in (states, pooled)]
    return [[states[pick[0]], {**extras, "pooled_output": pooled[pick[1]]}]]


def sampled(model: Any, positive: Conditioning) -> torch.Tensor:
    negative = situations.encode("blurry", situations.clip("sdxl"))
    return situations.sample(situations.cfg_guider(model, positive, negative), (BATCH, *tiny.LATENTS["sdxl"][1:]))


@pytest.mark.parametrize("site", situations.SITES)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_batch_is_steered_as_if_its_rows_were_written_out(rows: tuple[int, int], site: str) -> None:
    model, direction, positive = tiny.model("sdxl"), tiny.aligned("sdxl"), encoded(*rows)
    kept = [positive[0][0].clone(), positive[0][1]["pooled_output"].clone()]
    steered = sampled(apply(model, direction, site=site, **SETTINGS), positive)
    written_out = by_library(row_by_row(positive), situations.reachable(direction, site), **SETTINGS)
    torch.testing.assert_close(steered, sampled(model, written_out), rtol=1e-4, atol=1e-4)
    assert float((steered - sampled(model, positive)).abs().max()) > 1e-2
    assert torch.equal(positive[0][0], kept[0])
    assert torch.equal(positive[0][1]["pooled_output"], kept[1])


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_the_graph_gives_the_bits_of_the_library(rows: tuple[int, int]) -> None:
    model, direction, positive = tiny.model("sdxl"), tiny.aligned("sdxl"), encoded(*rows)
    expected = by_library(positive, direction)
    assert torch.equal(sampled(apply(model, direction), positive), sampled(model, expected))
    [[states, extras]] = apply_conditioning(positive, direction)
    assert torch.equal(states, expected[0][0])
    assert torch.equal(extras["pooled_output"], expected[0][1]["pooled_output"])


STEER = {
    "on the model": lambda positive: sampled(apply(tiny.model("sdxl"), tiny.aligned("sdxl")), positive),
    "on the conditioning": lambda positive: apply_conditioning(positive, tiny.aligned("sdxl")),
}


@pytest.mark.parametrize("steer", STEER.values(), ids=STEER)
@pytest.mark.parametrize("key", ["text", "pooled"])
def test_no_rows_are_one_clear_error(key: str, steer: Callable[[Conditioning], Any]) -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    [[states, extras]] = encoded(2, 1)
    pooled = extras["pooled_output"]
    positive = [[states[:0], {"pooled_output": pooled}]] if key == "text" else [[states, {"pooled_output": pooled[:0]}]]
    with pytest.raises(error, match="Expected one row of text and of pooled text"):
        steer(positive)


@pytest.mark.parametrize("masks", [1, 2])
def test_an_attention_mask_may_have_rows_of_its_own_number(masks: int) -> None:
    """Padding stays as it is, whatever the number of masks."""
    [[states, extras]] = situations.encode(words.DANGEROUS)
    mask = torch.ones(masks, states.shape[1])
    mask[:, -4:] = 0
    positive = [[states, {**extras, "attention_mask": mask}]]
    [[steered, _]] = apply_conditioning(positive, tiny.aligned("sd15"), operator="add", gate="off")
    [[single, _]] = apply_conditioning(
        [[states, {**extras, "attention_mask": mask[:1]}]], tiny.aligned("sd15"), operator="add", gate="off"
    )
    assert len(steered) == masks
    for row in steered:
        torch.testing.assert_close(row, single[0])
