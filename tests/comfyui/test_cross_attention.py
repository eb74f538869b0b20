"""The cross-attention site: as the conditioning site where the strength is constant, smooth where it is not, refused where
a model's layers see another text."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import comfy.samplers
import pytest
import torch
from support.comfyui import tiny, words
from test_steering import SAMPLERS, apply, ksampler, prompts

SITE = {"site": "cross-attention"}
STATES_ONLY = {"operator": "add", "gate": "off"}


def states_only(kind: str) -> Any:
    """Return the aligned direction without pooled spaces, which this site leaves alone."""
    return running_comfyui.module("adapters.sampling.cross_attention").within_reach(tiny.aligned(kind))


@pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_constant_strength_gives_the_bits_of_the_conditioning_site(kind: str, sample: Any) -> None:
    model, aligned = tiny.model(kind), states_only(kind)
    positive, negative = prompts(kind)
    once = sample(kind, apply(model, aligned), positive, negative)
    every_step = sample(kind, apply(model, aligned, **SITE), positive, negative)
    assert torch.equal(once, every_step)
    assert not torch.equal(once, sample(kind, model, positive, negative))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_identity_laws_hold(kind: str) -> None:
    model, aligned = tiny.model(kind), tiny.aligned(kind)
    positive, negative = prompts(kind)
    harmless = tiny.encode(tiny.clip(kind), words.HARMLESS)
    plain = ksampler(kind, model, positive, negative)
    assert torch.equal(plain, ksampler(kind, apply(model, aligned, strength=0.0, **SITE), positive, negative))
    assert torch.equal(
        plain, ksampler(kind, apply(model, aligned, start_percent=0.5, end_percent=0.5, **SITE), positive, negative)
    )
    closed = ksampler(kind, apply(model, aligned, **SITE), harmless, negative)
    assert torch.equal(closed, ksampler(kind, model, harmless, negative))


def test_pooled_text_is_named_as_left_alone() -> None:
    shown: list[str] = []
    kind = "sdxl"
    positive, negative = prompts(kind)
    report = running_comfyui.module("adapters.node_text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "show", lambda _node, text, _type: shown.append(text))
        ksampler(kind, apply(tiny.model(kind), tiny.aligned(kind), **SITE), positive, negative)
    assert "left alone" in shown[-1]
    assert "pooled_output" in shown[-1]


def test_every_step_sees_the_steered_text_in_positive_rows_only() -> None:
    kind, seen = "wan", []
    positive, negative = prompts(kind)
    model = apply(tiny.model(kind), states_only(kind), **STATES_ONLY, **SITE)

    def spy(executor: Any, x: Any, t: Any, c_concat: Any, c_crossattn: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((c_crossattn, sorted(kwargs)))
        return executor(x, t, c_concat, c_crossattn, *args, **kwargs)

    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "spy", spy)
    ksampler(kind, model, positive, negative)
    assert len(seen) == 4
    for context, names in seen:
        assert torch.equal(context[0], negative[0][0][0])
        assert not torch.equal(context[1], positive[0][0][0])
        assert not [name for name in names if name.startswith("safety_steer")]


def test_strength_fades_smoothly_over_the_sampling() -> None:
    module = running_comfyui.module("adapters.sampling.fade_curve")
    window = running_comfyui.module("adapters.sampling.step_windows").Window
    knots = module.Curve(window(0.25, 0.75), 0.25).knots(lambda share: 1 - share)
    shares = [float(module.share_at(torch.tensor(sigma), knots)) for sigma in (1.0, 0.75, 0.625, 0.5, 0.375, 0.25, 0.1)]
    assert shares == pytest.approx([0, 0, 0.5, 1, 0.5, 0, 0], abs=1e-3)
    steep = module.Curve(window(0.25, 0.75)).knots(lambda share: 1 - share)
    assert [float(module.share_at(torch.tensor(sigma), steep)) for sigma in (0.76, 0.75, 0.5, 0.25, 0.24)] == [0, 1, 1, 1, 0]
    whole = module.Curve(window(0.0, 1.0), 0.5).knots(lambda share: 1 - share)
    assert [float(module.share_at(torch.tensor(sigma), whole)) for sigma in (1.0, 0.5, 0.0)] == [1, 1, 1]


def test_a_fade_changes_the_picture_and_lies_between_none_and_all() -> None:
    kind = "wan"
    model, aligned = tiny.model(kind), states_only(kind)
    positive, negative = prompts(kind)
    sampled = {
        name: ksampler(kind, apply(model, aligned, **STATES_ONLY, **SITE, **settings), positive, negative)
        for name, settings in {"all": {}, "half": {"end_percent": 0.6}, "fading": {"end_percent": 0.6, "fade": 0.6}}.items()
    }
    sampled["none"] = ksampler(kind, model, positive, negative)
    names = list(sampled)
    for index, one in enumerate(names):
        assert all(not torch.equal(sampled[one], sampled[other]) for other in names[index + 1 :])


def test_blocks_of_a_unet_are_steered_apart() -> None:
    kind = "sd15"
    model, aligned = tiny.model(kind), states_only(kind)
    positive, negative = prompts(kind)
    plain = ksampler(kind, model, positive, negative)
    everywhere = ksampler(kind, apply(model, aligned, **SITE), positive, negative)
    parts = ksampler(kind, apply(model, aligned, blocks="input, middle, output", **SITE), positive, negative)
    middle = ksampler(kind, apply(model, aligned, blocks="middle", **SITE), positive, negative)
    nowhere = ksampler(kind, apply(model, aligned, blocks="input 90", **SITE), positive, negative)
    assert torch.equal(parts, everywhere)
    assert torch.equal(nowhere, plain)
    assert not torch.equal(middle, plain)
    assert not torch.equal(middle, everywhere)


@pytest.mark.parametrize(("blocks", "message"), [("some", "Expected blocks like"), ("output x", "Expected blocks like")])
def test_blocks_that_cannot_be_read_are_a_clear_error(blocks: str, message: str) -> None:
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    with pytest.raises(error, match=message):
        apply(tiny.model("sd15"), tiny.aligned("sd15"), blocks=blocks, **SITE)


def test_blocks_of_another_kind_of_model_are_refused() -> None:
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    with pytest.raises(error, match="U-Nets only"):
        apply(tiny.model("wan"), tiny.aligned("wan"), blocks="middle", **SITE)


def test_a_model_whose_layers_see_another_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "wan"
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    model = tiny.model(kind)
    original = model.model.extra_conds

    def adapted(**values: Any) -> Any:
        conds = original(**values)
        conds["c_crossattn"] = type(conds["c_crossattn"])(conds["c_crossattn"].cond * 2)
        return conds

    monkeypatch.setattr(model.model, "extra_conds", adapted)
    positive, negative = prompts(kind)
    with pytest.raises(error, match=r"text of its own.*Set site to 'conditioning'"):
        ksampler(kind, apply(model, tiny.aligned(kind), **SITE), positive, negative)


def test_unequal_lengths_and_batches_are_steered_alike() -> None:
    kind = "sd15"
    model, aligned = tiny.model(kind), states_only(kind)
    positive, _ = prompts(kind)
    negative = tiny.encode(tiny.clip(kind), " ".join(["blurry and dark"] * 40))
    assert negative[0][0].shape[1] > positive[0][0].shape[1]
    once = ksampler(kind, apply(model, aligned), positive, negative)
    assert torch.equal(once, ksampler(kind, apply(model, aligned, **SITE), positive, negative))


def test_an_area_prompt_leaves_the_rest_alone() -> None:
    kind = "sd15"
    model, aligned = tiny.model(kind), states_only(kind)
    positive, negative = prompts(kind)
    area = [[states, {**extras, "area": (4, 4, 0, 0)}] for states, extras in positive]
    both = area + tiny.encode(tiny.clip(kind), words.HARMLESS)
    once = ksampler(kind, apply(model, aligned), both, negative)
    assert torch.equal(once, ksampler(kind, apply(model, aligned, **SITE), both, negative))


def test_each_step_costs_one_pass_over_the_context_and_reads_nothing_back() -> None:
    names = ("cross_attention", "steered_variants", "fade_curve", "step_windows")
    module, variants, curve, windows = (running_comfyui.module(f"adapters.sampling.{name}") for name in names)
    counted: list[str] = []

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counted.append(str(function))
            return function(*args, **(kwargs or {}))

    layer = module.Layer(curve.Curve(windows.Window(0.1, 0.9), 0.1), None)
    context = torch.randn(2, 77, 32)
    values = {"c_crossattn": context, variants.condition(1, "c_crossattn"): context + 1}
    options = {module.STATE: module.Run((layer,), ((0.9, 0.8, 0.3, 0.1),))}
    with Count():
        module._steer_step(
            lambda *_: None, torch.zeros(2, 4), torch.full((2,), 0.5), None, transformer_options=options, **values
        )
    assert sum("lerp" in name for name in counted) == 1
    assert not [name for name in counted if "local_scalar" in name or "item" in name or "nonzero" in name]
    assert len(counted) < 25
