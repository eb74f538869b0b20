"""SafetyDirection: exact round trips, and one clear refusal for every file that is not exactly one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import builders, forged
from torch import Tensor

from safety_steer.directions.source import SafetyDirection, pack_text, rounded, unpack_text
from safety_steer.errors import FileFormatError
from safety_steer.storage import container

MATRICES = ("vectors", "readings", "probe_weights", "safe_means", "unsafe_means")
TENSORS = (*MATRICES, "mean", "scale", "probe_biases", "spread", "anchor_activations", "anchors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.safetensors"
    builders.small_direction().save(target)
    return target


def assert_same(one: SafetyDirection, other: SafetyDirection) -> None:
    for item in fields(SafetyDirection):
        first, second = getattr(one, item.name), getattr(other, item.name)
        if isinstance(first, Tensor):
            assert first.dtype == second.dtype
            assert torch.equal(first, second), item.name
        else:
            assert first == second, item.name


def test_a_saved_direction_loads_exactly_equal(path: Path) -> None:
    original, loaded = builders.small_direction(), SafetyDirection.load(path)
    assert_same(original, loaded)
    assert loaded.content_hash == original.content_hash == container.read(path)[0]["content_hash"]


def test_an_extracted_direction_survives_the_file(tmp_path: Path) -> None:
    original = builders.planted_direction()
    original.save(tmp_path / "planted.safetensors")
    assert_same(original, SafetyDirection.load(tmp_path / "planted.safetensors"))


def test_the_hash_changes_with_every_field() -> None:
    original = builders.small_direction()
    seen = {original.content_hash}
    for item in fields(SafetyDirection):
        value = getattr(original, item.name)
        if isinstance(value, Tensor):
            changed: Any = value + 1
        elif isinstance(value, str):
            changed = value + "x"
        elif item.name == "source":
            changed = replace(value, name="other")
        elif item.name == "report":
            changed = {"pairs": {}}
        elif item.name == "examples":
            changed = builders.small_examples()
        else:
            changed = (*value, 9) if item.name == "layers" else (*value, "more")
        seen.add(replace(original, **{item.name: changed}).content_hash)
    assert len(seen) == len(fields(SafetyDirection)) + 1


def test_scores_read_standardised_activations() -> None:
    direction = builders.small_direction()
    activations = torch.randn(5, direction.width, generator=torch.Generator().manual_seed(1))
    for row, expected in zip(activations, direction.score(activations), strict=True):
        for category in range(2):
            value = sum(
                (float(row[i]) - float(direction.mean[i])) / float(direction.scale[i]) * float(direction.readings[category, i])
                for i in range(direction.width)
            )
            assert float(expected[category]) == pytest.approx(value, abs=1e-9)


def test_a_direction_in_several_layers_is_as_wide_as_all_of_them(tmp_path: Path) -> None:
    wide = replace(builders.small_direction(width=8), layers=(1, 2), source=replace(builders.small_direction().source, width=4))
    wide.save(tmp_path / "wide.safetensors")
    assert SafetyDirection.load(tmp_path / "wide.safetensors").width == 8


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held.pop(name))
    with pytest.raises(FileFormatError, match=f"'{name}' is missing"):
        SafetyDirection.load(path)


def test_an_extra_tensor_is_named(path: Path) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(payload=torch.zeros(3)))
    with pytest.raises(FileFormatError, match="Unexpected tensor 'payload'"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[None], lambda t: t[..., :0], lambda t: t.flatten()[0]])
def test_a_tensor_of_another_dtype_or_shape_is_named(path: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    forged.rewritten(path, tensors=lambda held: held.__setitem__(name, change(held[name]).contiguous()))
    with pytest.raises(FileFormatError, match=f"'{name}' should be"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("name", MATRICES)
def test_a_row_too_many_is_refused(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held.__setitem__(name, torch.cat([held[name], held[name][:1]])))
    with pytest.raises(FileFormatError, match=f"'{name}' should be"):
        SafetyDirection.load(path)


def test_a_zero_vector_is_refused_with_its_category(path: Path) -> None:
    forged.rewritten(path, tensors=lambda held: held["vectors"][1].zero_())
    with pytest.raises(FileFormatError, match="'blades' is a zero vector"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_scale_that_is_not_positive_is_refused(path: Path, value: float) -> None:
    forged.rewritten(path, tensors=lambda held: held["scale"].__setitem__(2, value))
    with pytest.raises(FileFormatError, match="above 0"):
        SafetyDirection.load(path)


def test_anchor_prompts_must_match_their_activations(path: Path) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(anchors=pack_text(("one", "two"))))
    with pytest.raises(FileFormatError, match="2 anchor prompts but 6 activations"):
        SafetyDirection.load(path)


def test_anchor_prompts_must_be_text(path: Path) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(anchors=torch.full((9,), 255, dtype=torch.uint8)))
    with pytest.raises(FileFormatError, match="UTF-8"):
        SafetyDirection.load(path)


def test_packed_text_comes_back() -> None:
    lines = ("a kite", "", "ein Schirm, ein Drachen: 傘", "last ")
    assert unpack_text(pack_text(lines)) == lines


@pytest.mark.parametrize("schema", [0, 2, "1", None, 1.5, [1], 10**30])
def test_another_schema_asks_for_an_update(path: Path, schema: Any) -> None:
    forged.rewritten(path, document=lambda found: found.update(schema=schema))
    with pytest.raises(FileFormatError, match=r"schema version 1.*Update"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("kind", ["", "safety-directions", None, 1, ["safety-direction"], {}])
def test_another_kind_is_refused(path: Path, kind: Any) -> None:
    forged.rewritten(path, document=lambda found: found.update(kind=kind))
    with pytest.raises(FileFormatError, match="Expected a file of kind 'safety-direction'"):
        SafetyDirection.load(path)


def test_an_aligned_file_says_to_choose_the_source_direction(tmp_path: Path) -> None:
    builders.small_aligned().save(tmp_path / "aligned.safetensors")
    with pytest.raises(FileFormatError, match=r"fitted to one encoder already: choose the source direction"):
        SafetyDirection.load(tmp_path / "aligned.safetensors")


@pytest.mark.parametrize("key", ["source", "layers", "pooling", "estimator", "categories", "report"])
@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text" * 2000, [], [[]], [None], {}, {"name": 1}])
def test_metadata_of_the_wrong_kind_is_refused(path: Path, key: str, value: Any) -> None:
    if key == "report" and isinstance(value, dict):
        pytest.skip("a report may be any table")
    forged.rewritten(path, document=lambda found: found.update({key: value}))
    with pytest.raises(FileFormatError):
        SafetyDirection.load(path)


@pytest.mark.parametrize("key", ["kind", "schema", "source", "layers", "pooling", "estimator", "categories", "report"])
def test_metadata_must_not_be_missing(path: Path, key: str) -> None:
    forged.rewritten(path, document=lambda found: found.pop(key))
    with pytest.raises(FileFormatError):
        SafetyDirection.load(path)


@pytest.mark.parametrize("key", ["name", "architecture", "width", "depth"])
@pytest.mark.parametrize("value", [None, True, [], 2.0, -1])
def test_a_source_of_the_wrong_kind_is_refused(path: Path, key: str, value: Any) -> None:
    forged.rewritten(path, document=lambda found: found["source"].update({key: value}))
    with pytest.raises(FileFormatError):
        SafetyDirection.load(path)


@pytest.mark.parametrize("layers", [[], [-1], [4], [10**20], [True], [2.0], ["2"], [2] * 300])
def test_layers_the_model_does_not_have_are_refused(path: Path, layers: list[Any]) -> None:
    forged.rewritten(path, document=lambda found: found.update(layers=layers))
    with pytest.raises(FileFormatError):
        SafetyDirection.load(path)


@pytest.mark.parametrize(
    "categories",
    [["blades", "global"], ["global", "global"], ["global", ""], ["global", "x" * 65], ["global", "\x1b[2J"], ["global", 1],
     ["global", None], ["global"], ["global", *map(str, range(300))], ["global", "a\nb"], ["global", "\ud800"]],
)  # fmt: skip
def test_unusable_categories_are_refused(path: Path, categories: list[Any]) -> None:
    forged.rewritten(path, document=lambda found: found.update(categories=categories))
    with pytest.raises(FileFormatError):
        SafetyDirection.load(path)


def test_a_direction_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        builders.small_direction().pooling = "last"  # type: ignore[misc]


def test_what_is_saved_can_be_loaded_again_or_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lines.safetensors"
    original = replace(builders.small_direction(anchors=2), anchors=("a kite\nin a park", "a map"))
    try:
        original.save(path)
    except FileFormatError:
        assert not path.exists()
    else:
        assert SafetyDirection.load(path).anchors == original.anchors


def test_as_many_categories_as_can_be_saved_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    original = builders.small_direction()
    changes: dict[str, Any] = {name: getattr(original, name)[:1].repeat(301, 1) for name in MATRICES}
    changes["probe_biases"] = torch.zeros(301)
    changes["categories"] = ("global", *(f"kind {number}" for number in range(300)))
    try:
        replace(original, **changes).save(path)
    except FileFormatError:
        assert not path.exists()
    else:
        assert len(SafetyDirection.load(path).categories) == 301


def test_anchor_activations_are_rounded_once_and_then_kept_exactly(tmp_path: Path) -> None:
    values = torch.cat([torch.randn(40, 6) * 3, torch.tensor([[0.0, 1e-9, -1e-9, 448.0, 1e5, -1e5]])])
    once = rounded(values)
    assert torch.equal(rounded(once), once)
    assert torch.allclose(once[:40].float(), values[:40], rtol=1 / 16, atol=2**-9)
    assert once[40].tolist() == [0, 0, 0, 448, 448, -448]
    original = builders.small_direction()
    original.save(tmp_path / "kept.safetensors")
    assert torch.equal(SafetyDirection.load(tmp_path / "kept.safetensors").anchor_activations, original.anchor_activations)


def test_an_activation_that_is_no_number_is_refused(path: Path) -> None:
    def spoil(held: dict[str, Tensor]) -> None:
        held["anchor_activations"].view(torch.uint8)[0, 0] = 0x7F

    forged.rewritten(path, tensors=spoil)
    with pytest.raises(FileFormatError, match="NaN or Inf in tensor 'anchor_activations'"):
        SafetyDirection.load(path)
