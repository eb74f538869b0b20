"""Words of a prompt, found in the rows of every family's text, never guessed: the row that changes with a word is its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import tiny, words
from support.families import clips, videos

PROMPT, OTHER = "a small boat near the blue harbour at night", "a small boat near the blue mountain at night"
# Lyrics are told to the tokenizer beside the prompt.
LYRICS = ("conditioning_lyrics",)
VERSION = running_comfyui.comfyui_version()
# Older checkouts make rows of their own out of LTX-2's tokens.
NUMBERED = () if videos.CONNECTED else ("ltxav",)
ENCODERS = [
    pytest.param(name, marks=pytest.mark.skipif(not clips.available(name), reason=f"ComfyUI {VERSION} has no {name}"))
    for name in clips.ENCODERS
]


def record_of(clip: Any, prompt: str) -> tuple[Any, Any]:
    """Return a record of a prompt that was not steered, and the places of its text."""
    clip_text, spaces = (
        running_comfyui.module("adapters.clip.encode_prompts"),
        running_comfyui.module("safety_steer.directions.text_spaces"),
    )
    places, options = clip_text.study(clip).places, running_comfyui.module("adapters.clip.tokens").without_sampling(clip)
    [[states, extras]] = clip.encode_from_tokens_scheduled(clip.tokenize(prompt, **options))
    entry = {**extras, "cross_attn": states}
    kept = {name: spaces.take(entry, place) for name, place in places.items() if spaces.fits(entry, place)}
    return running_comfyui.module("safety_steer.reports.safety_report").Record(kept, kept), SimpleNamespace(places=places)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_row_that_changes_with_a_word_is_the_words_own(encoder: str) -> None:
    clip = clips.clip(encoder)
    kept, direction = record_of(clip, PROMPT)
    other, _ = record_of(clip, OTHER)
    [found] = running_comfyui.module("adapters.clip.prompt_words").find_words(clip, ["no", PROMPT], [kept], direction)
    [others] = running_comfyui.module("adapters.clip.prompt_words").find_words(clip, [OTHER], [other], direction)
    texts = {name: states for name, states in kept.before.items() if states.ndim == 3 and name not in LYRICS}
    assert texts
    assert set(found) == (set() if encoder in NUMBERED else set(texts))
    for name, named in found.items():
        said = [word for word in named if not word.special]
        assert PROMPT.replace(" ", "") in "".join(word.text for word in said), name
        assert named[-1].stop == texts[name].shape[1]
        if [word.first for word in named] != [word.first for word in others[name]]:
            continue
        changes = (texts[name] - other.before[name]).norm(dim=-1)[0] / texts[name].norm(dim=-1)[0].clamp(min=1e-6)
        most = max(said, key=lambda word: float(changes[word.first : word.stop].max()))
        assert most.text == "harbour", name


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
