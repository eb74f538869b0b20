"""Maps from a source space to a target space, fitted on benign anchors only: ridge, svd (Procrustes) and mlp.

All inputs are standardised anchors, one row a prompt: source (N, d_s), target (N, d_t). A fitted map takes rows
(M, d_s) to rows (M, d_t). No (d_t, d_t) matrix is ever formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..errors import DataError
from ..statistics import principal_axes

Map = Callable[[Tensor], Tensor]
RIDGE = 0.3  # by hand; docs/gate.md: others are within a point of it
RANK = 256  # by hand
HIDDEN = 512  # by hand
MAX_EPOCHS = 200  # by hand
PATIENCE = 10  # by hand


def fit_map(name: str, source: Tensor, target: Tensor) -> Map:
    """Fit the map called `name` ("ridge", "svd" or "mlp"); raises DataError for another name."""
    if name not in MAPS:
        raise DataError(f"Expected map {', '.join(MAPS)}, but got '{name}'.")
    return MAPS[name](source, target)


def fit_maps(name: str, source: Tensor, targets: Sequence[Tensor]) -> list[Map]:
    """Fit one map to each of several targets of one width (N, d_t); ridge solves them all with one factorisation."""
    if name != "ridge":
        return [fit_map(name, source, target) for target in targets]
    width = targets[0].shape[1]
    together = ridge_map(source, torch.cat(list(targets), dim=1))

    def part(number: int) -> Map:
        return lambda rows: together(rows)[:, number * width : (number + 1) * width]

    return [part(number) for number in range(len(targets))]


def ridge_map(source: Tensor, target: Tensor, ridge: float = RIDGE) -> Map:
    """Fit W = argmin |S W - T|^2 + l |W|^2, l = ridge * the mean squared anchor channel (arXiv 2606.05290 eq. 17-18).

    Solved over features when d_s <= N, else over anchors with the kernel trick.
    """
    count, width = source.shape
    level = ridge * source.square().sum() / width
    if width <= count:
        system = source.T @ source
        system.diagonal().add_(level)
        torch.linalg.cholesky(system, out=system)
        weights = torch.cholesky_solve(source.T @ target, system)
        return lambda rows: rows @ weights
    kernel = source @ source.T
    kernel.diagonal().add_(level)
    torch.linalg.cholesky(kernel, out=kernel)
    return lambda rows: torch.cholesky_solve(source @ rows.T, kernel).T @ target


def svd_map(source: Tensor, target: Tensor, rank: int = RANK) -> Map:
    """Fit an orthogonal Procrustes map (arXiv 2606.05290 eq. 14-16) between the leading principal axes of both sides.

    U V^T of the cross-covariance in at most `rank` axes of each side, a partial isometry when d_s != d_t; the noise
    beyond them would otherwise turn at random. One least-squares scale brings it to the target's size.
    """
    rank = min(rank, *source.shape, *target.shape)
    source_axes, target_axes = principal_axes(source, rank), principal_axes(target, rank)
    reduced = source @ source_axes
    left, _, right = torch.linalg.svd(reduced.T @ (target @ target_axes), full_matrices=False)
    rotation = left @ right
    scale = (reduced @ rotation * (target @ target_axes)).sum() / reduced.square().sum()
    return lambda rows: scale * (rows @ source_axes @ rotation) @ target_axes.T


def mlp_map(source: Tensor, target: Tensor, hidden: int = HIDDEN) -> Map:
    """Train a one-hidden-layer GELU network (eq. 19-20) on what the ridge map leaves: ridge(z) + W2 GELU(W1 z + b1) + b2.

    W2 starts at zero and training stops early on a tenth of the anchors, so that the map is ridge where bending it does
    not help. AdamW by MSE on batches of 256 with a fixed seed; the global random state is left as it was.
    """
    held_out = torch.arange(len(source)) % 10 == 9
    linear = ridge_map(source[~held_out], target[~held_out])
    inputs, rest = source.float(), (target - linear(source)).float()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        last = nn.Linear(hidden, rest.shape[1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        network = nn.Sequential(nn.Linear(inputs.shape[1], hidden), nn.GELU(), last)
        _train(network, inputs[~held_out].clone(), rest[~held_out].clone(), inputs[held_out], rest[held_out])
    network.requires_grad_(False)
    return lambda rows: linear(rows) + network(rows.float()).to(rows.dtype)


def _train(network: nn.Module, inputs: Tensor, outputs: Tensor, check: Tensor, check_outputs: Tensor) -> None:
    """Train in place until the check loss has not fallen for a while, and leave the weights of its lowest point."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
    best, waited = float("inf"), 0
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(MAX_EPOCHS):
        with torch.no_grad():
            loss = float(nn.functional.mse_loss(network(check), check_outputs))
        waited = 0 if loss < best else waited + 1
        if loss < best:
            best, state = loss, {name: value.clone() for name, value in network.state_dict().items()}
        if waited >= PATIENCE:
            break
        for rows in torch.randperm(len(inputs)).split(256):
            optimiser.zero_grad()
            nn.functional.mse_loss(network(inputs[rows]), outputs[rows]).backward()
            optimiser.step()
    network.load_state_dict(state)


MAPS: dict[str, Callable[[Tensor, Tensor], Map]] = {"ridge": ridge_map, "svd": svd_map, "mlp": mlp_map}
