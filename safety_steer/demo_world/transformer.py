"""The generator: a rectified-flow transformer over latents, told what to draw by token states.

Text acts in two ways, as in large generators: every block attends to the token states, and their mean joins the time
in the modulation of every block (one shared modulation and a learned table per block). All-zero rows of the
context are padding.

Videos are animated on twos: a pose is held for two frames. To the network a video is one longer picture of its poses, whose
tokens attend to each other, each the mean of the frames that hold it: so it can start from what the image network knows and
draws the same thing in every pose from the first step on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scenes import HOLD

TIMESTEPS = 1000.0
LEAST_TIME = 0.05


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the generator; `frames` is 1 for images, `context_norm` normalises each token of a wild context.

    `shift` moves the sampler's noise levels up (arXiv 2403.03206, eq. 23): the frames of a video show much the same, so that
    together they see through more noise.
    """

    channels: int = 32
    size: int = 8
    width: int = 256
    depth: int = 6
    heads: int = 4
    hidden: int = 1024
    context_width: int = 384
    context_norm: bool = False
    frames: int = 1
    shift: float = 1.0


class SceneTransformer(nn.Module):
    """Predict noise - x0 from x_t = (1 - t) x0 + t noise, timesteps t x 1000, and a context (B, T, D)."""

    context_mean: Tensor
    context_scale: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        """Make an untrained generator."""
        super().__init__()
        self.config = config
        width, tokens = config.width, config.size * config.size
        self.register_buffer("context_mean", torch.zeros(config.context_width))
        self.register_buffer("context_scale", torch.ones(config.context_width))
        self.enter = nn.Linear(config.channels, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.context_in = nn.Linear(config.context_width, width)
        self.null_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.time_in = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.pooled_in = nn.Sequential(nn.Linear(config.context_width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.final = nn.Parameter(torch.zeros(2, width))
        self.leave = nn.Linear(width, config.channels)
        if config.frames > 1:
            self.moment = nn.Parameter(torch.zeros(config.frames // HOLD, width))
        for layer in (self.modulation, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Take x (B, C, h, w), or (B, C, T, h, w) for video; return the velocity in the same shape."""
        grid = to_grid(x)
        hidden = self.enter_grid(grid, timesteps)
        time, shared, tokens, bias = self.condition(timesteps, context, hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, shared, tokens, bias)
        return from_grid(self.leave_grid(hidden, time, grid, timesteps), x)

    def enter_grid(self, grid: Tensor, timesteps: Tensor) -> Tensor:
        """Return tokens (B, N, width) of a grid, each with its place and moment."""
        if self.config.frames == 1:
            return cast(Tensor, self.enter(grid) + self.position)
        pose, _ = self._pose(grid, timesteps)
        return cast(Tensor, self.enter(pose) + (self.position + self.moment[:, None]).flatten(0, 1))

    def condition(self, timesteps: Tensor, context: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what conditions all blocks: time with pooled text, their shared modulation, text tokens and their bias."""
        tokens, bias, pooled = self._context(context)
        time = self.time_in(_waves(self._pose_time(timesteps)).to(dtype)) + pooled
        return time, self.modulation(F.silu(time)).view(len(time), 6, -1), tokens, bias

    def leave_grid(self, hidden: Tensor, time: Tensor, grid: Tensor, timesteps: Tensor) -> Tensor:
        """Return the velocity of a grid, given what the blocks made of its tokens."""
        shift, scale = (self.final + time[:, None]).unsqueeze(2).unbind(1)
        velocity: Tensor = self.leave(_normalise(hidden) * (1 + scale) + shift)
        if self.config.frames == 1:
            return velocity
        pose, share = self._pose(grid, timesteps)
        clean = (pose - share * velocity).repeat(1, 1, HOLD)
        return (grid - clean) / (timesteps.view(-1, 1, 1) / TIMESTEPS).clamp(min=LEAST_TIME)

    def _pose_time(self, timesteps: Tensor) -> Tensor:
        """Return the timesteps of poses: of the noise of the frames that hold one, the mean has a part (variance)."""
        share, root = timesteps / TIMESTEPS, math.sqrt(HOLD)
        return timesteps if self.config.frames == 1 else TIMESTEPS * share / (share + root * (1 - share))

    def _pose(self, grid: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return poses (B, N, C), each as a noisy picture of its own, and their time (B, 1, 1)."""
        share, root = (timesteps / TIMESTEPS).view(-1, 1, 1), math.sqrt(HOLD)
        mean = grid.unflatten(-1, (HOLD, -1)).mean(2)
        return mean * root / (share + root * (1 - share)), share / (share + root * (1 - share))

    def _context(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return projected tokens with a token of no meaning first, the bias that hides padding, and the pooled text."""
        real = (context != 0).any(-1)
        states = (context - self.context_mean.to(context)) / self.context_scale.to(context)
        if self.config.context_norm:
            states = _normalise(states)
        states = states * real[..., None].to(states.dtype)
        pooled = states.sum(1) / real.sum(1, keepdim=True).clamp(min=1).to(states.dtype)
        tokens = torch.cat([self.null_token.expand(len(states), -1, -1).to(states.dtype), self.context_in(states)], dim=1)
        shown = F.pad(real, (1, 0), value=True)
        bias = torch.zeros(shown.shape, dtype=torch.float32, device=context.device).masked_fill(~shown, -1e4)
        return tokens, bias[:, None, None], self.pooled_in(pooled)


def to_grid(x: Tensor) -> Tensor:
    """Return what stands at every patch of latents (B, C, h, w), (B, h * w, C), or of each pose of (B, C, T, h, w).

    The latter is (B, T / 2 * h * w, 2 * C): both frames that hold a pose, side by side.
    """
    if x.dim() == 4:
        return x.flatten(2).transpose(1, 2)
    batch, channels, frames, height, width = x.shape
    poses = x.reshape(batch, channels, frames // HOLD, HOLD, height, width).permute(0, 2, 4, 5, 3, 1)
    return poses.flatten(4).flatten(1, 3)


def from_grid(grid: Tensor, like: Tensor) -> Tensor:
    """Undo `to_grid`."""
    if like.dim() == 4:
        return grid.transpose(1, 2).reshape(like.shape)
    batch, channels, frames, height, width = like.shape
    poses = grid.reshape(batch, frames // HOLD, height, width, HOLD, channels)
    return poses.permute(0, 5, 1, 4, 2, 3).flatten(2, 3)


class Block(nn.Module):
    """Attention over the picture or video, attention to the text, and a gated feed-forward part."""

    def __init__(self, config: TransformerConfig) -> None:
        """Make one block."""
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.table = nn.Parameter(torch.randn(6, width) * 0.02)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.text_query = nn.Linear(width, width)
        self.text_keys = nn.Linear(width, 2 * width)
        self.text_out = nn.Linear(width, width)
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, width)
        for layer in (self.out, self.text_out, self.down):
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(config.depth))

    def forward(self, x: Tensor, shared: Tensor, tokens: Tensor, bias: Tensor) -> Tensor:
        """Take tokens (B, N, width) and what all blocks are conditioned on."""
        parts = (shared + self.table)[:, :, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = parts.unbind(1)
        query, key, value = self.qkv(_normalise(x) * (1 + scale1) + shift1).chunk(3, -1)
        x = x + (1 + gate1) * self.out(_attend(query, key, value, self.heads))
        query = self.text_query(_normalise(x))
        key, value = self.text_keys(tokens).chunk(2, -1)
        x = x + self.text_out(_attend(query, key, value, self.heads, bias))
        inner = F.relu(self.up(_normalise(x) * (1 + scale2) + shift2)).square()
        result: Tensor = x + (1 + gate2) * self.down(inner)
        return result


def _normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Attend plainly: on CPUs and for so few tokens this is faster than fused kernels."""
    batch, count, width = query.shape
    query, key, value = (part.view(batch, -1, heads, width // heads).transpose(1, 2) for part in (query, key, value))
    scores = (query * (width // heads) ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    result: Tensor = (scores.softmax(-1, dtype=scores.dtype) @ value).transpose(1, 2).reshape(batch, count, width)
    return result


def _waves(timesteps: Tensor) -> Tensor:
    rates = torch.exp(torch.arange(128, device=timesteps.device, dtype=torch.float32) * (-math.log(10000) / 128))
    angles = timesteps.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
