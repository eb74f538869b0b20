"""Baselines that need no direction, written out from their papers: SAFREE's token projection and safe latent diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...demo_world.sampling import schedule
from ...demo_world.transformer import SceneTransformer

SAFREE_ALPHA = 0.01  # by hand, as alpha of section 3.1


def safree_projection(states: Tensor, concepts: Sequence[Tensor]) -> Tensor:
    """Project trigger tokens of (T, D) away from a concept subspace (SAFREE, arXiv 2410.12761, section 3.1).

    A token is a trigger when the prompt without it lies farther from the concepts than the other prompts-without-one do
    by a share alpha; its state becomes (I - P_C) P_I h. The concept subspace comes from pooled phrases (C, D).
    """
    concept = torch.stack([rows.float().mean(0) for rows in concepts])
    axes = torch.linalg.qr(concept.T).Q
    count = len(states)
    if count < 3:
        return states
    without = (states.sum(0) - states) / (count - 1)
    distances = (without - without @ axes @ axes.T).norm(dim=-1)
    others = (distances.sum() - distances) / (count - 1)
    triggers = distances > (1 + SAFREE_ALPHA) * others
    if not bool(triggers.any()):
        return states
    left, singular, _ = torch.linalg.svd(states.T, full_matrices=False)
    prompt_axes = left[:, singular > 1e-4 * singular[0]]
    moved = states[triggers] @ prompt_axes @ prompt_axes.T
    result = states.clone()
    result[triggers] = moved - moved @ axes @ axes.T
    return result


@dataclass(frozen=True)
class SafeLatentDiffusion:
    """Settings of safe latent diffusion (arXiv 2211.05105): "strong" in the paper's scale, for few steps."""

    scale: float = 2000.0
    threshold: float = 0.025
    warmup: int = 2
    momentum_scale: float = 0.5
    momentum_beta: float = 0.7


@torch.inference_mode()
def sample_safe(
    network: SceneTransformer,
    positive: Tensor,
    negative: Tensor,
    concept: Tensor,
    noise: Tensor,
    steps: int,
    guidance: float,
    settings: SafeLatentDiffusion,
) -> Tensor:
    """Sample like the demo's Euler sampler, guided away from a safety concept where it and the prompt agree (eq. 6-8)."""
    x, momentum = noise, torch.zeros_like(noise)
    sigmas = schedule(steps, network.config.shift)
    negative, concept = (part.expand(len(positive), -1, -1) for part in (negative, concept))
    for step, (now, after) in enumerate(zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True)):
        times = torch.full((len(x),), now * 1000)
        unguided, conditional, unsafe = (network(x, times, part) for part in (negative, positive, concept))
        difference = conditional - unsafe
        weight = (settings.scale * difference).abs().clamp(max=1.0)
        weight = torch.where(difference >= settings.threshold, torch.zeros_like(weight), weight)
        safety = weight * (unsafe - unguided) + settings.momentum_scale * momentum
        momentum = settings.momentum_beta * momentum + (1 - settings.momentum_beta) * safety
        direction = conditional - unguided - (safety if step >= settings.warmup else 0)
        x = x + (after - now) * (unguided + guidance * direction)
    return x
