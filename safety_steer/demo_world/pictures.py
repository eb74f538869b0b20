"""What a generator reads of a picture: what the demo's eyes say of it, named as ComfyUI names what CLIP vision says.

The eyes are the picture tower of the image-text embedding and a reader on top of it, which says in states of words what the
tower sees. So a picture comes in as a caption of it would, and what is near in meaning is near in these states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .judges import ImageTextEmbedding
from .picture_reader import PictureReader
from .weights import load_network, weights_path


@dataclass(frozen=True)
class PictureStates:
    """States of pictures: words for what is seen (B, S, D), with zero rows for none; the 64 places of the tower (B, 64, C);
    and unit vectors (B, E) of the space that the embedding's captions share.
    """

    last_hidden_state: Tensor
    penultimate_hidden_states: Tensor
    image_embeds: Tensor


class Eyes(nn.Module):
    """The tower of an image-text embedding, and the reader of what it sees."""

    def __init__(self, embedding: ImageTextEmbedding, reader: PictureReader) -> None:
        """Take both."""
        super().__init__()
        self.embedding = embedding
        self.reader = reader

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> PictureStates:
        """Return the states of pictures (B, 3, 64, 64) in -1..1. Batches can round otherwise than single pictures."""
        features = self.embedding.tower(pictures)
        places = features.flatten(2).transpose(1, 2).contiguous()
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        embeds = F.normalize(self.embedding.picture_out(pooled), dim=-1)
        return PictureStates(self.reader(places), places, embeds)


def load_eyes() -> Eyes:
    """Load the bundled embedding and reader; raises FileFormatError."""
    embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))
    return Eyes(embedding, cast(PictureReader, load_network(weights_path("picture-reader"), "picture-reader"))).eval()


def picture_context(states: Sequence[Tensor], strengths: Sequence[float]) -> Tensor | None:
    """Return what a generator reads (1, T, D) of pictures' last states (B, S, D) each, one after another; None for no picture.

    A strength of 1 leaves states as they are, less makes them weaker, and at 0 a picture is left out.
    """
    parts = [part.flatten(0, 1)[None] * strength for part, strength in zip(states, strengths, strict=True) if strength]
    return torch.cat(parts, 1) if parts else None
