"""AlignedDirection as a file: exact round trips, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import builders, forged
from torch import Tensor

from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import ImageRowReading
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.source import pack_text
from safety_steer.directions.space_file import space_tensors, tensor_names
from safety_steer.directions.tensor_fields import axes_of
from safety_steer.errors import FileFormatError, SafetySteerError
from safety_steer.steering.steer_conditioning import SteerSettings, steer_conditioning
from safety_steer.storage import container

SPACE_TENSORS = (
    *("vectors", "readings", "offsets", "token_quantiles", "prompt_quantiles", "phrase_quantiles", "prompt_readings"),
    *("gate_weights", "gate_biases", "gate_quantiles", "witness_weights", "mean", "scale", "fit_limit", "probes"),
)
IMAGE_TENSORS = ("image_readings", "image_offsets", "image_shift")


def of_a_picture_encoder() -> AlignedDirection:
    aligned = builders.small_aligned()
    generator = torch.Generator().manual_seed(1)
    made = {"image_readings": (3, 4), "image_offsets": (3,), "image_shift": (4,)}
    images = ImageRowReading(**{name: torch.randn(shape, generator=generator) for name, shape in made.items()})
    seeing = replace(aligned.spaces["cross_attn"], images=images)
    return replace(aligned, spaces={**aligned.spaces, "cross_attn": seeing})


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    target = tmp_path / "seeing.safetensors"
    of_a_picture_encoder().save(target)
    return target


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "aligned.safetensors"
    builders.small_aligned().save(target)
    return target


def test_a_saved_aligned_direction_loads_exactly_equal(path: Path) -> None:
    original, loaded = builders.small_aligned(), AlignedDirection.load(path)
    for item in fields(AlignedDirection):
        if item.name != "spaces":
            assert getattr(original, item.name) == getattr(loaded, item.name), item.name
    assert list(loaded.spaces) == list(original.spaces)
    for space in original.spaces:
        expected, found = (space_tensors(one.spaces[space]) for one in (original, loaded))
        assert tuple(expected) == tuple(found) == SPACE_TENSORS
        assert all(torch.equal(expected[name], found[name]) for name in SPACE_TENSORS)
    assert loaded.content_hash == original.content_hash == container.read(path)[0]["content_hash"]


def test_a_fitted_alignment_survives_the_file(tmp_path: Path) -> None:
    original = builders.planted_aligned()
    original.save(tmp_path / "planted.safetensors")
    loaded = AlignedDirection.load(tmp_path / "planted.safetensors")
    assert loaded.content_hash == original.content_hash
    states = builders.unsafe_batch()
    results = [steer_conditioning({"cross_attn": states}, one).tensors["cross_attn"] for one in (original, loaded)]
    assert torch.equal(*results)


def test_names_in_files_are_those_of_schema_1() -> None:
    networks = {f"harm_{item.name}" for item in fields(HarmNet)}
    assert tensor_names(False, False) == {*SPACE_TENSORS}
    assert tensor_names(True, True) == {*SPACE_TENSORS, *IMAGE_TENSORS} | networks


def test_every_tensor_of_a_part_is_declared_for_the_file() -> None:
    space = of_a_picture_encoder().spaces["cross_attn"]
    for part in (space, space.tokens, space.gate, space.encoder, space.images):
        assert is_dataclass(part)
        tensors = [item.name for item in fields(part) if isinstance(getattr(part, item.name), Tensor)]
        assert list(axes_of(type(part))) == tensors


def test_strengths_are_part_of_the_file(tmp_path: Path) -> None:
    mixed = replace(builders.small_aligned(), strengths={"global": 0.5, "blades": -1.25})
    mixed.save(tmp_path / "mixed.safetensors")
    assert AlignedDirection.load(tmp_path / "mixed.safetensors").strengths == {"global": 0.5, "blades": -1.25}
    assert mixed.content_hash != builders.small_aligned().content_hash


@pytest.mark.parametrize("name", SPACE_TENSORS)
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held.pop(f"pooled_output.{name}"))
    with pytest.raises(FileFormatError, match=f"'pooled_output.{name}' is missing"):
        AlignedDirection.load(path)


@pytest.mark.parametrize("name", SPACE_TENSORS)
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[None], lambda t: t.reshape(-1)[:0]])
def test_a_tensor_of_another_dtype_or_shape_is_named(path: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    key = f"cross_attn.{name}"
    forged.rewritten(path, tensors=lambda held: held.__setitem__(key, change(held[key]).contiguous()))
    with pytest.raises(FileFormatError, match=f"'{key}' should be"):
        AlignedDirection.load(path)


def test_what_tells_image_rows_apart_is_part_of_the_file(seeing: Path) -> None:
    original, loaded = of_a_picture_encoder(), AlignedDirection.load(seeing)
    for name in IMAGE_TENSORS:
        expected, found = (space_tensors(one.spaces["cross_attn"])[name] for one in (original, loaded))
        assert torch.equal(expected, found)
    assert loaded.spaces["pooled_output"].images is None
    assert loaded.content_hash == original.content_hash != builders.small_aligned().content_hash


def test_a_file_of_an_encoder_without_pictures_is_what_it_was_before_there_were_any(path: Path) -> None:
    document, tensors = container.read(path)
    assert "image_rows" not in document
    assert not [name for name in tensors if "image" in name]
    assert AlignedDirection.load(path).spaces["cross_attn"].images is None


@pytest.mark.parametrize("value", [None, True, 7, "cross_attn", {}, [], [1], ["absent"], ["cross_attn", "cross_attn"]])
def test_odd_names_of_spaces_with_image_rows_are_refused(seeing: Path, value: Any) -> None:
    forged.rewritten(seeing, document=lambda found: found.update(image_rows=value))
    with pytest.raises(FileFormatError):
        AlignedDirection.load(seeing)


def test_image_rows_that_the_file_does_not_announce_are_refused(seeing: Path) -> None:
    forged.rewritten(seeing, document=lambda found: found.pop("image_rows"))
    with pytest.raises(FileFormatError, match=r"Unexpected tensor 'cross_attn\.image_"):
        AlignedDirection.load(seeing)


def test_announced_image_rows_that_are_not_there_are_named(path: Path) -> None:
    forged.rewritten(path, document=lambda found: found.update(image_rows=["cross_attn"]))
    with pytest.raises(FileFormatError, match=r"'cross_attn\.image_readings' is missing"):
        AlignedDirection.load(path)


@pytest.mark.parametrize("name", IMAGE_TENSORS)
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[None], lambda t: t[:-1]])
def test_an_image_tensor_of_another_dtype_or_shape_is_named(
    seeing: Path, name: str, change: Callable[[Tensor], Tensor]
) -> None:
    key = f"cross_attn.{name}"
    forged.rewritten(seeing, tensors=lambda held: held.__setitem__(key, change(held[key]).contiguous()))
    with pytest.raises(FileFormatError, match=f"'{key}' should be"):
        AlignedDirection.load(seeing)


def test_tensors_of_another_space_are_refused(path: Path) -> None:
    forged.rewritten(path, document=lambda found: found.update(spaces=["cross_attn"]))
    with pytest.raises(FileFormatError, match=r"Unexpected tensor 'pooled_output\."):
        AlignedDirection.load(path)


@pytest.mark.parametrize("name", ["vectors", "readings"])
def test_zero_vectors_and_zero_readings_are_refused(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held[f"cross_attn.{name}"][0].zero_())
    with pytest.raises(FileFormatError, match="zero vector"):
        AlignedDirection.load(path)


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_scale_that_is_not_positive_is_refused(path: Path, value: float) -> None:
    forged.rewritten(path, tensors=lambda held: held["pooled_output.scale"].__setitem__(0, value))
    with pytest.raises(FileFormatError, match="above 0"):
        AlignedDirection.load(path)


@pytest.mark.parametrize(
    "key",
    ["kind", "schema", "source", "encoder", "direction_hash", "categories", "spaces", "settings", "report", "strengths"],
)
@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text" * 2000, [], [[]], [1], ["absent"]])
def test_metadata_of_the_wrong_kind_is_refused(path: Path, key: str, value: Any) -> None:
    if key == "schema" and value is True:
        pytest.skip("True is 1 in Python")
    forged.rewritten(path, document=lambda found: found.update({key: value}))
    with pytest.raises(FileFormatError):
        AlignedDirection.load(path)


@pytest.mark.parametrize("strengths", [{"global": True}, {"global": "1"}, {"global": None}, {"global": [1]}])
def test_strengths_must_be_numbers(path: Path, strengths: dict[str, Any]) -> None:
    forged.rewritten(path, document=lambda found: found.update(strengths=strengths))
    with pytest.raises(FileFormatError, match="'global' should be a float"):
        AlignedDirection.load(path)


def test_a_strength_for_a_category_the_file_does_not_have_is_refused(path: Path) -> None:
    forged.rewritten(path, document=lambda found: found.update(strengths={"global": 1.0, "fires": 1.0}))
    with pytest.raises(FileFormatError, match="fires"):
        AlignedDirection.load(path)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ({"cross_attn": 7}, "'cross_attn' should be a dict"),
        ({"cross_attn": [["left_out"]]}, "'cross_attn' should be a dict"),
        ({"cross_attn": {"left_out": {}}}, "'left_out' should be a str"),
        ({"cross_attn": {"left_out": "two\nlines"}}, "'left_out' is longer than .* or not printable"),
    ],
)
def test_a_report_that_nodes_could_not_show_is_refused(path: Path, report: Any, message: str) -> None:
    forged.rewritten(path, document=lambda found: found.update(report=report))
    with pytest.raises(FileFormatError, match=message):
        AlignedDirection.load(path)


@pytest.mark.parametrize("prompts", [["a kite"] * 65, ["a kite", "x" * 20_001]], ids=["many", "long"])
def test_probe_prompts_that_would_take_long_to_encode_are_refused(path: Path, prompts: list[str]) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(probe_prompts=pack_text(tuple(prompts))))
    with pytest.raises(FileFormatError, match="at most 64 of 20,000 are allowed"):
        AlignedDirection.load(path)


def test_a_source_file_says_to_align_it_first(tmp_path: Path) -> None:
    builders.small_direction().save(tmp_path / "source.safetensors")
    with pytest.raises(FileFormatError, match=r"Align a source direction to a text encoder first"):
        AlignedDirection.load(tmp_path / "source.safetensors")


@pytest.mark.parametrize("broken", ["orthogonal", "against", "huge", "huge-strength"])
def test_a_forged_file_is_refused_or_steers_to_finite_numbers(path: Path, broken: str) -> None:
    def forge(held: dict[str, Tensor]) -> None:
        if broken == "orthogonal":
            held["cross_attn.vectors"][0] = torch.tensor([1.0, 0, 0, 0])
            held["cross_attn.readings"][0] = torch.tensor([0, 1.0, 0, 0])
        elif broken == "against":
            held["cross_attn.readings"].neg_()
        elif broken == "huge":
            held["cross_attn.vectors"].copy_(torch.full((2, 4), 3e38))

    strengths = {"global": 1e300 if broken == "huge-strength" else 1.0}
    forged.rewritten(path, tensors=forge, document=lambda found: found.update(strengths=strengths))
    states = 3 * torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(2))
    try:
        aligned = AlignedDirection.load(path)
        outcomes = [
            steer_conditioning({"cross_attn": states}, aligned, SteerSettings(operator=operator, gate="off"))
            for operator in ("clip", "project", "add")
        ]
    except SafetySteerError:
        return
    assert all(bool(torch.isfinite(outcome.tensors["cross_attn"]).all()) for outcome in outcomes)
