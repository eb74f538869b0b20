"""Safety Report: what is reported is what was steered, at the right time, and nothing changes by it."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import tiny, words
from support.comfyui.reporting import CATEGORIES, KEPT, _keeper, measured, reported, settings, with_report  # noqa: F401
from test_queue import LATENTS, _loaders, graph, node  # noqa: F401
from test_steering import apply_conditioning, prompts

NOTHING = {"strength 0": {"strength": 0.0}, "a closed gate": {"prompt": words.HARMLESS}}


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_report_after_sampling_says_which_words_moved_and_how_far(kind: str) -> None:
    queue = running_comfyui.Queue()
    outputs = queue.run(with_report(graph(kind), clip=["load", 1]))
    order = queue.executed
    assert order.index("apply") < order.index("sample") < order.index("report")
    [found] = reported()
    assert found.flagged
    assert found.category in CATEGORIES
    assert found.after.score < found.before.score
    before = prompts(kind)[0]
    steered = apply_conditioning(before, tiny.aligned(kind))
    space = found.shown
    moved = (steered[0][0] - before[0][0]).norm(dim=-1) / before[0][0].norm(dim=-1).clamp(min=1e-12)
    assert torch.allclose(torch.tensor(space.moved), moved[0], atol=1e-5)
    assert any(space.moved)
    assert [word.text for word in space.words if not word.special] == words.DANGEROUS.split()
    assert all(by > 0 for by, gone in zip(space.moved, space.erased, strict=True) if gone)
    assert any(space.erased)
    [picture] = outputs["report"]["images"]
    assert picture["type"] == "temp"
    assert KEPT["report text"].startswith("Flagged as ")


def test_what_comes_in_at_after_goes_out_unchanged() -> None:
    made = with_report(graph("sd15"))
    made["keep"]["inputs"]["latent"] = ["report", 3]
    running_comfyui.Queue().run(made)
    running_comfyui.Queue().run(graph("sd15"))
    assert torch.equal(*LATENTS)


def test_a_second_queue_runs_nothing_and_another_theme_only_the_report() -> None:
    queue = running_comfyui.Queue()
    queue.run(with_report(graph("sd15")))
    first = KEPT["report"]
    queue.run(with_report(graph("sd15")))
    assert queue.executed == []
    queue.run(with_report(graph("sd15"), theme="light"))
    assert set(queue.executed) == {"report"} | {name for name in queue.executed if name.startswith("report ")}
    assert KEPT["report"] == first


def test_another_prompt_in_the_same_sampler_replaces_what_was_reported() -> None:
    queue = running_comfyui.Queue()
    queue.run(with_report(graph("sd15")))
    queue.run(with_report(graph("sd15", prompt=words.HARMLESS)))
    assert "apply" not in queue.executed
    [found] = reported()
    assert not found.flagged
    assert KEPT["report text"].startswith("Not flagged: nothing was changed.")


@pytest.mark.parametrize("changes", NOTHING.values(), ids=NOTHING)
def test_where_nothing_was_changed_the_report_says_so_and_the_bits_are_those_of_the_unpatched_graph(
    changes: dict[str, Any],
) -> None:
    running_comfyui.Queue().run(with_report(graph("sd15", **changes)))
    plain = graph("sd15", **changes)
    plain["sample"]["inputs"]["model"] = ["load", 0]
    running_comfyui.Queue().run(plain)
    assert torch.equal(*LATENTS)
    [found] = reported()
    assert not found.changed
    assert all(space.before == space.after for space in found.spaces)
    assert found.before == found.after
    assert "nothing was changed" in KEPT["report text"]


def test_a_report_makes_no_difference_to_a_steered_latent() -> None:
    running_comfyui.Queue().run(with_report(graph("sd15"), clip=["load", 1]))
    running_comfyui.Queue().run(graph("sd15"))
    assert torch.equal(*LATENTS)


def two_samplers() -> dict[str, Any]:
    made = graph("sd15")
    made["other prompt"] = node("CLIPTextEncode", clip=["load", 1], text=words.HARMLESS)
    made["other"] = node("KSampler", **{**made["sample"]["inputs"], "positive": ["other prompt", 0]})
    return made


def test_of_two_samplers_each_report_shows_the_one_before_it() -> None:
    made = with_report(with_report(two_samplers()), "other report", sampler="other")
    running_comfyui.Queue().run(made)
    assert [one.flagged for one in reported()] == [True]
    assert [one.flagged for one in reported("other report")] == [False]


def test_a_sampler_after_a_sampler_is_reported_with_it() -> None:
    made = two_samplers()
    made["other"]["inputs"]["latent_image"] = ["sample", 0]
    running_comfyui.Queue().run(with_report(made, sampler="other"))
    assert [one.flagged for one in reported()] == [True, False]


def test_without_after_or_a_sampler_before_it_the_picture_says_what_to_connect() -> None:
    made = with_report(graph("sd15"), sampler=None)
    running_comfyui.Queue().run({name: made[name] for name in made if name not in ("sample", "keep")})
    assert reported() == []
    assert "Connect what your sampler makes" in KEPT["report text"]
    made = with_report(graph("sd15"))
    made["sample"]["inputs"]["model"] = ["load", 0]
    running_comfyui.Queue().run(made)
    assert "No sampler behind Apply Safety Steer led to this" in KEPT["report text"]


def test_several_prompts_of_one_sampler_are_reported_in_order() -> None:
    made = with_report(graph("sd15"), clip=["load", 1])
    made["other prompt"] = node("CLIPTextEncode", clip=["load", 1], text=words.HARMLESS)
    made["both"] = node("ConditioningCombine", conditioning_1=["other prompt", 0], conditioning_2=["positive", 0])
    made["sample"]["inputs"]["positive"] = ["both", 0]
    running_comfyui.Queue().run(made)
    first, second = reported()
    assert (first.flagged, second.flagged) == (False, True)
    texts = [" ".join(word.text for word in one.shown.words if not word.special) for one in (first, second)]
    assert texts == [words.HARMLESS, words.DANGEROUS]


def test_the_conditioning_node_reports_at_once() -> None:
    made = graph("sd15")
    made["apply"] = node("ApplySafetySteerConditioning", conditioning=["positive", 0], direction=["mixer", 0], **settings())
    made = with_report(made, sampler=None, clip=["load", 1])
    running_comfyui.Queue().run({name: made[name] for name in made if name not in ("sample", "keep", "negative")})
    [found] = reported()
    assert found.changed
    assert [word.text for word in found.shown.words if not word.special] == words.DANGEROUS.split()


@pytest.mark.parametrize("site", ["conditioning", "cross-attention"])
def test_both_sites_report_alike(site: str) -> None:
    made = with_report(graph("wan"))
    made["apply"]["inputs"] |= {"site": site, "fade": 0.0, "blocks": ""}
    running_comfyui.Queue().run(made)
    [found] = reported()
    assert found.flagged
    _, log = running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=prompts("wan")[0], direction=tiny.aligned("wan"), **settings()
    )
    assert found.spaces[0].moved == measured(log)[0].spaces[0].moved


@pytest.mark.parametrize("site", ["conditioning", "cross-attention"])
def test_a_window_without_steps_changes_nothing_and_says_so(site: str) -> None:
    made = with_report(graph("wan"))
    made["apply"]["inputs"] |= {"site": site, "fade": 0.0, "blocks": "", "start_percent": 0.5, "end_percent": 0.5}
    running_comfyui.Queue().run(made)
    [found] = reported()
    assert found.flagged
    assert not found.changed


def test_a_prompt_that_no_widget_holds_can_be_given() -> None:
    made = with_report(graph("sd15"), clip=["load", 1], prompt=words.DANGEROUS)
    made["keep"]["inputs"]["latent"] = ["sample", 0]
    made["join"] = node("StringConcatenate", string_a=words.DANGEROUS[:20], string_b=words.DANGEROUS[20:], delimiter="")
    made["positive"]["inputs"]["text"] = ["join", 0]
    running_comfyui.Queue().run(made)
    assert reported()[0].shown.words
    made = with_report(made, clip=["load", 1])
    running_comfyui.Queue().run(made)
    assert not reported()[0].shown.words


@pytest.mark.parametrize("name", ["SafetyReport", "SafetyScore"])
def test_an_unknown_theme_is_an_error(name: str) -> None:
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    conditioning = prompts("sd15")[0]
    _, log = running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=conditioning, direction=tiny.aligned("sd15"), **settings()
    )
    inputs = {"report": log} if name == "SafetyReport" else {"direction": tiny.aligned("sd15"), "conditioning": conditioning}
    with pytest.raises(error, match=f"Expected theme dark or light, but got 'pink'. Change theme on Safety {name[6:]}"):
        running_comfyui.call(name, theme="pink", **inputs)


def test_text_embeds_of_the_wan_nodes_are_reported() -> None:
    from test_wan_wrapper import SETTINGS, text_embeds

    embeds = text_embeds(words.HARMLESS, words.DANGEROUS)
    _, log = running_comfyui.call("ApplySafetySteerWanVideo", text_embeds=embeds, direction=tiny.aligned("wan"), **SETTINGS)
    assert [(one.flagged, one.changed) for one in measured(log)] == [(False, False), (True, True)]


def test_the_graph_before_an_input_is_found_nearest_first() -> None:
    graphs = running_comfyui.module("adapters.queued_prompt")
    made = with_report(graph("sd15"))
    assert graphs.before(made, "report", ("after",))[:2] == ["sample", "apply"]
    assert graphs.before(made, "report", ("report",))[0] == "apply"
    assert graphs.before(made, "report", ("clip",)) == []
    assert graphs.before({}, None, ("after",)) == []
    looped = {"1": node("A", x=["2", 0]), "2": node("B", x=["1", 0], y=["gone", 0], z=[1, 2])}
    assert graphs.before(looped, "1", ("x",)) == ["2", "1"]
    texts = graphs.typed_texts(made, graphs.before(made, "report", ("after",)))
    assert texts[:2] == [words.DANGEROUS, "blurry"]
    assert "euler" in texts
