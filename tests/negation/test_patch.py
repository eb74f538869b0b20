"""The patch file: small, checked, whole or absent; and only for the model it was made in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from safety_steer.errors import EncoderError, FileFormatError, MismatchError
from safety_steer.negation.layers import kind_of, linear_layers
from safety_steer.negation.models import negated
from safety_steer.negation.patch import LayerPatch, WeightPatch, matched, pack_places, signs, turned, unpack_places
from safety_steer.storage import container


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out_proj = nn.Linear(20, 30)


class Model(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.self_attn, self.fc2, self.embedding = Attention(), nn.Linear(20, 30), nn.Embedding(9, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.self_attn.out_proj(x) + self.fc2(x)


def patch_of(model: nn.Module, which: str = "both", places: tuple[int, ...] = (0, 7, 599)) -> WeightPatch:
    layers = linear_layers(model, which)
    found = {
        name: LayerPatch(tuple(layer.weight.shape), torch.tensor(places), signs(layer.weight))  # type: ignore[arg-type]
        for name, layer in layers.items()
    }
    return WeightPatch("a model", which, 0.02, True, 12, found)


@given(st.sets(st.integers(0, 3000)), st.booleans())
def test_places_come_back_as_they_were(places: set[int], far: bool) -> None:
    wanted = torch.tensor(sorted(place * (300 if far else 1) for place in places), dtype=torch.int64)
    packed = pack_places(wanted)
    assert packed.dtype == torch.uint8
    assert torch.equal(unpack_places(packed, 900_001), wanted)


def test_a_place_costs_about_a_byte() -> None:
    places = torch.randperm(1_000_000, generator=torch.Generator().manual_seed(0))[:10_000].sort().values
    assert len(pack_places(places)) < 1.6 * len(places)


@pytest.mark.parametrize("packed", [[0], [3, 0], [255], [7]])
def test_impossible_places_are_refused(packed: list[int]) -> None:
    with pytest.raises(FileFormatError, match="impossible"):
        unpack_places(torch.tensor(packed, dtype=torch.uint8), 6)


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    patch = patch_of(Model())
    patch.save(tmp_path / "patch.safetensors")
    back = WeightPatch.load(tmp_path / "patch.safetensors")
    assert back.content_hash == patch.content_hash
    assert (back.model, back.which, back.tau, back.weighted, back.pairs, back.alpha) == (
        "a model",
        "both",
        0.02,
        True,
        12,
        -1.0,
    )
    for name, layer in patch.layers.items():
        assert torch.equal(back.layers[name].places, layer.places)
        assert back.layers[name].shape == layer.shape
    assert back.count == 6
    assert back.share == pytest.approx(6 / 1200)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "patch.safetensors"
    patch_of(Model()).save(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="damaged"):
        WeightPatch.load(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "aligned-direction"}, "safety-steer negate"),
        ({"schema": 2}, "Update Safety Steer"),
        ({"tau": 0.0}, "tau between"),
        ({"alpha": 1e9}, "alpha of 10"),
        ({"layers": []}, "layers with names"),
        ({"layers": [{"name": "fc2", "shape": [30, 2, 1]}]}, "two sizes"),
        ({"layers": [{"name": "fc2", "shape": [30, 0]}]}, "two sizes"),
        ({"layers": [{"name": "fc2", "shape": [2, 2]}]}, "impossible"),
        ({"layers": [{"name": "fc2", "shape": [30, 20]}] * 2}, "layers with names"),
    ],
)
def test_a_file_that_says_something_impossible_is_refused(change: dict[str, object], says: str) -> None:
    patch = patch_of(Model(), "*fc2")
    with pytest.raises(FileFormatError, match=says):
        WeightPatch.parse({**patch._document(), **change}, patch._tensors())


def test_a_tensor_too_many_is_refused(tmp_path: Path) -> None:
    patch = patch_of(Model())
    container.write(tmp_path / "x.safetensors", patch._document(), {**patch._tensors(), "more": torch.zeros(1)})
    with pytest.raises(FileFormatError, match="Unexpected tensor"):
        WeightPatch.load(tmp_path / "x.safetensors")


def test_weights_are_multiplied_in_a_copy() -> None:
    weight = torch.randn(3, 4)
    before = weight.clone()
    places = torch.tensor([1, 11])
    once = turned(weight, places, -1.0)
    assert torch.equal(weight, before)
    assert torch.equal(once.view(-1)[places], -before.view(-1)[places])
    assert torch.equal(turned(once, places, -1.0), before)
    assert torch.equal(turned(weight, places, -1.0, 0.0), before)
    assert torch.equal(turned(weight.T, torch.tensor([1]), -1.0).T, torch.where(turned_at(weight.T, 1), -weight.T, weight.T).T)


def turned_at(weight: torch.Tensor, place: int) -> torch.Tensor:
    return (torch.arange(weight.numel()) == place).view(weight.shape)


def test_a_module_has_its_very_tensors_back_afterwards() -> None:
    model, x = Model(), torch.randn(2, 20)
    before, said = dict(model.named_parameters()), model(x)
    with negated(model, patch_of(model)):
        assert not torch.equal(model(x), said)
        with negated(model, patch_of(model)):
            pass
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert torch.equal(model(x), said)


def test_negating_twice_gives_the_weights_back() -> None:
    model, x = Model(), torch.randn(2, 20)
    said, patch = model(x), patch_of(model)
    with negated(model, patch), negated(model, patch):
        assert torch.equal(model(x), said)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_patch_of_half_of_all_weights_is_known_again_where_it_was_applied(dtype: torch.dtype) -> None:
    model = Model()
    patch = patch_of(model, places=tuple(range(0, 600, 2)))
    layers = linear_layers(model, "both")
    once = {name: turned(layer.weight.to(dtype), patch.layers[name].places, -1.0) for name, layer in layers.items()}
    assert set(matched(patch, dict.fromkeys(once, (30, 20)), once.__getitem__)) == set(once)
    with pytest.raises(MismatchError):
        matched(patch, dict.fromkeys(once, (30, 20)), lambda name: linear_layers(Model(1), "both")[name].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_a_patch_knows_its_model_in_every_precision_and_under_longer_names(dtype: torch.dtype) -> None:
    model = Model()
    shapes = {f"clip_l.transformer.{name}": (30, 20) for name in ("self_attn.out_proj", "fc2", "other")}
    parameters = {f"clip_l.transformer.{name}": value.to(dtype) for name, value in model.state_dict().items()}
    found = matched(patch_of(model), shapes, lambda name: parameters[f"{name}.weight"])
    assert set(found) == {"clip_l.transformer.self_attn.out_proj", "clip_l.transformer.fc2"}


def test_of_two_encoders_with_the_same_names_the_right_one_is_found() -> None:
    both = nn.ModuleDict({"one": Model(1), "two": Model(2)})
    weights = linear_layers(both, "*")
    found = matched(patch_of(Model(2)), dict.fromkeys(weights, (30, 20)), lambda name: weights[name].weight)
    assert set(found) == {"two.self_attn.out_proj", "two.fc2"}


@pytest.mark.parametrize(("other", "says"), [(Model(1), "other weights"), (nn.Sequential(nn.Linear(20, 30)), "not have that")])
def test_a_patch_of_another_model_is_refused(other: nn.Module, says: str) -> None:
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(MismatchError, match=says), negated(other, patch_of(Model())):
        pytest.fail("it should not come here")
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_a_patch_of_another_shape_is_refused() -> None:
    patch = patch_of(Model())
    wrong = {name: replace(layer, shape=(20, 30)) for name, layer in patch.layers.items()}
    with pytest.raises(MismatchError), negated(Model(), replace(patch, layers=wrong)):
        pytest.fail("it should not come here")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text_model.encoder.layers.0.self_attn.out_proj", "attention"),
        ("encoder.block.1.layer.0.SelfAttention.o", "attention"),
        ("transformer.model.layers.3.self_attn.o_proj", "attention"),
        ("encoder.layer.0.attention.output.dense", "attention"),
        ("encoder.layers.2.mixer.out_proj", "attention"),
        ("text_model.encoder.layers.0.mlp.fc2", "feed-forward"),
        ("encoder.block.1.layer.1.DenseReluDense.wo", "feed-forward"),
        ("model.layers.3.mlp.down_proj", "feed-forward"),
        ("encoder.layer.0.output.dense", "feed-forward"),
        ("encoder.layer.0.intermediate.dense", None),
        ("pooler.dense", None),
        ("encoder.layer.0.attention.self.query", None),
        ("layers.0.self_attn.q_proj", None),
        ("layers.0.mlp.fc1", None),
        ("text_projection", None),
    ],
)
def test_layers_are_told_apart_by_their_names(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(EncoderError, match="no linear layers of the kind 'attention' among its 1"):
        linear_layers(nn.Sequential(nn.Linear(2, 2)), "attention")
    assert list(linear_layers(Model(), "*.out_proj")) == ["self_attn.out_proj"]
