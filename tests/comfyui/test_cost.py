"""What steering costs while sampling, and what it leaves behind: calls, memory, compiled graphs; moves and interruptions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import comfy.patcher_extension
import pytest
import torch
import torch._dynamo
from comfy_api.torch_helpers import set_torch_compile_wrapper
from support.comfyui import situations, tiny
from support.comfyui.situations import SITES, Situation, reachable
from test_steering import apply, by_library

SETTINGS: dict[str, dict[str, Any]] = {
    "conditioning": {},
    "cross-attention": {"site": SITES[1]},
    "cross-attention, fading": {"site": SITES[1], "end_percent": 0.8, "fade": 0.3},
    "blocks": {"site": SITES[1], "blocks": "middle"},
}
STEPS = (4, 16)
BETWEEN = ("<string>", functools.__file__, dataclasses.__file__, contextlib.__file__)


def steer(model: Any, kind: str = "sd15", **settings: Any) -> Any:
    return apply(model, reachable(tiny.aligned(kind), SITES[1]), **settings)


def calls_from_outside(run: Callable[[], Any]) -> Counter[str]:
    """Count by name the calls of the pack's functions that come from elsewhere."""
    counted: Counter[str] = Counter()

    def of_the_pack(frame: Any) -> bool:
        return frame is not None and frame.f_code.co_filename.startswith(str(running_comfyui.LINK))

    def caller(frame: Any) -> Any:
        """Return who called, past what a dataclass, a cached property or a context puts between the pack's own functions."""
        frame = frame.f_back
        while frame is not None and frame.f_code.co_filename in BETWEEN:
            frame = frame.f_back
        return frame

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call" and of_the_pack(frame) and not of_the_pack(caller(frame)):
            counted[f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"] += 1

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return counted


@pytest.fixture
def live_tensors() -> Iterator[Callable[[], int]]:
    """Count the tensors that live; those made before the test are out of the collector's sight, which makes this quick."""

    def count() -> int:
        gc.collect()
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    gc.freeze()
    yield count
    gc.unfreeze()


@pytest.mark.parametrize("steps", STEPS)
def test_the_conditioning_site_is_called_twice_per_run(steps: int) -> None:
    graph = Situation("wan")
    model, prompts = steer(graph.make("wan"), "wan"), graph.encoded()
    assert calls_from_outside(lambda: graph.sample(model, prompts, steps=steps)) == {
        "steer_runs.wrapper": 1,
        "answers._check": 1,
    }


@pytest.mark.parametrize("steps", STEPS)
def test_the_cross_attention_site_is_called_three_times_per_run_and_once_per_call_of_the_model(steps: int) -> None:
    """The guidance that runs the model a second time at every step tells steps from calls."""
    graph, seen = situations.SITUATIONS["PAG"], Counter[str]()

    def count(executor: Any, *args: Any, **kwargs: Any) -> Any:
        seen["calls"] += 1
        return executor(*args, **kwargs)

    model, prompts = steer(graph.patched(graph.make("sd15")), site=SITES[1]), graph.encoded()
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "count", count)
    counted = calls_from_outside(lambda: graph.sample(model, prompts, steps=steps))
    assert seen["calls"] == 2 * steps
    assert counted == {
        "steer_runs.wrapper": 1,
        "answers._check": 1,
        "cross_attention._prepare": 1,
        "cross_attention._steer_step": seen["calls"],
    }


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_memory_does_not_grow_with_the_steps_and_is_given_back(
    settings: dict[str, Any], live_tensors: Callable[[], int]
) -> None:
    graph, at_the_end = Situation(), {}
    model, prompts = steer(graph.make("sd15"), **settings), graph.encoded()
    graph.sample(model, prompts)
    before = live_tensors()

    def count(step: int, _x0: Any, _x: Any, total: int) -> None:
        if step == total - 1:
            at_the_end[total] = live_tensors()

    for steps in STEPS:
        graph.sample(model, prompts, steps=steps, callback=count)
        assert live_tensors() == before
    assert set(at_the_end) == set(STEPS)
    assert at_the_end[4] == at_the_end[16]


def compiled(model: Any) -> Any:
    made = model.clone()
    set_torch_compile_wrapper(made, backend="eager")
    return made


def compilations() -> dict[str, dict[str, int]]:
    """Say what was compiled since the last reset: graph breaks by reason, graphs, frames."""
    return {name: dict(torch._dynamo.utils.counters[name]) for name in ("graph_break", "stats", "frames")}


def test_steering_a_compiled_model_compiles_nothing_more_and_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiny.WAN, "num_layers", 1)
    graph, direction = Situation("wan"), reachable(tiny.aligned("wan"), SITES[1])
    model, (prompt, other) = tiny.model("wan"), graph.encoded()
    steered = by_library(prompt, direction), other
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain = compiled(model)
    expected, before = graph.sample(plain, steered), compilations()
    assert before["stats"]["unique_graphs"] > 1
    assert torch.equal(expected, graph.sample(model, steered))
    for site in SITES:
        for patched in (steer(plain, "wan", site=site), compiled(steer(model, "wan", site=site))):
            assert torch.equal(graph.sample(patched, (prompt, other)), expected)
            assert compilations() == before
    torch._dynamo.reset()


MOVES: dict[str, Callable[[Any], Any]] = {
    "detached": lambda model: model.detach(),
    "unpatched": lambda model: model.unpatch_model(tiny.CPU),
    "everything unloaded": lambda _: comfy.model_management.unload_all_models(),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_model_taken_from_the_device_between_runs_steers_alike(settings: dict[str, Any], move: Callable[[Any], Any]) -> None:
    graph, model = Situation(), situations.with_lora(tiny.model("sd15"))
    patched, prompts = steer(model, **settings), graph.encoded()
    plain, steered = graph.sample(model, prompts), graph.sample(patched, prompts)
    assert not torch.equal(plain, steered)
    for _ in range(2):
        move(patched)
        assert torch.equal(graph.sample(patched, prompts), steered)
        move(patched)
        assert torch.equal(graph.sample(model, prompts), plain)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_run_after_an_interrupted_one_is_clean(settings: dict[str, Any]) -> None:
    graph, model, reached = Situation(), tiny.model("sd15"), []
    prompts, shape = graph.encoded(), tiny.LATENTS["sd15"]
    plain = graph.sample(model, prompts)
    guider = graph.guider(steer(model, **settings), *prompts)
    steered = situations.sample(guider, shape)

    def interrupt(step: int, *_: Any) -> None:
        reached.append(step)
        comfy.model_management.interrupt_current_processing(step == 1)
        comfy.model_management.throw_exception_if_processing_interrupted()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        situations.sample(guider, shape, callback=interrupt)
    assert reached == [0, 1]
    assert torch.equal(situations.sample(guider, shape), steered)
    assert torch.equal(graph.sample(model, prompts), plain)
    assert not torch.equal(plain, steered)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_clone_steers_alike_and_what_is_done_to_it_stays_with_it(settings: dict[str, Any]) -> None:
    graph, model = Situation(), tiny.model("sd15")
    prompts, patched = graph.encoded(), steer(model, **settings)
    plain, steered = graph.sample(model, prompts), graph.sample(patched, prompts)
    clone = patched.clone()
    assert torch.equal(graph.sample(clone, prompts), steered)
    weaker = situations.wrapped(situations.WRAPPERS.OUTER_SAMPLE, 0)(clone)
    assert not torch.equal(graph.sample(weaker, prompts), steered)
    assert torch.equal(graph.sample(patched, prompts), steered)
    assert torch.equal(graph.sample(model, prompts), plain)
    assert not torch.equal(plain, steered)
