"""What a generator reads of a picture: the states of the image-text embedding's tower, named as ComfyUI names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .judges import ImageTextEmbedding
from .weights import load_network, weights_path


@dataclass(frozen=True)
class PictureStates:
    """States of pictures: two maps of the tower (B, 64, C), and unit vectors (B, D) of the space shared with captions."""

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor


def load_embedding() -> ImageTextEmbedding:
    """Load the bundled image-text embedding; raises FileFormatError."""
    return cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))


@torch.inference_mode()
def look(embedding: ImageTextEmbedding, pictures: Tensor) -> PictureStates:
    """Return the states of pictures (B, 3, 64, 64) in -1..1, row by row of the 8 x 8 places the tower tells apart.

    The penultimate states are those before the tower's last normalisation. Batches can round otherwise than single pictures.
    """
    layers = embedding.tower.layers
    penultimate = layers[:-2](pictures)
    last = layers[-2:](penultimate)
    pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)
    embeds = F.normalize(embedding.picture_out(pooled), dim=-1)
    return PictureStates(_tokens(last), _tokens(penultimate), embeds)


def picture_context(states: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """Return what a generator reads (1, T, C) of pictures' last states (B, 64, C) each, one after another.

    A strength of 1 leaves states as they are, less makes what is seen less sure, and 0 is no picture.
    """
    parts = [part.flatten(0, 1)[None] * strength for part, strength in zip(states, strengths, strict=True)]
    return torch.cat(parts, 1)


def no_picture(width: int) -> Tensor:
    """Return the context (1, 1, width) of no picture: a row of zeros, which a generator takes for padding."""
    return torch.zeros(1, 1, width)


def _tokens(features: Tensor) -> Tensor:
    return features.flatten(2).transpose(1, 2).contiguous()
