"""The demo's autoencoder as a ComfyUI VAE, for pictures and, frame by frame, for videos."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor, nn

from ...safety_steer.demo_world.autoencoder import Autoencoder
from ...safety_steer.errors import MismatchError

BYTES_PER_PIXEL = 4096  # by hand; tells ComfyUI what memory to keep free


def make_vae(autoencoder: Autoencoder, video: bool) -> comfy.sd.VAE:
    """Wrap the autoencoder for ComfyUI, in float32 on every device.

    A VAE chooses its network by the names of its weights. The one for pixel space has no weights to speak of; its
    network is replaced by ours, and the sizes with it.
    """
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=torch.float32)
    vae.first_stage_model = FrameAutoencoder(autoencoder)
    vae.patcher = comfy.model_patcher.ModelPatcher(
        vae.first_stage_model, load_device=vae.device, offload_device=comfy.model_management.vae_offload_device()
    )
    vae.size = comfy.model_management.module_size(vae.first_stage_model)
    vae.disable_offload = True
    vae.working_dtypes = [torch.float32]
    vae.latent_channels = autoencoder.config.channels
    vae.memory_used_encode = lambda shape, _dtype: BYTES_PER_PIXEL * shape[-1] * shape[-2] * _frames(shape)
    vae.memory_used_decode = lambda shape, _dtype: BYTES_PER_PIXEL * shape[-1] * shape[-2] * 64 * _frames(shape)
    vae.downscale_ratio = vae.upscale_ratio = 8
    if video:
        vae.latent_dim = 3
        vae.downscale_ratio = vae.upscale_ratio = (_same, 8, 8)
        vae.downscale_index_formula = vae.upscale_index_formula = (1, 8, 8)
    return vae


def _same(frames: int) -> int:
    return frames


def _frames(shape: torch.Size) -> int:
    return shape[2] if len(shape) == 5 else 1


class FrameAutoencoder(nn.Module):
    """Encode and decode (B, C, H, W), or (B, C, T, H, W) frame by frame."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        """Keep the autoencoder."""
        super().__init__()
        self.autoencoder = autoencoder

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents, one frame of latents per frame."""
        return self.autoencoder.encode(pixels) if pixels.ndim == 4 else _unfold(self.autoencoder.encode(_fold(pixels)), pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures or videos in about -1..1."""
        channels = self.autoencoder.config.channels
        if latents.shape[1] != channels:
            raise MismatchError(
                f"The demo's VAE decodes latents of {channels} channels, but got {latents.shape[1]}. Use the VAE that "
                "belongs to the model that made them."
            )
        return (
            self.autoencoder.decode(latents) if latents.ndim == 4 else _unfold(self.autoencoder.decode(_fold(latents)), latents)
        )


def _fold(videos: Tensor) -> Tensor:
    return videos.transpose(1, 2).flatten(0, 1)


def _unfold(frames: Tensor, videos: Tensor) -> Tensor:
    unfolded: Tensor = frames.unflatten(0, (videos.shape[0], videos.shape[2])).transpose(1, 2)
    return unfolded
