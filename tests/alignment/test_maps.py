"""Maps from anchors: ridge against its normal equations, Procrustes, the MLP's promise, determinism and memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from safety_steer.alignment.maps import MAPS, fit_map, mlp_map, ridge_map, svd_map
from safety_steer.errors import DataError


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "width"), [(60, 9), (9, 9), (12, 40)])
def test_ridge_solves_the_normal_equations_over_features_and_over_anchors(count: int, width: int) -> None:
    source, target, fresh = noise(count, width), noise(count, 5, seed=1), noise(7, width, seed=2)
    level = 0.1 * (source.numpy() ** 2).sum() / width
    weights = np.linalg.solve(source.numpy().T @ source.numpy() + level * np.eye(width), source.numpy().T @ target.numpy())
    assert np.allclose(ridge_map(source, target, ridge=0.1)(fresh).numpy(), fresh.numpy() @ weights)


def test_ridge_recovers_a_linear_map_as_the_penalty_vanishes() -> None:
    source, planted = noise(200, 8), noise(8, 12, seed=1)
    assert torch.allclose(ridge_map(source, source @ planted, ridge=1e-10)(torch.eye(8).double()), planted, atol=1e-6)


@pytest.mark.parametrize(("d_s", "d_t"), [(6, 6), (6, 10), (10, 6)])
def test_svd_is_a_scaled_partial_isometry(d_s: int, d_t: int) -> None:
    matrix = svd_map(noise(80, d_s), noise(80, d_s) @ noise(d_s, d_t, seed=3) + noise(80, d_t, seed=1))(torch.eye(d_s).double())
    values = np.linalg.svd(matrix.numpy(), compute_uv=False)
    assert np.allclose(values[: min(d_s, d_t)], values[0])
    assert values[0] > 0


@pytest.mark.parametrize("d_t", [8, 13])
def test_svd_recovers_a_planted_rotation_and_scale(d_t: int) -> None:
    rotation = torch.linalg.qr(noise(d_t, 8, seed=4)).Q.T
    source = noise(100, 8) * torch.linspace(0.5, 2, 8, dtype=torch.float64)
    fitted = svd_map(source, 1.7 * source @ rotation)
    assert torch.allclose(fitted(torch.eye(8).double()), 1.7 * rotation, atol=1e-6)


def test_svd_of_a_low_rank_ignores_the_axes_beyond_it() -> None:
    source = torch.cat([5 * noise(100, 3), 0.01 * noise(100, 4, seed=1)], dim=1)
    matrix = svd_map(source, source, rank=3)(torch.eye(7).double())
    assert torch.allclose(matrix[:3, :3], torch.eye(3).double(), atol=0.01)
    assert np.linalg.matrix_rank(matrix.numpy(), tol=1e-6) == 3


def error(name: str, source: Tensor, target: Tensor, train: int) -> float:
    fitted = fit_map(name, source[:train], target[:train])
    return float((fitted(source[train:]) - target[train:]).square().mean())


def test_mlp_beats_ridge_on_a_bent_map() -> None:
    source, planted = noise(1100, 6), noise(6, 4, seed=1)
    target = source @ planted + 3 * torch.tanh(2 * source @ noise(6, 4, seed=2))
    target = target - target.mean(0)
    assert error("mlp", source, target, 800) < 0.9 * error("ridge", source, target, 800)


def test_mlp_is_no_worse_than_ridge_where_bending_does_not_help() -> None:
    source = noise(600, 6)
    target = source @ noise(6, 4, seed=1) + noise(600, 4, seed=2)
    assert error("mlp", source, target, 400) <= 1.02 * error("ridge", source, target, 400)


def test_mlp_equals_ridge_on_targets_that_are_pure_noise() -> None:
    source, target = noise(300, 6), noise(300, 3, seed=5)
    held_out = torch.arange(300) % 10 == 9
    linear = ridge_map(source[~held_out], target[~held_out])
    assert float((mlp_map(source, target)(source) - linear(source)).square().mean()) < 0.05


@pytest.mark.parametrize("name", sorted(MAPS))
def test_fits_are_deterministic_and_leave_the_random_state_alone(name: str) -> None:
    source, target = noise(120, 7), noise(120, 7) @ noise(7, 5, seed=1)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = fit_map(name, source, target)(source)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(999)
    assert torch.equal(fit_map(name, source, target)(source), first)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_maps_fit_inside_inference_mode_and_leave_no_gradients(name: str) -> None:
    source, target = noise(120, 7), noise(120, 5, seed=1)
    outside = fit_map(name, source, target)(source)
    assert not outside.requires_grad
    with torch.inference_mode():
        inside = fit_map(name, source.clone(), target.clone())(source.clone())
    assert torch.allclose(inside, outside, atol=1e-6)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_maps_keep_the_dtype_of_their_input(name: str) -> None:
    for dtype in (torch.float32, torch.float64):
        source, target = noise(80, 7).to(dtype), noise(80, 5, seed=1).to(dtype)
        assert fit_map(name, source, target)(source).dtype == dtype


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(DataError, match="Expected map ridge, svd, mlp, but got 'affine'"):
        fit_map("affine", noise(9, 3), noise(9, 3))
