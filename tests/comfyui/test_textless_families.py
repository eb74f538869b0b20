"""Families whose conditioning holds no text: every node says so, and no class of ComfyUI has neither a row nor a reason."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.supported_models
import pytest
import torch
from support.comfyui import tiny, words
from support.families import clips
from support.families import models as family_models
from support.families.rows import left_behind
from support.families.textless import WITHOUT_ROW
from test_families import sample
from test_steering import apply, apply_conditioning

FAMILIES = [name for name in family_models.WITHOUT_TEXT if family_models.available(name)]
SITES = ("conditioning", "cross-attention")
found: dict[str, dict[str, Any]] = {}


@pytest.fixture(scope="module", autouse=True)
def _leave_what_was_found() -> Iterator[None]:
    yield
    left_behind(found)


def encoded(family: str, prompt: str) -> list[list[Any]]:
    """Encode a prompt with the family's own encoder, as its node does."""
    clip, said = clips.clip(family), clips.TEXTLESS[family].tokens
    made: list[list[Any]] = clip.encode_from_tokens_scheduled(clip.tokenize(prompt, **said))
    return made


def conditioning(family: str, prompt: str) -> list[list[Any]]:
    """Return what the family's model is given: its class fixes the width of MiniMax Music 3, as no small encoder has it."""
    fixed = bool(family_models.FAMILIES[family].text)
    return family_models.conditioning(family, len(prompt)) if fixed else encoded(family, prompt)


@cache
def model(family: str) -> Any:
    return family_models.model(family)


def sampled(family: str, patched: Any, positive: list[list[Any]]) -> torch.Tensor:
    return sample(family, patched, positive, negative=conditioning(family, "blurry"))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_direction_is_aligned_to_it_or_made_in_it(family: str, error: Any) -> None:
    clip = clips.clip(family)
    name = type(clip.cond_stage_model).__name__
    with pytest.raises(error, match=f"{name} g.* nothing to align to. Models of this kind cannot be steered"):
        running_comfyui.call("AlignSafetyDirection", direction=tiny.direction("sd15"), clip=clip, map="ridge", max_anchors=64)
    with pytest.raises(error, match=f"{name} holds no language model whose layers can be read"):
        running_comfyui.module("adapters.clip.hidden_layers").find(clip)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_node_refuses_its_conditioning(family: str, error: Any) -> None:
    row, positive = family_models.FAMILIES[family], conditioning(family, words.DANGEROUS)
    assert torch.isfinite(sampled(family, model(family), positive)).all()
    with pytest.raises(error, match="its prompts are not made safer"):
        apply_conditioning(positive, tiny.aligned("sd15"))
    for site in SITES:
        with pytest.raises(error, match="its prompts are not made safer"):
            sampled(family, apply(model(family), tiny.aligned("sd15"), site=site), positive)
    refused = f"refused: its conditioning is {row.refused}"
    found[family] = {"spaces": {}, "besides": {}, "unread": [], "conditioning": refused, "cross-attention": "refused"}


@pytest.mark.skipif("hidream_o1" not in FAMILIES, reason="this ComfyUI has no HiDream-O1")
def test_hidream_o1_reads_the_ids_and_not_what_stands_for_states() -> None:
    [[states, extras]], [[_, others]] = (encoded("hidream_o1", f"a photo of a {word}") for word in ("cat", "dog"))
    plain, elsewhere, other = (
        sampled("hidream_o1", model("hidream_o1"), [[stand_in, said]])
        for stand_in, said in ((states, extras), (states + 1, extras), (states, others))
    )
    assert torch.equal(plain, elsewhere)
    assert not torch.equal(plain, other)


@pytest.mark.skipif("minimax_music3" not in FAMILIES, reason="this ComfyUI has no MiniMax Music 3")
def test_minimax_music_3_gives_as_many_rows_as_there_is_sound() -> None:
    short, long = (encoded("minimax_music3", prompt)[0][0] for prompt in ("a", words.DANGEROUS))
    assert short.shape == long.shape == (1, 3, 8 * clips.WIDTH)


def test_every_class_of_comfyui_has_a_row_or_a_reason() -> None:
    rows = {row.config for row in family_models.FAMILIES.values()}
    classes = {kind.__name__ for kind in comfy.supported_models.models}
    assert classes - rows - set(WITHOUT_ROW) == set()
    assert rows & set(WITHOUT_ROW) == set()
