"""A second text of an entry, as Wan Animate 2 has one for its pose: steered like the prompt, for every role that carries it."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import pytest
import torch
from support.comfyui import situations, tiny, words
from test_steering import DEFAULTS, Conditioning, apply, apply_conditioning, ksampler

KEY, STEERED = "cross_attn_pose", "safety_steered"


def states(text: str) -> torch.Tensor:
    [[made, _]] = situations.encode(text)
    return made


def posed(text: str, pose: torch.Tensor) -> Conditioning:
    """Encode a prompt and hang a text of a pose on it."""
    return [[made, {**extras, KEY: pose}] for made, extras in situations.encode(text)]


def aligned() -> Any:
    return tiny.aligned("sd15")


def test_a_copy_of_the_prompt_becomes_what_the_prompt_becomes(caplog: pytest.LogCaptureFixture) -> None:
    pose = states(words.DANGEROUS)
    kept = pose.clone()
    with caplog.at_level("INFO", "safety_steer"):
        [[steered, extras]] = apply_conditioning(posed(words.DANGEROUS, pose), aligned())
    assert not torch.equal(steered, kept)
    assert torch.equal(extras[KEY], steered)
    assert torch.equal(pose, kept)
    assert f"{KEY}, which is text too:" in caplog.text
    assert "only partly reached" not in caplog.text


def test_a_text_of_its_own_is_steered_by_what_it_says_itself() -> None:
    harmless, dangerous = states(words.HARMLESS), states(words.DANGEROUS)
    [[expected, _]] = apply_conditioning(situations.encode(words.DANGEROUS), aligned())
    given = posed(words.HARMLESS, dangerous)
    [[steered, extras]] = apply_conditioning(given, aligned())
    assert steered is given[0][0]
    assert torch.equal(extras[KEY], expected)
    [[steered, extras]] = apply_conditioning(posed(words.DANGEROUS, harmless), aligned())
    assert torch.equal(steered, expected)
    assert extras[KEY] is harmless


@pytest.mark.parametrize(("text", "reports"), [(words.HARMLESS, 2), (words.DANGEROUS, 1)])
def test_a_text_of_its_own_has_a_report_of_its_own(text: str, reports: int) -> None:
    given = posed(text, states(words.DANGEROUS))
    log = running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=given, direction=aligned(), **DEFAULTS, preserve_norm=False
    )[1]
    assert len(log.records()) == reports


@pytest.mark.parametrize(("text", "settings"), [(words.DANGEROUS, {"strength": 0.0}), (words.HARMLESS, {"operator": "add"})])
def test_strength_0_and_a_closed_gate_give_the_text_itself_back(text: str, settings: dict[str, Any]) -> None:
    given = posed(text, states(text))
    [[steered, extras]] = apply_conditioning(given, aligned(), **settings)
    assert steered is given[0][0]
    assert extras[KEY] is given[0][1][KEY]
    assert STEERED not in extras


def test_a_text_of_another_width_is_named_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    pose = torch.ones(1, 5, 7)
    with caplog.at_level("INFO", "safety_steer"):
        [[_, extras]] = apply_conditioning(posed(words.DANGEROUS, pose), aligned())
    assert extras[KEY] is pose
    assert f"the model also reads {KEY}" in caplog.text


def test_a_text_of_another_encoder_is_refused() -> None:
    pose = 1e4 * torch.ones_like(states(words.HARMLESS))
    with pytest.raises(running_comfyui.module("safety_steer.errors").MismatchError, match=f"The model also reads {KEY}"):
        apply_conditioning(posed(words.HARMLESS, pose), aligned())


@pytest.mark.parametrize("site", situations.SITES)
@pytest.mark.parametrize("own", [False, True], ids=["the positive's", "its own"])
def test_what_a_negative_carries_of_the_positive_is_steered_and_nothing_else_of_it(own: bool, site: str) -> None:
    seen: list[dict[str, Any]] = []

    def spy(executor: Any, *_args: Any, **_kwargs: Any) -> Any:
        seen.append(dict(executor.class_obj.conds))
        raise StopIteration

    pose = states(words.DANGEROUS)
    theirs = states("a dark grenade missile cannon") if own else pose
    negative = posed("blurry", theirs)
    model = apply(tiny.model("sd15"), situations.reachable(aligned(), site), site=site)
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "spy", spy)
    with pytest.raises(StopIteration):  # This model reads no text of a pose.
        ksampler("sd15", model, posed(words.DANGEROUS, pose), negative)
    [conds] = seen
    assert torch.equal(conds["negative"][0]["cross_attn"], negative[0][0])
    texts = [_text(conds[role][0], site) for role in ("positive", "negative")]
    if own:
        assert torch.equal(texts[1], theirs)
    else:
        assert torch.equal(*texts)
    assert not torch.equal(texts[0], pose)


def _text(entry: dict[str, Any], site: str) -> torch.Tensor:
    """Return the text of an entry's pose as steered."""
    if site == "conditioning":
        return entry[KEY]
    found = entry.get("model_conds", {}).get("safety_steer_target_1_context_pose")
    made: torch.Tensor = entry[KEY] if found is None else found.cond
    return made
