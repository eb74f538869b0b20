"""What a run leaves for the report: each text once and by its node, nothing of a run that stops, and no copies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import comfy.samplers
import pytest
import torch
from support.comfyui import situations, tiny, words
from support.comfyui.reporting import measured, settings
from test_steering import ksampler, prompts


def log_of(model_inputs: dict[str, Any]) -> tuple[Any, Any]:
    patched, log = running_comfyui.call("ApplySafetySteer", **settings(**model_inputs))
    return patched, log


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
