"""Show pictures to a ComfyUI CLIP_VISION, and collect what it says of them by vision space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...safety_steer.directions import vision_spaces
from ...safety_steer.errors import EncoderError
from ...safety_steer.extraction.text_model import Progress

AT_ONCE = 8  # by hand; pictures


def vision_name(clip_vision: Any) -> str:
    """Name a CLIP vision model for people; raises EncoderError when there is none."""
    if clip_vision is None:
        raise EncoderError(
            "The clip_vision input of Align Direction (Vision) is empty: there is no CLIP vision model. Load one with "
            "Load CLIP Vision."
        )
    kind = getattr(clip_vision, "model_type", None) or type(clip_vision).__name__
    width = (getattr(clip_vision, "config", None) or {}).get("hidden_size")
    return f"{kind}, width {width}" if width else str(kind)


def encode_pictures(
    clip_vision: Any, pictures: Iterable[Tensor], total: int, progress: Progress | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Yield what CLIP vision says of some pictures (1, H, W, 3) at a time: by vision space, states (T, D) of each.

    Pictures of one size that follow each other are shown together. `progress` is told how many are done, of `total`.
    """
    done = 0
    for _, alike in groupby(pictures, key=lambda picture: picture.shape):
        for some in _chunks(alike):
            comfy.model_management.throw_exception_if_processing_interrupted()
            found = vision_spaces.take(clip_vision.encode_image(torch.cat(some)))
            if not found:
                raise EncoderError(
                    "The model at the clip_vision input of Align Direction (Vision) gives no states of pictures. Use a CLIP "
                    "vision model."
                )
            yield {name: list(part if part.ndim == 3 else part[:, None]) for name, part in found.items()}
            done += len(some)
            if progress is not None:
                progress(done, total)


def _chunks(pictures: Iterator[Tensor]) -> Iterator[list[Tensor]]:
    chunk: list[Tensor] = []
    for picture in pictures:
        chunk.append(picture)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
