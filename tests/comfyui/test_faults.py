"""What can go wrong around alignment: memory or the disk is full, two align at once, the clock is set back, a file is gone."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
from support.comfyui import tiny

DAY = 86_400.0


def align(kind: str = "sd15", **changes: Any) -> Any:
    inputs = {"direction": tiny.direction(kind), "clip": tiny.clip(kind), "map": "ridge", "max_anchors": 2048}
    return running_comfyui.call("AlignSafetyDirection", **{**inputs, **changes})[0]


def states_of(clip: Any) -> torch.Tensor:
    states: torch.Tensor = clip.encode_from_tokens(clip.tokenize("a bowl of soup"))
    return states


def encoding_with(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], None]) -> None:
    """Call something with the number of prompts that are done before each step of the progress of an alignment."""
    node = running_comfyui.module("adapters.clip.fit_direction")
    original = node.moving

    def moving(bar: Any) -> Any:
        step = original(bar)

        def told(done: int, total: int) -> None:
            before(done)
            step(done, total)

        return told

    monkeypatch.setattr(node, "moving", moving)


OUT = (
    comfy.model_management.OOM_EXCEPTION("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore of it"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
)


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_half_way_changes_nothing_and_says_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tiny.clip("sd15")
    before, hooks = states_of(clip), sum(len(part._forward_hooks) for part in clip.cond_stage_model.modules())

    def fail(done: int) -> None:
        if done >= 64:
            raise error

    with monkeypatch.context() as patched:
        encoding_with(patched, fail)
        with pytest.raises(
            type(error), match=r"^Align Direction ran out of memory.*Nothing was kept.*Lower max_anchors"
        ) as found:
            align(clip=clip)
    assert "\n" not in str(found.value)
    assert running_comfyui.fits() == []
    assert torch.equal(states_of(clip), before)
    assert sum(len(part._forward_hooks) for part in clip.cond_stage_model.modules()) == hooks
    assert align(clip=clip).content_hash == align().content_hash
    assert len(running_comfyui.fits()) == 1


def test_another_error_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_done: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    encoding_with(monkeypatch, fail)
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):
        align()


def full(_handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_kept_fits_as_they_are_and_the_new_one_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = align()
    [path] = running_comfyui.fits()
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(running_comfyui.module("safety_steer.storage.text_files").os, "fsync", full)
        used = align(map="svd")
    assert "No space left on device. It is used now, and made again next time. Make room there" in caplog.text
    assert used.settings["map"] == "svd"
    assert running_comfyui.fits() == [path]
    assert path.read_bytes() == before
    assert align().content_hash == kept.content_hash
    assert align(map="svd").content_hash == used.content_hash
    assert len(running_comfyui.fits()) == 2


def test_another_comfyui_that_aligns_the_same_encoder_meanwhile_leaves_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[str] = []

    def other(done: int) -> None:
        if done >= 64 and not others:
            others.append("begun")
            others.append(align().content_hash)

    with monkeypatch.context() as patched:
        encoding_with(patched, other)
        mine = align()
    assert others == ["begun", mine.content_hash]
    [path] = running_comfyui.fits()
    assert align().content_hash == mine.content_hash
    assert running_comfyui.fits() == [path]


def test_a_fit_that_goes_while_it_is_looked_for_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = align()
    [path] = running_comfyui.fits()
    cache = running_comfyui.module("adapters.fit_cache")
    original = cache.AlignedDirection.load

    def load(found: Path) -> Any:
        found.unlink(missing_ok=True)
        return original(found)

    with monkeypatch.context() as patched:
        patched.setattr(cache.AlignedDirection, "load", load)
        assert align().content_hash == first.content_hash
    assert running_comfyui.fits() == [path]


def test_a_fit_is_found_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits of one encoder with other LoRAs have one key; those from before the clock was set back lie in the future."""
    cache = running_comfyui.module("adapters.fit_cache")
    first = align()
    [path] = running_comfyui.fits()
    skipped = tiny.clip("sd15")
    skipped.clip_layer(-2)
    key = path.name.partition("-")[0]
    for number in range(cache.MAX_CANDIDATES + 1):
        future = path.with_name(f"{key}-{number:016d}.safetensors")
        future.write_bytes(path.read_bytes())
        os.utime(future, (time.time() + 30 * DAY,) * 2)
    path.unlink()
    other = align(clip=skipped)
    assert other.content_hash != first.content_hash
    node = running_comfyui.module("adapters.clip.fit_direction")
    monkeypatch.setattr(node, "_fit", lambda *_: pytest.fail("the kept fit was not found"))
    assert align(clip=skipped).content_hash == other.content_hash


@pytest.mark.parametrize(("age", "left"), [(2 * DAY, False), (-2 * DAY, False), (60.0, True)])
def test_what_a_killed_process_left_goes_when_nobody_can_be_at_it(age: float, left: bool) -> None:
    folder = running_comfyui.module("adapters.folders").fits_folder()
    folder.mkdir(parents=True)
    part = folder / ".some-fit.safetensors.abc.part"
    part.write_bytes(b"half")
    os.utime(part, (time.time() - age,) * 2)
    align()
    assert part.exists() == left
    assert len([path for path in running_comfyui.fits() if path.suffix == ".safetensors"]) == 1
