"""Every family ComfyUI runs on text: its own classes, small random weights, the bundled direction, two steps of sampling.

With SAFETY_STEER_FAMILIES set to a folder, a run leaves there what it found, of which `tools/docs/write_families.py` makes
a table. What a file there says of families that were not run stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.patcher_extension
import pytest
import torch
from support.families import clips, models
from support.families.rows import left_behind
from test_steering import apply, apply_conditioning, by_library

PROMPT, NEGATIVE = "a photo of a large rocket over a city at night", "blurry"
# Prompts that differ in a word and in nothing else: the first two that an encoder's tokenizers make as long as each other.
ALIKE = (("a photo of a cat at night", "a photo of a dog at night"), ("a man", "a boy"))
ANCHORS = 64
VERSION = running_comfyui.comfyui_version()
FAMILIES = [
    pytest.param(name, marks=pytest.mark.skipif(not available, reason=f"ComfyUI {VERSION} has no {name}"))
    for name, available in ((name, models.available(name)) for name in models.NAMES)
]
MASKS = {"cross_attn": "attention_mask", "conditioning_mt5xl": "attention_mask_mt5xl"}
STEER_ALL = {"operator": "add", "gate": "off", "strength": 2.0}
found: dict[str, dict[str, Any]] = {}


def encoder_of(family: str) -> str:
    """Return the family whose text encoder a model reads."""
    return models.FAMILIES[family].encoder or family


@cache
def source() -> Any:
    """Load the older bundled direction, which takes no long prompts: many encoders are soon done with it."""
    folder = running_comfyui.REPOSITORY / "directions"
    return running_comfyui.module("safety_steer.directions.source").SafetyDirection.load(
        folder / "smollm2-135m-instruct.safetensors"
    )


@cache
def aligned(encoder: str) -> Any:
    """Align the bundled direction from 64 anchors; maps between random weights may be no better than chance."""
    clip_text, anchors, align = (
        running_comfyui.module(name)
        for name in ("adapters.clip.encode_prompts", "safety_steer.alignment.anchors", "safety_steer.alignment.align_direction")
    )
    encoding = clip_text.study(clips.clip(encoder))
    rows = anchors.choose_anchors(source(), ANCHORS)
    states = anchors.collect(clip_text.encode_prompts(encoding, [source().anchors[row] for row in rows]), ANCHORS)
    settings = align.AlignSettings(require_better_than_chance=False)
    return align.align(source(), states, encoder, settings, anchors=rows, places=encoding.places)


def conditioning(family: str, prompt: str) -> list[list[Any]]:
    """Encode a prompt with the family's own encoder, and add what its other nodes would."""
    encoder = encoder_of(family)
    clip, said = clips.clip(encoder), clips.ENCODERS[encoder].tokens
    [[states, extras]] = clip.encode_from_tokens_scheduled(clip.tokenize(prompt, **said))
    copies = dict.fromkeys(models.FAMILIES[family].copies, states)
    return [[states, {**models.extras(family), **extras, **copies}]]


@cache
def model(family: str) -> Any:
    """Make the family's model for the widths of its encoder."""
    [[states, extras]] = conditioning(family, PROMPT)
    widths = {name: value.shape[-1] for name, value in {**extras, "cross_attn": states}.items() if _is_text(name, value)}
    return models.model(family, widths)


def _is_text(name: str, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and name in (
        "cross_attn",
        "pooled_output",
        "conditioning_llama3",
        "conditioning_mt5xl",
    )


def sample(family: str, patched: Any, positive: list[list[Any]], negative: list[list[Any]] | None = None) -> torch.Tensor:
    """Sample two steps."""
    settings = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    # A node that copies the prompt puts the positive's into the negative too.
    copies = {key: positive[0][1][key] for key in models.FAMILIES[family].copies}
    [[states, extras]] = negative or conditioning(family, NEGATIVE)
    latent = running_comfyui.call(
        "KSampler",
        model=patched,
        positive=positive,
        negative=[[states, {**extras, **copies}]],
        latent_image=models.latent(family),
        **settings,
    )[0]["samples"]
    return torch.cat([part.flatten() for part in latent.unbind()]) if latent.is_nested else latent


@pytest.fixture(scope="module", autouse=True)
def _leave_what_was_found() -> Iterator[None]:
    yield
    left_behind(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_steered_like_the_library_steers_its_conditioning(family: str) -> None:
    positive, direction = conditioning(family, PROMPT), aligned(encoder_of(family))
    places = direction.places
    assert set(places) == set(models.FAMILIES[family].spaces)
    plain = sample(family, model(family), positive)
    steered = sample(family, apply(model(family), direction, **STEER_ALL), positive)
    assert torch.isfinite(steered).all()
    assert torch.equal(steered, sample(family, model(family), by_library(positive, direction, **STEER_ALL)))
    assert not torch.equal(steered, plain)
    off = apply(model(family), direction, **{**STEER_ALL, "strength": 0.0})
    assert torch.equal(plain, sample(family, off, positive))
    shapes = {name: list(_space(positive, place).shape) for name, place in places.items()}
    found.setdefault(family, {}).update({"spaces": shapes, "conditioning": "steered"})


def _space(positive: list[list[Any]], place: Any) -> torch.Tensor:
    [[states, extras]] = positive
    made: torch.Tensor = running_comfyui.module("safety_steer.directions.text_spaces").take(
        {**extras, "cross_attn": states}, place
    )
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_of_a_small_model_is_initialised(family: str) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)  # Fills new memory with NaN.
    try:
        generator = models.model(family).model
        encoder = clips.clip.__wrapped__(encoder_of(family)).cond_stage_model
    finally:
        torch.use_deterministic_algorithms(False)
    for made in (generator, encoder):
        for name, value in (*made.named_parameters(), *made.named_buffers()):
            assert torch.isfinite(value).all(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_but_the_text_of_the_positive_changes(family: str) -> None:
    positive, direction, seen = conditioning(family, PROMPT), aligned(encoder_of(family)), []
    kept = {name: value.clone() for name, value in _tensors(positive).items()}

    def spy(executor: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append({role: list(entries) for role, entries in executor.class_obj.conds.items()})
        return executor(*args, **kwargs)

    patched = apply(model(family), direction, **STEER_ALL)
    before = patched.clone()
    before.wrappers["outer_sample"] = {}
    outer = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE
    patched.add_wrapper_with_key(outer, "spy", spy)
    before.add_wrapper_with_key(outer, "spy", spy)
    sample(family, before, positive)
    sample(family, patched, positive)
    plain, steered = seen
    text = {place.key for place in direction.places.values()}
    copies, besides = models.FAMILIES[family].copies, models.FAMILIES[family].besides
    for role in plain:
        for old, new in zip(plain[role], steered[role], strict=True):
            for key in set(old) - {"uuid", "safety_steered", "model_conds"}:
                if role == "positive" and key in text:
                    assert not torch.equal(old[key], new[key]), key
                    assert _all_of_the_hidden_moved(old, new, key), key
                elif key in copies:
                    assert torch.equal(new[key], steered["positive"][0]["cross_attn"]), key
                elif role == "negative" or key not in besides:
                    assert _alike(old[key], new[key]), (role, key)
    for name, value in _tensors(positive).items():
        assert torch.equal(value, kept[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_all_of_a_prompt_that_a_model_reads_is_known(family: str) -> None:
    """Change one part of the conditioning to that of another prompt: a part that is read changes the sample."""
    row = models.FAMILIES[family]
    one, other = _two_alike(family)
    plain, text = _sampled(family, one), {place.key for place in aligned(encoder_of(family)).places.values()}
    swapped = {key: {**one, key: other[key]} for key in one if not _alike(one[key], other[key])}
    swapped |= {f"hidden rows of {key}": entry for key, entry in _hidden_swapped(one, other).items()}
    read = {name for name, entry in swapped.items() if not torch.equal(plain, _sampled(family, entry))}
    assert read - text == set(row.besides)
    assert text - read == set(row.unread)
    [[states, extras]] = apply_conditioning([[one["cross_attn"], one]], aligned(encoder_of(family)), **STEER_ALL)
    steered = {**extras, "cross_attn": states}
    moved = {name: _moved(one, steered, name) for name in row.besides}
    assert all(moved[name] for name in moved if name in row.copies or name.startswith("hidden rows of "))
    found.setdefault(family, {}).update({"besides": moved, "unread": list(row.unread)})


def _two_alike(family: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for prompts in ALIKE:
        one, other = (
            {**extras, "cross_attn": states} for [[states, extras]] in (conditioning(family, text) for text in prompts)
        )
        if _lengths(one) == _lengths(other):
            return one, other
    raise AssertionError(f"add prompts to ALIKE: those of {family} are not as long as each other")


def _lengths(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the shapes of an entry's tensors, and how many rows its masks show."""
    tensors = {name: value for name, value in entry.items() if isinstance(value, torch.Tensor)}
    return {name: int(value.sum()) if name in MASKS.values() else value.shape for name, value in tensors.items()}


def _sampled(family: str, entry: dict[str, Any]) -> torch.Tensor:
    return sample(family, model(family), [[entry["cross_attn"], {key: entry[key] for key in entry if key != "cross_attn"}]])


def _hidden(entry: dict[str, Any], key: str) -> torch.Tensor | None:
    """Return which rows (1, T, 1) of a text a mask hides, None where it hides none."""
    mask = entry.get(MASKS.get(key, ""))
    return mask[..., None] == 0 if mask is not None and bool((mask == 0).any()) else None


def _hidden_swapped(one: dict[str, Any], other: dict[str, Any]) -> dict[str, dict[str, Any]]:
    hidden = {key: rows for key in MASKS if (rows := _hidden(one, key)) is not None}
    return {key: {**one, key: torch.where(rows, other[key], one[key])} for key, rows in hidden.items()}


def _moved(before: dict[str, Any], after: dict[str, Any], name: str) -> bool:
    """Say whether steering changed a key, or the rows of a text that a mask hides."""
    key = name.removeprefix("hidden rows of ")
    rows = _hidden(before, key) if key != name else None
    return not _alike(before[key], after[key] if rows is None else torch.where(rows, after[key], before[key]))


def _all_of_the_hidden_moved(before: dict[str, Any], after: dict[str, Any], key: str) -> bool:
    """Say whether of the rows that a mask hides those that are not zero moved, and the others did not."""
    hidden = _hidden(before, key)
    moved = (before[key] != after[key]).any(-1, keepdim=True)
    return hidden is None or torch.equal(moved[hidden], (before[key] != 0).any(-1, keepdim=True)[hidden])


def _tensors(positive: list[list[Any]]) -> dict[str, torch.Tensor]:
    [[states, extras]] = positive
    return {name: value for name, value in {**extras, "cross_attn": states}.items() if isinstance(value, torch.Tensor)}


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(_alike(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())
    if isinstance(one, SimpleNamespace):
        return all(_alike(value, vars(other)[name]) for name, value in vars(one).items())
    return one is other or bool(one == other)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cross_attention_site_gives_the_same_bits_or_says_why_not(family: str) -> None:
    error = running_comfyui.module("safety_steer.errors").MismatchError
    positive = conditioning(family, PROMPT)
    direction = running_comfyui.module("adapters.sampling.cross_attention").within_reach(aligned(encoder_of(family)))
    refused = models.FAMILIES[family].refused
    if refused:
        with pytest.raises(error, match="Set site to 'conditioning'"):
            sample(family, apply(model(family), direction, site="cross-attention", **STEER_ALL), positive)
        found.setdefault(family, {})["cross-attention"] = f"refused: {refused}"
        return
    once = sample(family, apply(model(family), direction, **STEER_ALL), positive)
    every_step = sample(family, apply(model(family), direction, site="cross-attention", **STEER_ALL), positive)
    assert torch.equal(once, every_step)
    found.setdefault(family, {})["cross-attention"] = "steered"
