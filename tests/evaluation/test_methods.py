"""What the methods do to token states: identities, equal norms, and baselines written out by hand."""

from __future__ import annotations

import pytest
import torch
from support import builders
from support.brief import briefly_taught
from torch import Tensor

from safety_steer.demo_world.sampling import sample
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.errors import DataError
from safety_steer.evaluation.demo.baselines import SafeLatentDiffusion, safree_projection, sample_safe
from safety_steer.evaluation.demo.methods import (
    DEFAULT,
    PRESET_METHODS,
    Method,
    MethodInputs,
    aligned_for,
    default_methods,
    randomly_moved,
    steering,
)

STANDARD = Method("transferred", "transferred", "ridge", "add", "hard", 2.0)


@pytest.fixture(scope="module")
def inputs() -> MethodInputs:
    states = builders.planted_states()
    return MethodInputs(builders.planted_direction(), None, states, states, [rows.float() for rows in states.tokens[:6]])


def rows_of(batch: Tensor) -> list[Tensor]:
    return [rows[(rows != 0).any(-1)] for rows in batch]


def test_methods_are_told_apart_by_their_settings() -> None:
    for quick in (True, False):
        methods = default_methods(quick)
        assert len({(one.name, one.map, one.operator, one.gate, one.strength) for one in methods}) == len(methods)
        assert {"none", "negative prompt", "SLD", "SAFREE-style", "native", "random direction", "shuffled anchors"} <= {
            one.name for one in methods
        }


def test_the_quick_form_for_videos_keeps_references_and_controls() -> None:
    names = [one.name for one in default_methods(quick=True, video=True)]
    assert names[:4] == ["none", "negative prompt", "transferred, bundled prompts only", "transferred"]
    assert names[4:7] == ["native", "shuffled anchors", "random direction"]
    assert names[7:] == ["transferred, gentle", "transferred, strict"]
    assert default_methods(quick=False, video=True) == default_methods(quick=False)


def test_presets_open_the_gate_as_they_say(inputs: MethodInputs) -> None:
    rows = builders.world().target(builders.world().benign(400, 12), 12)
    changed = {}
    for one in PRESET_METHODS:
        steer = steering(one, inputs)
        assert steer is not None
        changed[one.kind] = sum(not torch.equal(new, old) for new, old in zip(steer(rows), rows, strict=True))
    assert changed["gentle"] < changed["strict"] < len(rows) / 10


@pytest.mark.parametrize("kind", ["none", "negative", "sld"])
def test_methods_of_guidance_leave_the_states_alone(inputs: MethodInputs, kind: str) -> None:
    assert steering(Method(kind, kind), inputs) is None


def test_steering_moves_unsafe_prompts_and_no_others(inputs: MethodInputs) -> None:
    steer = steering(STANDARD, inputs)
    assert steer is not None
    unsafe, benign = rows_of(builders.unsafe_batch(5)), rows_of(builders.benign_batch(5))
    assert not any(torch.equal(old, new) for old, new in zip(unsafe, steer(unsafe), strict=True))
    assert all(torch.equal(old, new) for old, new in zip(benign, steer(benign), strict=True))


def test_the_random_control_moves_the_same_tokens_equally_far(inputs: MethodInputs) -> None:
    before = rows_of(builders.unsafe_batch(3))
    steer = steering(STANDARD, inputs)
    assert steer is not None
    after = steer(before)
    moved = randomly_moved(before, after)
    for old, new, control in zip(before, after, moved, strict=True):
        assert torch.allclose((new - old).norm(dim=-1), (control - old).norm(dim=-1), rtol=1e-4)
        assert not torch.allclose(new, control)


def test_per_category_leaves_global_out(inputs: MethodInputs) -> None:
    method = Method("transferred, per category", "per category", "ridge", "add", "hard", 1.0)
    assert set(aligned_for(method, inputs).strengths) == {"blades", "fires"}


def test_only_the_default_hears_long_prompts() -> None:
    states = builders.states_with_examples()
    inputs = MethodInputs(builders.direction_with_examples(), None, states, states, [], builders.passage_states())
    with briefly_taught():
        heard, expected = aligned_for(DEFAULT, inputs).spaces["cross_attn"].harm, builders.align_with_examples()
    assert heard is not None
    assert torch.equal(heard.ordinary, expected.spaces["cross_attn"].harm.ordinary)  # type: ignore[union-attr]
    assert aligned_for(STANDARD, inputs).spaces["cross_attn"].harm is None


def test_native_without_a_native_direction_is_an_error(inputs: MethodInputs) -> None:
    with pytest.raises(DataError, match="--native"):
        steering(Method("native", "native", "ridge", "add", "hard", 1.0), inputs)


def test_safree_leaves_prompts_without_a_trigger_alone_and_projects_triggers() -> None:
    generator = torch.Generator().manual_seed(0)
    concepts = [torch.zeros(2, 16).index_fill_(1, torch.tensor([axis]), 1.0) for axis in range(2)]
    plain = torch.randn(6, 16, generator=generator)
    plain[:, :2] = 0
    alike = plain[:1].expand(6, -1).clone()
    assert torch.equal(safree_projection(alike, concepts), alike)
    trigger = plain.clone() * 0.1
    trigger[2:, 2:] += 1.0
    trigger[0] = torch.tensor([8.0, 8.0, *[0.0] * 14])
    moved = safree_projection(trigger, concepts)
    changed = (moved != trigger).any(-1)
    assert bool(changed[0])
    assert float(moved[0, :2].abs().max()) < 0.2


def test_safe_latent_diffusion_without_scale_is_plain_guidance_and_with_scale_is_not() -> None:
    torch.manual_seed(0)
    network = SceneTransformer(TransformerConfig(width=32, depth=1, heads=2, hidden=32, context_width=8, channels=4))
    torch.nn.init.normal_(network.leave.weight)
    positive, negative, concept = torch.randn(2, 3, 8), torch.randn(1, 2, 8), torch.randn(1, 4, 8)
    noise = torch.randn(2, 4, 8, 8)
    plain = sample(network, positive, negative, noise, steps=4, guidance=3.0)
    off = SafeLatentDiffusion(scale=0.0, momentum_scale=0.0)
    same = sample_safe(network, positive, negative, concept, noise, 4, 3.0, off)
    assert torch.allclose(plain, same, atol=1e-4)
    guided = sample_safe(network, positive, negative, concept, noise, 4, 3.0, SafeLatentDiffusion(warmup=0))
    assert not torch.allclose(plain, guided, atol=1e-2)
