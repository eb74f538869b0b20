"""A small deterministic autoencoder: 64 x 64 pictures to 8 x 8 latents of unit variance, and back.

The encoder is a linear map of patches of 8 x 8 pixels, the principal components of renderings; the decoder undoes it and
adds what a convolutional network has learned that patches leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the autoencoder."""

    channels: int = 32
    fine: int = 80
    coarse: int = 128


class ResidualBlock(nn.Module):
    """Two convolutions around which the picture also flows unchanged."""

    def __init__(self, width: int) -> None:
        """Make a block of the given width."""
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what the block adds to it."""
        result: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return result


class Autoencoder(nn.Module):
    """Encode (B, 3, H, W) in -1..1 to (B, C, H / 8, W / 8), and decode; sizes are multiples of 8."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Make an untrained autoencoder."""
        super().__init__()
        self.config = config
        fine, coarse = config.fine, config.coarse
        self.to_latent = nn.Conv2d(192, config.channels, 1)
        self.to_patch = nn.Conv2d(config.channels, 192, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(config.channels, coarse, 3, padding=1),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            nn.Conv2d(coarse, fine * 4, 1),
            nn.PixelShuffle(2),
            ResidualBlock(fine),
            ResidualBlock(fine),
            nn.SiLU(),
            nn.Conv2d(fine, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents of about zero mean and unit variance per channel."""
        latents: Tensor = self.to_latent(F.pixel_unshuffle(pictures, 8))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures in about -1..1, not clamped."""
        pictures: Tensor = F.pixel_shuffle(self.to_patch(latents), 8) + self.refine(latents)
        return pictures

    @torch.no_grad()
    def fit_patches(self, pictures: Tensor) -> None:
        """Set both linear maps from pictures (N, 3, 64, 64): half-whitened components, mixed to equal variance."""
        patches = F.pixel_unshuffle(pictures, 8).permute(0, 2, 3, 1).flatten(0, 2).double()
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        values, vectors = values.flip(0)[: self.config.channels], vectors.flip(1)[:, : self.config.channels]
        spread = values**0.25
        mixing = hadamard(self.config.channels)
        size = spread.square().mean().sqrt()
        forward = mixing @ (vectors / spread).T / size
        backward = (vectors * spread) @ mixing.T * size
        self.to_latent.weight.copy_(forward[..., None, None])
        self.to_latent.bias.copy_(-(forward @ mean))  # type: ignore[union-attr]
        self.to_patch.weight.copy_(backward[..., None, None])
        self.to_patch.bias.copy_(mean)  # type: ignore[union-attr]


def hadamard(size: int) -> Tensor:
    """Return an orthonormal matrix of equal absolute values, for a power of two."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    result: Tensor = matrix / size**0.5
    return result
