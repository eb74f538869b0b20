"""What a direction carried to CLIP vision is compared with: Text-Guided Alignment's adapter, and what saw unsafe pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from safety_steer.alignment import maps
from safety_steer.alignment.maps import ridge_map

ADAPTER_WIDTH, ADAPTER_STEPS, ADAPTER_BATCH = 128, 400, 192
CAPTION_TERM, RETRIEVED_TERM = 2 / 8, 1 / 10  # arXiv 2410.12662, its loss


def adapter_map(source: Tensor, target: Tensor) -> maps.Map:
    """Train Text-Guided Alignment's adapter on what a caption means to a picture: ridge(z) + W2 GELU(W1 z), W2 from zero.

    With C the carried caption, I its picture and R the retrieved one, the carried caption nearest to C of its batch, the loss
    is |C - I|^2 / |I|^2 + (1 - t) 2/8 exp(-cos(I, C)) + (1 - t)^2 1/10 exp(cos(R, C) - cos(I, C)), t the training's progress.
    """
    linear = ridge_map(source, target)
    inputs, wanted, base = source.float(), target.float(), linear(source).float()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        last = torch.nn.Linear(ADAPTER_WIDTH, wanted.shape[1])
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        network = torch.nn.Sequential(torch.nn.Linear(inputs.shape[1], ADAPTER_WIDTH), torch.nn.GELU(), last)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
        for step in range(ADAPTER_STEPS):
            left = 1 - step / ADAPTER_STEPS
            rows = torch.randint(len(inputs), (ADAPTER_BATCH,))
            carried, pictures = base[rows].clone() + network(inputs[rows].clone()), wanted[rows].clone()
            own = torch.nn.functional.cosine_similarity(carried, pictures, dim=-1)
            unit = torch.nn.functional.normalize(carried, dim=-1)
            retrieved = (unit @ unit.T).fill_diagonal_(-1).amax(-1)
            loss = (carried - pictures).square().sum() / pictures.square().sum()
            loss = loss + left * CAPTION_TERM * torch.exp(-own).mean()
            loss = loss + left**2 * RETRIEVED_TERM * torch.exp(retrieved - own).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.requires_grad_(False)
    return lambda rows: linear(rows) + network(rows.float()).to(rows.dtype)


def native(harmless: Tensor, unsafe: Tensor) -> Tensor:
    """Return weights (D,) of a linear discriminant of pooled pictures: what the target's own unsafe pictures would say."""
    sides = harmless.double(), unsafe.double()
    within = torch.cat([side - side.mean(0) for side in sides])
    covariance = within.T @ within / len(within)
    covariance.diagonal().add_(0.05 * covariance.diagonal().mean())
    weights: Tensor = torch.linalg.solve(covariance, sides[1].mean(0) - sides[0].mean(0)).float()
    return weights


def local_native(harmless: Tensor, unsafe: Tensor, seed: int) -> torch.nn.Module:
    """Train a small network that hears every patch (N, T, D) of the target's own unsafe pictures, added up as log-odds are."""
    states = torch.cat([harmless, unsafe]).clone()
    truth = torch.cat([torch.zeros(len(harmless)), torch.ones(len(unsafe))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Linear(states.shape[-1], 128), torch.nn.GELU(), torch.nn.Linear(128, 1))
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
        for _ in range(800):
            rows = torch.randint(len(states), (128,))
            score = network(states[rows])[..., 0].logsumexp(-1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(score - np.log(states.shape[1]), truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network.requires_grad_(False)
