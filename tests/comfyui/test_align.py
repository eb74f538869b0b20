"""Aligning directions: kept fits, interruption, own and long prompts, and every bad input a queued graph can carry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import comfy.utils
import pytest
import torch
from support.comfyui import tiny, words
from support.comfyui.tiny import ADVICE, align, older, with_passages


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the prompts the align node encodes."""
    counts: list[int] = []
    node = running_comfyui.module("adapters.clip.fit_direction")
    original = node.encode_prompts

    def encode_prompts(clip: Any, prompts: Any, progress: Any = None) -> Any:
        counts.append(len(prompts))
        return original(clip, prompts, progress)

    monkeypatch.setattr(node, "encode_prompts", encode_prompts)
    return counts


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
    assert len(running_comfyui.fits()) == 1


@pytest.mark.parametrize(
    "changes", [{"map": "svd"}, {"max_anchors": 96}, {"anchors": "a quiet library\na bowl of soup"}], ids=str
)
def test_other_settings_are_another_fit(changes: dict[str, Any]) -> None:
    align()
    assert align(**changes).content_hash != align().content_hash
    assert len(running_comfyui.fits()) == 2


def test_as_many_anchors_chosen_otherwise_are_another_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    node, anchors = (
        running_comfyui.module("adapters.clip.fit_direction"),
        running_comfyui.module("safety_steer.alignment.anchors"),
    )
    made = tiny.direction("sd15")
    # Of anchors none of which is hard, as a user's own are, the first ones are taken.
    hard = replace(made.examples, hard=torch.arange(len(made.anchors)) % 2 == 1)
    few = {"direction": replace(made, examples=hard), "max_anchors": 96}
    standing_for_all = align(**few)
    assert tuple(standing_for_all.probe_prompts) != made.anchors[:8]
    monkeypatch.setattr(node, "choose_anchors", anchors.first_anchors)
    assert align(**few).content_hash != standing_for_all.content_hash
    assert len(running_comfyui.fits()) == 2
    monkeypatch.undo()
    assert align(**few).content_hash == standing_for_all.content_hash
    assert len(running_comfyui.fits()) == 2


def test_an_encoder_that_behaves_otherwise_is_another_fit() -> None:
    skipped = tiny.clip("sd15")
    skipped.clip_layer(-2)
    assert align().content_hash != align(clip=skipped).content_hash
    assert len(running_comfyui.fits()) == 2
    assert align(clip=skipped).content_hash == align(clip=skipped).content_hash
    assert len(running_comfyui.fits()) == 2


def test_a_damaged_fit_is_made_again() -> None:
    first = align()
    [path] = running_comfyui.fits()
    path.write_bytes(path.read_bytes()[:-7])
    assert align().content_hash == first.content_hash
    assert [path] == running_comfyui.fits()


def test_a_fit_that_cannot_be_kept_is_used_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    folder = running_comfyui.module("adapters.folders").fits_folder()
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
    assert running_comfyui.fits() == []
    assert align().content_hash == align().content_hash
    assert len(running_comfyui.fits()) == 1


def test_typed_prompts_raise_the_thresholds_but_do_not_move_the_map() -> None:
    plain, typed = align(), align(anchors=f"{words.DANGEROUS}\n\n  a bowl of soup \n{words.DANGEROUS}")
    one, two = plain.spaces["cross_attn"], typed.spaces["cross_attn"]
    assert torch.equal(one.vectors, two.vectors)
    assert float(two.gate.gate_quantiles[0, -1]) > float(one.gate.gate_quantiles[0, -1])


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
    assert running_comfyui.fits() == []


def test_typed_prompts_alone_can_set_the_thresholds(error: Any) -> None:
    typed = "\n".join(words.benign_prompts(220, seed=5))
    plain, own = align(), align(anchors=typed, thresholds="own")
    assert torch.equal(plain.spaces["cross_attn"].vectors, own.spaces["cross_attn"].vectors)
    assert not torch.equal(plain.spaces["cross_attn"].gate.gate_quantiles, own.spaces["cross_attn"].gate.gate_quantiles)
    assert own.settings["thresholds"] == "own"
    with pytest.raises(error, match="at least 200"):
        align(anchors="a cat\na dog", thresholds="own")
    with pytest.raises(error, match="Expected thresholds"):
        align(thresholds="mine")


def said(direction: Any, **inputs: Any) -> str:
    """Return what Align Direction says on the node."""
    shown: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running_comfyui.module("adapters.node_text"), "show", lambda _node, text: shown.append(text))
        align(direction=direction, **inputs)
    [text] = shown
    return text


def test_long_prompts_are_encoded_beside_the_anchors_and_as_many_less_as_those(counted: list[int]) -> None:
    direction = with_passages()
    align(direction=direction)
    assert counted == [128, 40]
    align(direction=direction)
    assert counted == [128, 40, 8]
    counted.clear()
    align(direction=direction, max_anchors=64)
    assert counted == [64, 32]
    assert len(running_comfyui.fits()) == 2


def test_own_thresholds_need_no_long_prompts(counted: list[int]) -> None:
    typed = "\n".join(words.benign_prompts(220, seed=5))
    align(direction=with_passages(), anchors=typed, thresholds="own")
    assert counted == [128, 220]


def test_long_prompts_are_another_fit_with_another_text() -> None:
    assert "(128 harmless prompts, ridge)" in said(tiny.direction("sd15"))
    text = said(with_passages())
    assert "fitted now (128 harmless prompts and 40 long ones, ridge)" in text
    assert "older" not in text
    assert len(running_comfyui.fits()) == 2


def test_the_progress_bar_counts_long_prompts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    totals: list[int] = []
    original = comfy.utils.ProgressBar.__init__
    monkeypatch.setattr(comfy.utils.ProgressBar, "update", lambda _bar, count: done.append(count))

    def begin(bar: Any, total: int, *more: Any, **options: Any) -> None:
        totals.append(total)
        original(bar, total, *more, **options)

    monkeypatch.setattr(comfy.utils.ProgressBar, "__init__", begin)
    align(direction=with_passages(), anchors="a quiet library\na bowl of soup")
    assert totals == [sum(done)] == [128 + 40 + 2]


def test_an_older_direction_says_so_and_what_to_do_each_time() -> None:
    for origin in ("fitted now", "read from disk"):
        first, *more = said(older()).splitlines()
        assert f"{origin} (128 harmless prompts, ridge)" in first
        assert more == [ADVICE]
