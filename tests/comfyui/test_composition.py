"""Steering keeps its promises beside whatever else a workflow contains.

The steered sample has the bits of library-steered positive conditioning in the unpatched graph, strength 0 has the bits of
the unpatched graph, and steering changes the sample. Weights on another device than the sampler's take a GPU to test.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import pytest
import torch
from support.comfyui import situations, tiny, words
from support.comfyui.situations import SITES, SITUATIONS, Situation, encode, reachable
from test_steering import apply, by_library

# The node under test comes last on the MODEL wire, as its description asks, or first.
CASES = [
    (name, site, order)
    for name, situation in SITUATIONS.items()
    for site in situation.sites
    for order in (("last", "first") if situation.patch else ("last",))
]
# No step falls between these shares of the sampling.
NO_STEP = {"start_percent": 0.26, "end_percent": 0.27}


@cache
def prompts_of(name: str) -> situations.Prompts:
    return SITUATIONS[name].encoded()


@cache
def expected(name: str, site: str) -> torch.Tensor:
    """Sample library-steered conditioning in the unpatched graph."""
    graph = SITUATIONS[name]
    first, second = prompts_of(name)
    steered = by_library(first, reachable(graph.direction(graph.kind), site))
    return graph.sample(graph.patched(graph.make(graph.kind)), (steered, second))


@cache
def without(name: str) -> torch.Tensor:
    """Sample the graph without the node under test."""
    graph = SITUATIONS[name]
    return graph.sample(graph.patched(graph.make(graph.kind)), prompts_of(name))


@pytest.mark.parametrize(
    "name", [name for name, graph in SITUATIONS.items() if graph != Situation(graph.kind, shape=graph.shape)]
)
def test_what_the_graph_contains_matters(name: str) -> None:
    bare = Situation(SITUATIONS[name].kind, shape=SITUATIONS[name].shape)
    assert not torch.equal(without(name), bare.sample(tiny.model(bare.kind), bare.encoded()))


def test_with_little_vram_no_layer_is_loaded_for_good() -> None:
    graph = SITUATIONS["little VRAM"]
    model = graph.make(graph.kind)
    assert torch.equal(graph.sample(model, prompts_of("little VRAM")), without("LoRA"))
    assert model.model.model_lowvram
    assert model.model.lowvram_patch_counter == len(model.patches)


@pytest.mark.parametrize(("name", "site", "order"), CASES)
def test_a_graph_gives_the_bits_of_library_steered_conditioning(name: str, site: str, order: str) -> None:
    graph = SITUATIONS[name]
    model, prompts, direction = graph.make(graph.kind), prompts_of(name), reachable(graph.direction(graph.kind), site)

    def steered(**settings: Any) -> torch.Tensor:
        if order == "first":
            return graph.sample(graph.patched(apply(model, direction, site=site, **settings)), prompts)
        return graph.sample(apply(graph.patched(model), direction, site=site, **settings), prompts)

    assert torch.isfinite(without(name)).all()
    assert torch.equal(steered(), expected(name, site))
    assert torch.equal(steered(strength=0.0), without(name))
    assert not torch.equal(expected(name, site), without(name))


@pytest.mark.parametrize(("name", "site"), [(name, site) for name, site, order in CASES if order == "last"])
def test_a_window_that_holds_no_step_gives_the_bits_of_the_unpatched_graph(name: str, site: str) -> None:
    graph = SITUATIONS[name]
    model = apply(graph.patched(graph.make(graph.kind)), graph.direction(graph.kind), site=site, **NO_STEP)
    assert torch.equal(graph.sample(model, prompts_of(name)), without(name))


# Graphs in which ComfyUI makes entries of its own out of the prompts', each with the area of one and the text of another.
SHARED_AREAS = ("area", "area of the negative", "mask bounds")
GRAPHS = {**{kind: Situation(kind) for kind in tiny.KINDS}, **{name: SITUATIONS[name] for name in SHARED_AREAS}}


@pytest.mark.parametrize("window", [(0.3, 0.7), (0.25, 0.75)], ids=["steps within", "steps on the edges"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_both_sites_steer_the_same_steps(graph: Situation, window: tuple[float, float]) -> None:
    direction = reachable(tiny.aligned(graph.kind), SITES[1])
    settings = {"start_percent": window[0], "end_percent": window[1]}
    models = [apply(graph.make(graph.kind), direction, site=site, **settings) for site in SITES]
    both = [graph.sample(model, graph.encoded(), steps=4) for model in models]
    assert torch.equal(*both)
    assert not torch.equal(both[0], graph.sample(graph.make(graph.kind), graph.encoded(), steps=4))


GUIDERS = {
    "CFGGuider": (situations.cfg_guider, ["positive", "negative"]),
    "DualCFGGuider": (situations.dual_guider, ["negative", "middle", "positive"]),
    "PerpNegGuider": (situations.perp_neg_guider, ["positive", "negative", "empty"]),
}


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("guider", "roles"), GUIDERS.values(), ids=GUIDERS)
def test_of_a_guiders_prompts_the_positive_alone_is_steered(guider: Any, roles: list[str], site: str) -> None:
    """`roles` are named in the order in which the guider computes them. All of them say the same, flagged prompt here."""
    seen: dict[str, set[str]] = {}
    prompt, direction = encode(words.DANGEROUS), reachable(tiny.aligned("sd15"), site)
    [[plain, _]], [[steered, _]] = prompt, by_library(prompt, direction)

    def spy(executor: Any, x: Any, t: Any, concat: Any, text: Any, control: Any, options: Any, **kwargs: Any) -> Any:
        for row, role in zip(text, options["cond_or_uncond"], strict=True):
            [found] = [name for name, states in (("plain", plain), ("steered", steered)) if torch.equal(row, states[0])]
            seen.setdefault(roles[role], set()).add(found)
        return executor(x, t, concat, text, control, options, **kwargs)

    model = apply(tiny.model("sd15"), direction, site=site)
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "spy", spy)
    situations.sample(guider(model, prompt, prompt, words.DANGEROUS), tiny.LATENTS["sd15"])
    assert seen == {role: {"steered" if role == "positive" else "plain"} for role in roles}


def test_the_cross_attention_site_leaves_the_text_of_a_controlnet_alone() -> None:
    """The conditioning site reaches it: see the situation."""
    graph, direction = SITUATIONS["ControlNet"], reachable(tiny.aligned("sd15"), SITES[1])
    first, second = Situation().encoded()
    own = [[states, {**extras, "cross_attn_controlnet": states}] for states, extras in first + second]
    steered = by_library(own[:1], direction)
    told_apart = graph.sample(tiny.model("sd15"), situations.controlled((steered, own[1:])))
    sampled = graph.sample(apply(tiny.model("sd15"), direction, site=SITES[1]), graph.encoded())
    assert torch.equal(sampled, told_apart)
    assert not torch.equal(sampled, expected("ControlNet", SITES[0]))
    assert not torch.equal(sampled, without("ControlNet"))


@pytest.mark.parametrize("site", SITES)
def test_a_lora_that_moves_the_clip_far_needs_its_own_alignment(site: str) -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    encoder = situations.clip_with_lora(0.5)
    prompts = encode(words.DANGEROUS, encoder), encode("blurry", encoder)
    told = r"benign deviations .* Align the direction with the CLIP that made this conditioning\. If .* the prompt repeats"
    with pytest.raises(error, match=told):
        Situation().sample(apply(tiny.model("sd15"), tiny.aligned("sd15"), site=site), prompts)


IN_A_ROW: list[dict[str, Any]] = [
    {"operator": "add", "gate": "off", "strength": 0.5},
    {"operator": "project", "gate": "off"},
]
WINDOWS = {
    "both always": [(0.0, 1.0), (0.0, 1.0)],
    "one after the other": [(0.0, 0.5), (0.5, 1.0)],
    "overlapping": [(0.25, 0.75), (0.5, 1.0)],
    "the second now and then": [(0.0, 1.0), (0.25, 0.5)],
}


def in_a_row(model: Any, sites: list[str], windows: list[tuple[float, float]]) -> Any:
    direction = reachable(tiny.aligned("sd15"), SITES[1])
    for site, window, settings in zip(sites, windows, IN_A_ROW, strict=True):
        model = apply(model, direction, site=site, start_percent=window[0], end_percent=window[1], **settings)
    return model


@pytest.mark.parametrize("second", SITES)
@pytest.mark.parametrize("first", SITES)
def test_two_apply_nodes_in_a_row_both_act(first: str, second: str) -> None:
    graph, direction = Situation(), reachable(tiny.aligned("sd15"), SITES[1])
    model, (prompt, other) = tiny.model("sd15"), graph.encoded()
    twice = in_a_row(model, [first, second], WINDOWS["both always"])
    by_hand = by_library(by_library(prompt, direction, **IN_A_ROW[0]), direction, **IN_A_ROW[1])
    assert torch.equal(graph.sample(twice, (prompt, other)), graph.sample(model, (by_hand, other)))


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("graph", [Situation(), SITUATIONS["area of the negative"]], ids=["plain", "area of the negative"])
def test_two_apply_nodes_in_a_row_steer_the_same_steps_at_all_sites(
    graph: Situation, windows: list[tuple[float, float]]
) -> None:
    pairs = [[first, second] for first in SITES for second in SITES]
    sampled = [graph.sample(in_a_row(tiny.model("sd15"), sites, windows), graph.encoded(), steps=4) for sites in pairs]
    assert all(torch.equal(sampled[0], other) for other in sampled[1:])
    assert not torch.equal(sampled[0], graph.sample(tiny.model("sd15"), graph.encoded(), steps=4))


def test_two_apply_nodes_in_a_row_steer_blocks_of_their_own() -> None:
    graph, direction = Situation(), reachable(tiny.aligned("sd15"), SITES[1])

    def sampled(*blocks: str) -> torch.Tensor:
        model = tiny.model("sd15")
        for chosen, settings in zip(blocks, IN_A_ROW, strict=True):
            model = apply(model, direction, site=SITES[1], blocks=chosen, **settings)
        return graph.sample(model, graph.encoded())

    whole = "input, middle, output"
    everywhere = sampled("", "")
    assert torch.equal(sampled(whole, ""), everywhere)
    assert torch.equal(sampled("", whole), everywhere)
    assert torch.equal(sampled(whole, whole), everywhere)
    assert torch.equal(sampled("middle", "output 90"), sampled("middle", "input 90"))
    apart = [sampled("middle", ""), sampled("", "middle"), sampled("middle", "output"), everywhere]
    for index, one in enumerate(apart):
        assert all(not torch.equal(one, other) for other in apart[index + 1 :])


def test_too_many_nodes_in_a_row_are_refused() -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    model, direction = tiny.model("sd15"), reachable(tiny.aligned("sd15"), SITES[1])
    for _ in range(running_comfyui.module("adapters.sampling.cross_attention").LAYERS):
        model = apply(model, direction, site=SITES[1])
    with pytest.raises(error, match=r"At most 4 nodes.*Set site to 'conditioning'"):
        apply(model, direction, site=SITES[1])
