"""Image-text models (CLIP, SigLIP) of a Hugging Face folder, through transformers: texts and pictures to one space."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EncoderError
from .loading import LOCAL_FILES
from .model_files import check_fetched, reason_of


@dataclass(frozen=True, eq=False)
class ImageTextModel:
    """A contrastive model with its tokenizer and picture processor; `name` is for people."""

    name: str
    model: Any
    tokenizer: Any
    processor: Any

    @property
    def vision(self) -> nn.Module:
        """The part that reads pictures."""
        part: nn.Module = self.model.vision_model
        return part

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (N, d) of texts; those too long are cut off."""
        # SigLIP has learned with padding up to its full length, and CLIP does not mind it.
        found = self.tokenizer(list(texts), padding="max_length", truncation=True, max_length=self._length, return_tensors="pt")
        return _pooled(self.model.get_text_features(**found.to(self.model.device)))

    @torch.inference_mode()
    def pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return vectors (N, d) of pictures (H, W, 3) in 0..1."""
        images = [(picture * 255).round().to(torch.uint8).permute(2, 0, 1).numpy() for picture in pictures]
        found = self.processor(images=images, return_tensors="pt", input_data_format="channels_first")
        return _pooled(self.model.get_image_features(**found.to(self.model.device)))

    @property
    def _length(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)


def load_image_text_model(path: str | os.PathLike[str], device: str = "auto") -> ImageTextModel:
    """Load an image-text model, without any network access, in float32.

    `device` is "auto" (the GPU if there is one) or a torch device. Raises EncoderError for what is no such model.
    """
    import transformers

    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise EncoderError(f"There is no model at '{path}'. Give the Hugging Face folder of an image-text model such as CLIP.")
    check_fetched(folder)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    transformers.utils.logging.disable_progress_bar()
    try:
        model = transformers.AutoModel.from_pretrained(folder, **LOCAL_FILES, dtype=torch.float32)
        if not all(hasattr(model, name) for name in ("get_text_features", "get_image_features", "vision_model")):
            raise EncoderError(f"{type(model).__name__} does not embed texts and pictures alike")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL_FILES)
        processor = transformers.AutoImageProcessor.from_pretrained(folder, **LOCAL_FILES)
        return ImageTextModel(folder.resolve().name, model.eval().requires_grad_(False).to(place), tokenizer, processor)
    except Exception as error:  # loaders fail in as many ways as there are broken files, and all mean this
        raise EncoderError(f"Cannot load an image-text model from '{path}' (device {place}): {reason_of(error)}") from error


def _pooled(found: Any) -> Tensor:
    """Return the vectors; newer versions of transformers give them in an output with other states."""
    vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return vectors.float().cpu()
