"""Loading, aligning and mixing directions: kept fits, interruption, and every bad input a queued graph can carry."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import world  # isort: skip
import comfy.model_management
import comfy.utils
import pytest
import tiny
import torch
import words

DIRECTIONS = world.BASE / "models" / "safety_directions"


def align(kind: str = "sd15", **changes: Any) -> Any:
    inputs = {"direction": tiny.direction(kind), "clip": tiny.clip(kind), "map": "ridge", "max_anchors": 2048}
    return world.call("AlignSafetyDirection", **{**inputs, **changes})[0]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the prompts the align node encodes."""
    counts: list[int] = []
    node = world.module("nodes.align_direction")
    original = node.encode_prompts

    def encode_prompts(clip: Any, prompts: Any, advance: Any = None) -> Any:
        counts.append(len(prompts))
        return original(clip, prompts, advance)

    monkeypatch.setattr(node, "encode_prompts", encode_prompts)
    return counts


@pytest.fixture
def error() -> Any:
    return world.module("safety_steer.errors").SafetySteerError


@pytest.mark.parametrize("map_name", ["ridge", "svd", "mlp"])
def test_every_map_aligns_in_a_node(map_name: str) -> None:
    aligned = align(map=map_name)
    assert set(aligned.spaces) == {"cross_attn", "pooled_output"}
    assert aligned.encoder == "SD1ClipModel"
    assert aligned.settings["map"] == map_name


def test_a_second_alignment_reads_the_fit_from_disk(counted: list[int]) -> None:
    first = align()
    assert counted == [128]
    second = align()
    assert counted == [128, 8]
    assert second.content_hash == first.content_hash
    assert len(world.fits()) == 1


@pytest.mark.parametrize(
    "changes", [{"map": "svd"}, {"max_anchors": 96}, {"anchors": "a quiet library\na bowl of soup"}], ids=str
)
def test_other_settings_are_another_fit(changes: dict[str, Any]) -> None:
    align()
    assert align(**changes).content_hash != align().content_hash
    assert len(world.fits()) == 2


def test_an_encoder_that_behaves_otherwise_is_another_fit() -> None:
    skipped = tiny.clip("sd15")
    skipped.clip_layer(-2)
    assert align().content_hash != align(clip=skipped).content_hash
    assert len(world.fits()) == 2
    assert align(clip=skipped).content_hash == align(clip=skipped).content_hash
    assert len(world.fits()) == 2


def test_a_damaged_fit_is_made_again() -> None:
    first = align()
    [path] = world.fits()
    path.write_bytes(path.read_bytes()[:-7])
    assert align().content_hash == first.content_hash
    assert [path] == world.fits()


def test_a_fit_that_cannot_be_kept_is_used_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    folder = world.module("nodes.folders").fits_folder()
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    try:
        assert align().encoder == "SD1ClipModel"
    finally:
        folder.unlink()
    assert "could not keep this fit" in caplog.text


def test_an_interruption_half_way_leaves_nothing_and_the_next_run_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def interrupt(_bar: Any, count: int) -> None:
        done.append(count)
        if sum(done) >= 64:
            comfy.model_management.interrupt_current_processing()

    with monkeypatch.context() as patched:
        patched.setattr(comfy.utils.ProgressBar, "update", interrupt)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            align()
    assert 64 <= sum(done) < 128
    assert world.fits() == []
    assert align().content_hash == align().content_hash
    assert len(world.fits()) == 1


def test_typed_prompts_raise_the_thresholds_but_do_not_move_the_map() -> None:
    plain, typed = align(), align(anchors=f"{words.DANGEROUS}\n\n  a bowl of soup \n{words.DANGEROUS}")
    one, two = plain.spaces["cross_attn"], typed.spaces["cross_attn"]
    assert torch.equal(one.vectors, two.vectors)
    assert float(two.gate_quantiles[0, -1]) > float(one.gate_quantiles[0, -1])


def test_too_many_typed_prompts_are_an_error(error: Any) -> None:
    with pytest.raises(error, match="at most 2,048"):
        align(anchors="\n".join(f"a cat {number}" for number in range(2049)))


def test_an_unknown_map_is_an_error(error: Any) -> None:
    with pytest.raises(error, match="Change map on Align Direction"):
        align(map="magic")


def test_an_encoder_without_the_sources_meaning_is_refused(error: Any) -> None:
    direction = tiny.direction("sd15")
    shuffled = torch.randperm(len(direction.anchors), generator=torch.Generator().manual_seed(3))
    with pytest.raises(error, match="no better than chance"):
        align(direction=replace(direction, anchor_activations=direction.anchor_activations[shuffled]))
    assert world.fits() == []


def test_the_mixer_sets_strengths_and_refuses_a_category_the_direction_lacks(error: Any) -> None:
    aligned = tiny.aligned("sd15")
    zeros = dict.fromkeys(["hate", "sexual", "violence", "humiliation", "illegal_activity", "disturbing"], 0.0)
    [mixed] = world.call("SafetyCategoryMixer", direction=aligned, **{"global": 2.5, **zeros})
    assert dict(mixed.strengths) == {"global": 2.5}
    assert dict(aligned.strengths) == {"global": 1.0}
    [silent] = world.call("SafetyCategoryMixer", direction=aligned, **{"global": 0.0, **zeros})
    assert dict(silent.strengths) == {}
    with pytest.raises(error, match=r"no category 'hate'.*global, fire, weapons"):
        world.call("SafetyCategoryMixer", direction=aligned, **{"global": 0.0, **zeros, "hate": 1.0})


@pytest.fixture
def saved() -> Any:
    path = DIRECTIONS / "tiny.safetensors"
    tiny.direction("sd15").save(path)
    yield path
    for left in DIRECTIONS.iterdir():
        left.unlink()


def load(name: str) -> Any:
    return world.call("LoadSafetyDirection", direction_name=name)[0]


def test_a_listed_direction_loads(saved: Path) -> None:
    assert load(saved.name).content_hash == tiny.direction("sd15").content_hash


def test_a_changed_file_is_loaded_again(saved: Path) -> None:
    fingerprint = world.module("nodes.load_direction").LoadSafetyDirection.fingerprint_inputs
    before = fingerprint(direction_name=saved.name)
    assert before == fingerprint(direction_name=saved.name)
    os.utime(saved, ns=(1, 1))
    assert before != fingerprint(direction_name=saved.name)
    assert fingerprint(direction_name="missing.safetensors") == ""


@pytest.mark.parametrize(
    "name",
    [
        "../safety_directions/tiny.safetensors",
        "../../user/secret.safetensors",
        "/etc/passwd",
        "./tiny.safetensors",
        "tiny.safetensors\0.txt",
        "..\\tiny.safetensors",
        "",
        "missing.safetensors",
    ],
)
def test_path_tricks_in_a_file_name_are_an_error(saved: Path, name: str, error: Any) -> None:
    (world.BASE / "user" / "secret.safetensors").write_bytes(saved.read_bytes())
    with pytest.raises(error, match="no direction file"):
        load(name)


def test_a_link_out_of_the_folder_is_an_error(saved: Path, error: Any) -> None:
    outside = world.BASE / "user" / "outside.safetensors"
    outside.write_bytes(saved.read_bytes())
    (DIRECTIONS / "link.safetensors").symlink_to(outside)
    with pytest.raises(error, match="outside the direction folders"):
        load("link.safetensors")


def test_an_aligned_direction_is_no_source_direction(saved: Path, error: Any) -> None:
    tiny.aligned("sd15").save(saved.with_name("aligned.safetensors"))
    with pytest.raises(error, match="aligned-direction"):
        load("aligned.safetensors")


def test_a_file_that_is_something_else_is_an_error(saved: Path, error: Any) -> None:
    saved.with_name("other.safetensors").write_bytes(b"not a direction")
    with pytest.raises(error, match="not a safetensors file"):
        load("other.safetensors")


def test_typed_prompts_alone_can_set_the_thresholds(error: Any) -> None:
    typed = "\n".join(words.benign_prompts(220, seed=5))
    plain, own = align(), align(anchors=typed, thresholds="own")
    assert torch.equal(plain.spaces["cross_attn"].vectors, own.spaces["cross_attn"].vectors)
    assert not torch.equal(plain.spaces["cross_attn"].gate_quantiles, own.spaces["cross_attn"].gate_quantiles)
    assert own.settings["thresholds"] == "own"
    with pytest.raises(error, match="at least 200"):
        align(anchors="a cat\na dog", thresholds="own")
    with pytest.raises(error, match="Expected thresholds"):
        align(thresholds="mine")
