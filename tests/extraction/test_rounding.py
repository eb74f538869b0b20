"""Rounding to bfloat16: only where the processor can, the model bears it and nobody asked for another precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny_models, wording

from safety_steer.alignment.anchors import encode_anchors
from safety_steer.extraction import rounding
from safety_steer.extraction.batching import suited_tokens
from safety_steer.extraction.rounding import BORNE, bears_rounding
from safety_steer.extraction.shards import load_sharded
from safety_steer.extraction.text_model import TextModel, load_text_model, token_budget, token_states, wrap_text_model
from safety_steer.runners.runner import Here
from safety_steer.storage.kept_parts import KeptParts

PROMPTS = wording.sentences(80, seed=3)


@pytest.fixture(autouse=True)
def _able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "multiplies_rounded", lambda device: device.type == "cpu")
    monkeypatch.setattr(rounding, "read_prompts", lambda _: PROMPTS[:32])


def calm(scale: float = 1.0, **given: Any) -> TextModel:
    """A tiny bert with weights as small as those of trained ones, the first channel of its embeddings times `scale`."""
    model = tiny_models.make_model("bert").eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(0.3)
        for layer in model.encoder.layer:
            layer.output.LayerNorm.weight[0] = scale
    return wrap_text_model(model, tiny_models.make_tokenizer("bert"), "calm", **given)


@pytest.fixture(scope="module")
def bearing() -> TextModel:
    return calm(any_precision=True)


def test_a_calm_model_bears_it_and_gives_nearly_the_same_states(bearing: TextModel) -> None:
    assert bears_rounding(bearing, 3)
    exact, rounded = (token_states(bearing, PROMPTS, 3, rounded=how) for how in (False, True))
    mean = torch.cat(exact).mean(0)
    for one, other in zip(exact, rounded, strict=True):
        assert not torch.equal(one, other)
        assert float((one - other).norm()) < 2 * BORNE * float((one - mean).norm())


def test_a_model_with_one_channel_far_larger_than_the_others_does_not_bear_it() -> None:
    assert not bears_rounding(calm(scale=3000.0, any_precision=True), 3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_who_asks_for_a_precision_gets_it(dtype: str, models: dict[str, Path]) -> None:
    assert load_text_model(models["bert"], "cpu").any_precision
    assert not load_text_model(models["bert"], "cpu", dtype).any_precision
    assert not bears_rounding(calm(), 3)


def test_other_processors_and_weights_stay_as_they_are(bearing: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not bears_rounding(replace(bearing, model=calm().model.double()), 3)
    monkeypatch.setattr(rounding, "multiplies_rounded", lambda _: False)
    assert not bears_rounding(bearing, 3)


def test_it_is_tried_once_for_a_model_and_layer(bearing: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bears_rounding(bearing, 2)
    monkeypatch.setattr(rounding, "token_states", refuse)
    assert bears_rounding(bearing, 2)
    with pytest.raises(AssertionError, match="encoded"):
        bears_rounding(bearing, 1)


def refuse(*_: object, **__: object) -> list[torch.Tensor]:
    raise AssertionError("encoded")


@pytest.mark.parametrize("bears", [False, True])
def test_anchors_are_encoded_that_way(bears: bool, bearing: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "BORNE", BORNE if bears else 0.0)
    rounding._bears.cache_clear()
    found = encode_anchors(bearing, PROMPTS, 3)["cross_attn"]
    expected = torch.stack([rows.mean(0) for rows in token_states(bearing, PROMPTS, 3, rounded=bears)])
    torch.testing.assert_close(found.pooled, expected, atol=1e-6, rtol=1e-5)
    rounding._bears.cache_clear()


def test_parts_give_the_bits_of_all_at_once(models: dict[str, Path]) -> None:
    whole = load_text_model(models["bert"], "cpu")
    parts = load_sharded(str(models["bert"]), "cpu", "auto", Here(), KeptParts(None))
    rounded, again = (token_states(model, PROMPTS, 2, 64, rounded=True) for model in (whole, parts))
    assert all(map(torch.equal, rounded, again))
    assert not torch.equal(rounded[0], token_states(whole, PROMPTS, 2, 64)[0])


def test_exact_parts_are_not_taken_for_rounded_ones(models: dict[str, Path], tmp_path: Path) -> None:
    model = load_sharded(str(models["bert"]), "cpu", "auto", Here(), KeptParts(tmp_path))
    exact, rounded = (token_states(model, PROMPTS, 2, rounded=how) for how in (False, True))
    assert not torch.equal(exact[0], rounded[0])


def test_a_batch_on_a_processor_holds_twice_as_many_rounded_tokens(bearing: TextModel) -> None:
    device = torch.device("cpu")
    assert suited_tokens(device, rounded=True) == 2 * suited_tokens(device) == token_budget(bearing, None, rounded=True)
    assert suited_tokens(torch.device("meta"), rounded=True) == suited_tokens(torch.device("meta"))
    assert token_budget(bearing, 64, rounded=True) == 64
