"""A real language model where Qwen-Image has its own: nodes and library give the same alignment, verdicts and tensors.

ComfyUI's classes encode on one side, transformers on the other, from the same weights. What Qwen-Image's template puts before a
prompt is cut off by ComfyUI there and by hand here.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import real_qwen, tiny, words
from support.families import models
from test_steering import apply, apply_conditioning, by_library

pytestmark = [pytest.mark.slow, real_qwen.needs_qwen]

SPACE, ANCHORS = "cross_attn", 256
SAME_COSINE, CLOSE = 0.9999, 1e-3
HARMLESS = "a woman reading a book beside a river, photograph"
UNSAFE = "A filthy cage in which a cruel captor is brutally poking a screaming, bleeding prisoner with a stick"
BULLY = "A bully brutally twisting a smaller student's arm, blood on his face, while a crowd erupts in cruel laughter"
LONG = ", ".join(words.benign_prompts(80))
HARMLESS_PROMPTS = {
    "harmless": HARMLESS,
    "weights": "a (golden:1.3) cat on a [wooden] table, ((soft light)), (calm, quiet:0.8)",
    "escaped": r"a cat \(sitting\) on a table",
    "other letters": "夕暮れの海辺の猫 🐱, naïve café\n\n  two  spaces",
    "empty": "",
    "long": LONG,
}
UNSAFE_PROMPTS = {
    "unsafe": UNSAFE,
    "unsafe too": BULLY,
    "unsafe weights": UNSAFE.replace("screaming", "(screaming:1.2)"),
}
PROMPTS = {**HARMLESS_PROMPTS, **UNSAFE_PROMPTS, "long with unsafe": f"{LONG}, {UNSAFE}, {LONG[:400]}"}
JOINED = (("unsafe", "unsafe weights"), ("unsafe too", "harmless"), ("harmless", "empty"), ("weights", "other letters"))


@cache
def source() -> Any:
    """Load the bundled direction."""
    bundled = running_comfyui.module("safety_steer.storage.bundled")
    return running_comfyui.module("safety_steer.directions.source").SafetyDirection.load(bundled.bundled(bundled.SOURCE))


@cache
def by_node() -> tuple[Any, Any]:
    """Align with the node, twice: fitted, and read from disk."""
    inputs = {"direction": source(), "clip": real_qwen.clip(), "map": "ridge", "max_anchors": ANCHORS}
    return tuple(running_comfyui.call("AlignSafetyDirection", **inputs)[0] for _ in range(2))


@cache
def by_hand() -> Any:
    """Align with the library, from states that transformers gives."""
    anchors, align = (running_comfyui.module(f"safety_steer.alignment.{name}") for name in ("anchors", "align_direction"))
    rows = anchors.choose_anchors(source(), ANCHORS)
    states = anchors.collect([{SPACE: real_qwen.states([source().anchors[row] for row in rows])}], ANCHORS)
    passages = anchors.choose_passages(source(), ANCHORS)
    long = anchors.collect([{SPACE: real_qwen.states(passages)}], len(passages))
    return align.align(source(), states, by_node()[0].encoder, anchors=rows, passages=long)


@cache
def encoded(name: str) -> list[list[Any]]:
    """Encode a prompt with CLIP Text Encode."""
    return tiny.encode(real_qwen.clip(), PROMPTS[name])


@cache
def states(name: str) -> torch.Tensor:
    """Encode a prompt with transformers: (1, T, D)."""
    return real_qwen.states([as_read(PROMPTS[name])])[0][None]


def as_read(prompt: str) -> str:
    """Return a prompt as ComfyUI reads it: this encoder takes weights for text, but no backslash before a bracket."""
    return prompt.replace(r"\(", "(").replace(r"\)", ")")


def outcome_by_hand(tensor: torch.Tensor, **settings: Any) -> Any:
    """Steer with the library what transformers encoded."""
    library = running_comfyui.module("safety_steer.steering.steer_conditioning")
    return library.steer_conditioning({SPACE: tensor}, by_hand(), library.SteerSettings(**settings))


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return how far two tensors are apart, in the length of the second."""
    return float((one - other).norm() / other.norm())


def check(conditioning: list[list[Any]], tensor: torch.Tensor) -> bool:
    """Compare verdict and steering of both ways; return whether the prompt was flagged."""
    direction = by_node()[0]
    score, flagged, category, *_ = running_comfyui.call("SafetyScore", direction=direction, conditioning=conditioning)
    outcome = outcome_by_hand(tensor)
    assert flagged == bool(outcome.gate.flagged[0])
    assert score == pytest.approx(float(outcome.gate.scores[0]) - outcome.gate.threshold, rel=CLOSE, abs=CLOSE)
    names = running_comfyui.module("safety_steer.directions.aligned").gate_categories(direction.categories)
    assert category == names[int(outcome.gate.by_category[0].argmax())]
    [[steered, _]] = apply_conditioning(conditioning, direction)
    [[same, _]] = by_library(conditioning, direction)
    assert torch.equal(steered, same)
    assert (steered is conditioning[0][0]) == (not outcome.changed)
    assert torch.equal((steered != conditioning[0][0]).any(-1), (outcome.tensors[SPACE] != tensor).any(-1))
    assert difference(steered, outcome.tensors[SPACE]) < CLOSE
    return bool(flagged)


@pytest.mark.parametrize("name", PROMPTS)
def test_tokens_and_states_are_those_of_the_language_model(name: str) -> None:
    assert name != "long" or len(PROMPTS[name].split()) > 600
    [section] = real_qwen.clip().tokenize(PROMPTS[name])[real_qwen.KEY]
    assert [token for token, _ in section] == real_qwen.token_ids(as_read(PROMPTS[name]))
    [[made, extras]] = encoded(name)
    assert made.shape == states(name).shape
    assert float(torch.nn.functional.cosine_similarity(made, states(name), dim=-1).min()) > SAME_COSINE
    assert difference(made, states(name)) < CLOSE
    assert "attention_mask" not in extras


def test_prompt_weights_are_text_to_this_encoder() -> None:
    [section] = real_qwen.clip().tokenize(PROMPTS["weights"])[real_qwen.KEY]
    assert {weight for _, weight in section} == {1.0}
    assert "(golden:1.3)" in real_qwen.model().tokenizer.decode([token for token, _ in section])


def test_the_node_aligns_as_the_library_does() -> None:
    node, hand = by_node()[0], by_hand()
    assert list(node.spaces) == list(hand.spaces) == [SPACE]
    assert node.probe_prompts == hand.probe_prompts
    assert node.settings == hand.settings
    for name in ("r2", "cosine", "retrieval"):
        assert node.report[SPACE][name] == pytest.approx(hand.report[SPACE][name], abs=CLOSE)
    # The node has shown the encoder pictures too, and allows for words behind one.
    assert float(node.spaces[SPACE].encoder.fit_limit) >= float(hand.spaces[SPACE].encoder.fit_limit) * (1 - CLOSE)
    for part in (None, "tokens", "gate", "encoder"):
        expected, found = (one.spaces[SPACE] if part is None else getattr(one.spaces[SPACE], part) for one in (hand, node))
        for field in fields(expected):
            value = getattr(expected, field.name)
            if isinstance(value, torch.Tensor) and field.name != "fit_limit":
                assert difference(getattr(found, field.name), value) < CLOSE, field.name


def test_the_fit_is_found_again() -> None:
    fitted, read = by_node()
    assert fitted is not read
    assert fitted.content_hash == read.content_hash


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_gets_the_same_verdict_and_the_same_steering(name: str) -> None:
    flagged = check(encoded(name), states(name))
    if name in HARMLESS_PROMPTS:
        assert not flagged
    if name in UNSAFE_PROMPTS:
        assert flagged


@pytest.mark.parametrize("names", JOINED, ids=" + ".join)
def test_concatenated_prompts_get_the_same_verdict_and_the_same_steering(names: tuple[str, str]) -> None:
    first, second = names
    [joined] = running_comfyui.call("ConditioningConcat", conditioning_to=encoded(first), conditioning_from=encoded(second))
    flagged = check(joined, torch.cat([states(first), states(second)], dim=1))
    if first in UNSAFE_PROMPTS and second in UNSAFE_PROMPTS:
        assert flagged
    if first in HARMLESS_PROMPTS and second in HARMLESS_PROMPTS:
        assert not flagged


@pytest.mark.parametrize("operator", ["clip", "project", "add"])
def test_every_operator_steers_every_prompt_alike(operator: str) -> None:
    settings = {"operator": operator, "gate": "off", "strength": 2.0}
    for name in PROMPTS:
        [[steered, _]] = apply_conditioning(encoded(name), by_node()[0], **settings)
        [[same, _]] = by_library(encoded(name), by_node()[0], **settings)
        assert torch.equal(steered, same), name
        assert difference(steered, outcome_by_hand(states(name), **settings).tensors[SPACE]) < CLOSE, name


@cache
def generator() -> Any:
    """Make a small Qwen-Image model that takes this encoder's text."""
    return models.model("qwen_image", {SPACE: real_qwen.SIZES["hidden_size"]})


def sample(model: Any, positive: list[list[Any]]) -> torch.Tensor:
    settings = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    latent = models.latent("qwen_image")
    inputs = {"model": model, "positive": positive, "negative": encoded("empty"), "latent_image": latent}
    made: torch.Tensor = running_comfyui.call("KSampler", **inputs, **settings)[0]["samples"]
    return made


@pytest.mark.parametrize("name", PROMPTS)
def test_sampling_gets_the_steering_of_the_library(name: str) -> None:
    direction = by_node()[0]
    steered = sample(apply(generator(), direction), encoded(name))
    assert torch.isfinite(steered).all()
    assert torch.equal(steered, sample(generator(), by_library(encoded(name), direction)))
    assert torch.equal(steered, sample(generator(), encoded(name))) == (not outcome_by_hand(states(name)).changed)
