"""Safety Report and Safety Score: what is reported is what was steered, at the right time, and nothing changes by it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import comfy.samplers
import pytest
import torch
from support.comfyui import situations, tiny, words
from test_queue import LATENTS, _loaders, graph, node  # noqa: F401
from test_steering import DEFAULTS, apply_conditioning, ksampler, prompts

import nodes

KEPT: dict[str, Any] = {}
CATEGORIES = {"weapons", "fire"}
NOTHING = {"strength 0": {"strength": 0.0}, "a closed gate": {"prompt": words.HARMLESS}}


class TinyText:
    """Ends a graph and keeps a text."""

    RETURN_TYPES = ()
    FUNCTION = "keep"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"text": ("STRING", {"forceInput": True}), "name": ("STRING", {})}}

    def keep(self, text: str, name: str) -> dict[str, Any]:
        KEPT[name] = text
        return {}


@pytest.fixture(autouse=True)
def _keeper() -> Any:
    KEPT.clear()
    nodes.NODE_CLASS_MAPPINGS["TinyText"] = TinyText
    yield
    del nodes.NODE_CLASS_MAPPINGS["TinyText"]


def with_report(made: dict[str, Any], name: str = "report", sampler: str | None = "sample", **inputs: Any) -> dict[str, Any]:
    """Add a Safety Report to a graph, and keep its data."""
    after = {} if sampler is None else {"after": [sampler, 0]}
    made[name] = node("SafetyReport", report=["apply", 1], **{"theme": "dark", **after, **inputs})
    made[f"{name} data"] = node("TinyText", text=[name, 2], name=name)
    made[f"{name} text"] = node("TinyText", text=[name, 1], name=f"{name} text")
    return made


def reported(name: str = "report") -> list[Any]:
    """Return the reports of the last run, read back from their JSON."""
    library = running_comfyui.module("safety_steer.reports.safety_report").SafetyReport
    return [library.parse(document) for document in json.loads(KEPT[name])["prompts"]]


def log_of(model_inputs: dict[str, Any]) -> tuple[Any, Any]:
    patched, log = running_comfyui.call("ApplySafetySteer", **{**DEFAULTS, "preserve_norm": False, **model_inputs})
    return patched, log


def measured(log: Any) -> list[Any]:
    library = running_comfyui.module("safety_steer.reports.safety_report")
    return [one for record in log.records() for one in library.measure(record, log.direction)]


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


def test_the_same_text_sampled_again_in_one_node_is_reported_once() -> None:
    patched, log = log_of({"model": tiny.model("sd15"), "direction": tiny.aligned("sd15")})
    positive, negative = prompts("sd15")
    context = import_module("comfy_execution.utils").CurrentNodeContext
    with context("queue 1", "12"):
        for _ in range(3):
            ksampler("sd15", patched, positive, negative)
    assert len(log.records()) == 1
    with context("queue 2", "12"):
        ksampler("sd15", patched, tiny.encode(tiny.clip("sd15"), words.HARMLESS), negative)
    assert [one.flagged for one in measured(log)] == [False]
    with context("queue 2", "13.0.1"):
        ksampler("sd15", patched, positive, negative)
    assert len(log.records()) == 2
    assert len(log.records(["13"])) == len(log.records(["12"])) == 1
    assert log.records(["1"]) == []


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


@pytest.mark.parametrize("pooled", [1, 2])
def test_every_row_of_a_batch_of_prompts_is_reported(pooled: int) -> None:
    batch = [tiny.encode(tiny.clip("sd15"), text)[0] for text in (words.DANGEROUS, words.HARMLESS)]
    extras = {"pooled_output": torch.cat([extras["pooled_output"] for _, extras in batch[:pooled]])}
    together = [[torch.cat([states for states, _ in batch]), extras]]
    _, log = running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=together, direction=tiny.aligned("sd15"), **settings()
    )
    assert [one.flagged for one in measured(log)] == [True, False]
    assert [one.changed for one in measured(log)] == [True, False]
    assert [any(one.shown.moved) for one in measured(log)] == [True, False]


def settings(**changes: Any) -> dict[str, Any]:
    return {**DEFAULTS, "preserve_norm": False, **changes}


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


def test_an_interrupted_run_leaves_no_trace() -> None:
    patched, log = log_of({"model": tiny.model("sd15"), "direction": tiny.aligned("sd15")})
    guider = situations.Situation().guider(patched, *prompts("sd15"))

    def interrupt(*_: Any) -> None:
        comfy.model_management.interrupt_current_processing(True)
        comfy.model_management.throw_exception_if_processing_interrupted()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        situations.sample(guider, tiny.LATENTS["sd15"], callback=interrupt)
    assert log.records() == []
    situations.sample(guider, tiny.LATENTS["sd15"])
    assert len(log.records()) == 1


def test_a_log_keeps_the_tensors_it_has_seen_and_makes_no_copies_of_them() -> None:
    patched, log = log_of({"model": tiny.model("sd15"), "direction": tiny.aligned("sd15")})
    positive, negative = prompts("sd15")
    harmless = tiny.encode(tiny.clip("sd15"), words.HARMLESS)
    ksampler("sd15", patched, harmless, negative)
    [record] = log.records()
    assert record.before["cross_attn"] is record.after["cross_attn"] is harmless[0][0]
    ksampler("sd15", patched, positive, negative)
    [record] = log.records()
    assert record.before["cross_attn"] is positive[0][0]
    assert {tensor.device.type for part in (record.before, record.after, record.erased) for tensor in part.values()} == {"cpu"}


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "wan", "flux", "pixart"])
def test_words_are_found_with_the_tokenizer_of_the_clip(kind: str) -> None:
    prompt, clip = "a weathered lighthouse, by the sea", tiny.clip(kind)
    conditioning = tiny.encode(clip, prompt)
    found = word_lists(clip, ["another text", prompt], conditioning)
    named = found["cross_attn"]
    text = "".join(word.text for word in named if not word.special)
    assert text == prompt.replace(" ", "")
    assert named[-1].stop == conditioning[0][0].shape[1]
    assert [word.first for word in named[1:]] == [word.stop for word in named[:-1]]


def word_lists(clip: Any, texts: list[str], conditioning: Any) -> Any:
    report, module = (
        running_comfyui.module("safety_steer.reports.safety_report"),
        running_comfyui.module("adapters.clip.prompt_words"),
    )
    states = conditioning[0][0]
    kept = {"cross_attn": states}
    place = running_comfyui.module("safety_steer.directions.text_spaces").Place("cross_attn")
    direction = SimpleNamespace(places={"cross_attn": place})
    return module.find_words(clip, texts, [report.Record(kept, kept)], direction)[0]


def test_words_are_never_guessed() -> None:
    clip, other = tiny.clip("sd15"), tiny.clip("sd15", seed=5)
    conditioning = tiny.encode(clip, words.DANGEROUS)
    assert word_lists(clip, [words.HARMLESS, ""], conditioning) == {}
    assert word_lists(other, [words.DANGEROUS], conditioning) == {}
    assert word_lists(clip, [words.DANGEROUS], [[conditioning[0][0] * 1.5, {}]]) == {}
    assert word_lists(clip, [words.DANGEROUS], conditioning)


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


def score(conditioning: Any, kind: str = "sd15", **inputs: Any) -> tuple[Any, ...]:
    return tuple(running_comfyui.call("SafetyScore", direction=tiny.aligned(kind), conditioning=conditioning, **inputs))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_score_is_above_0_exactly_where_the_gate_opens(kind: str) -> None:
    gate = running_comfyui.module("safety_steer.steering.gate")
    spaces = running_comfyui.module("safety_steer.directions.text_spaces")
    direction = tiny.aligned(kind)
    [first, place] = next(iter(direction.places.items()))
    for text, flagged in ((words.DANGEROUS, True), (words.HARMLESS, False)):
        conditioning = tiny.encode(tiny.clip(kind), text)
        states = spaces.take({**conditioning[0][1], "cross_attn": conditioning[0][0]}, place)
        decision = gate.open_gate(states[:, None] if states.ndim == 2 else states, direction.spaces[first])
        made = score(conditioning, kind)
        assert made[0] == pytest.approx(float(decision.scores[0]) - decision.threshold, abs=1e-4)
        assert (made[0] > 0) == made[1] == flagged
        assert made[2] in CATEGORIES


def test_a_score_changes_nothing_and_the_most_unsafe_prompt_decides() -> None:
    clip = tiny.clip("sd15")
    both = tiny.encode(clip, words.HARMLESS) + tiny.encode(clip, words.DANGEROUS)
    kept = [states.clone() for states, _ in both]
    made = score(both)
    assert made[1] is True
    assert made[0] == max(score([pair])[0] for pair in both)
    assert all(torch.equal(states, old) for (states, _), old in zip(both, kept, strict=True))
    assert made[3].shape[0] == 1
    assert made[3].shape[3] == 3
    assert "the gate would open" in made[4]


def test_a_prompt_without_text_cannot_be_scored() -> None:
    error = running_comfyui.module("safety_steer.errors").SafetySteerError
    with pytest.raises(error, match="no text to score"):
        score([[None, {}]])


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


def test_runs_of_several_threads_are_all_written_down() -> None:
    module, report = running_comfyui.module("adapters.run_log"), running_comfyui.module("safety_steer.reports.safety_report")
    context = import_module("comfy_execution.utils").CurrentNodeContext
    log = module.RunLog(tiny.aligned("sd15"), "", during_sampling=True)

    def run(number: int) -> None:
        for _ in range(50):
            states = torch.zeros(1, 2, 32)
            with context("queue", str(number)):
                log.add([report.Record({"cross_attn": states}, {"cross_attn": states})])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert all(len(log.records([str(number)])) == module.MAX_RECORDS for number in range(8))
    assert len(log.records()) == 8 * module.MAX_RECORDS


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
