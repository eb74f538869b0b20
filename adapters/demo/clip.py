"""The demo's text models as a ComfyUI CLIP, whose conditioning is what `safety_steer.demo_world.sampling.contexts` returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.supported_models_base
import torch
from torch import Tensor, nn

from ...safety_steer.demo_world.sampling import DemoGenerator
from ...safety_steer.extraction.text_model import TextModel, load_text_model, states_of_ids, token_ids
from ...safety_steer.storage.bundled import packaged_model

Tokens = dict[str, list[list[tuple[Any, ...]]]]


def make_clip(generator: DemoGenerator) -> comfy.sd.CLIP:
    """Load the text model a generator reads from its pip package; raises EncoderError when it is not installed."""
    text_model = load_text_model(packaged_model(generator.encoder), device="cpu", dtype="float32")
    kind = KINDS[generator.encoder]
    target = comfy.supported_models_base.ClipTarget(DemoTokenizer, kind)
    target.params = {"text_model": text_model, "layer": generator.layer}
    return comfy.sd.CLIP(
        target, tokenizer_data={"text_model": text_model, "key": kind.key}, model_options={"dtype": torch.float32}
    )


class DemoTokenizer:
    """Turns a prompt into the text model's own tokens. Parentheses are words like others: there are no prompt weights."""

    def __init__(self, embedding_directory: Any = None, *, tokenizer_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Take the text model and the name of its tokens from `tokenizer_data`."""
        self.text_model: TextModel = tokenizer_data["text_model"]
        self.key: str = tokenizer_data["key"]

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs: Any) -> Tokens:  # noqa: ARG002
        """Return one section of (token, weight 1), with the place of each token where wanted."""
        [ids] = token_ids(self.text_model, [text])
        return {self.key: [[(token, 1.0, place) if return_word_ids else (token, 1.0) for place, token in enumerate(ids)]]}

    def untokenize(self, pairs: Iterable[tuple[Any, ...]]) -> list[tuple[tuple[Any, ...], str]]:
        """Return each token with its text."""
        return [(pair, self.text_model.tokenizer.decode([pair[0]])) for pair in pairs]

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: the tokenizer comes with its package."""
        return {}


class DemoTextEncoder(nn.Module):
    """A text model in the form ComfyUI's CLIP expects of its encoders."""

    key = ""

    def __init__(
        self,
        text_model: TextModel,
        layer: int | None,
        dtype: torch.dtype,
        device: torch.device | None = None,
        model_options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> None:
        """Take a loaded text model to a device; `layer` is the one to read, None the last."""
        super().__init__()
        self.text_model = text_model
        self.transformer = text_model.model.to(device)
        self.layer = text_model.last_layer if layer is None else layer
        self.device = device
        self.dtypes = {dtype}

    def encode_token_weights(self, tokens: Tokens) -> tuple[Tensor, None]:
        """Return the token states of all sections one after another (1, T, D), and no pooled state."""
        # ComfyUI notes on the module where it wants it, and may leave parts elsewhere where memory is scarce.
        self.transformer.to(self.device)
        ids = [[pair[0] for pair in section] for section in tokens[self.key]]
        states = torch.cat(states_of_ids(self.text_model, ids, self.layer))[None]
        return states.to(comfy.model_management.intermediate_device()), None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Change nothing: the generator was trained on one layer, so that clip skip has no meaning."""

    def reset_clip_options(self) -> None:
        """Change nothing, as there are no options."""

    def load_sd(self, sd: dict[str, Tensor]) -> Any:
        """Load weights of the text model."""
        return self.transformer.load_state_dict(sd, strict=False)


class MiniLmEncoder(DemoTextEncoder):
    """all-MiniLM-L6-v2."""

    key = "minilm"


class SmolLm2Encoder(DemoTextEncoder):
    """SmolLM2-135M-Instruct."""

    key = "smollm2"


KINDS: dict[str, type[DemoTextEncoder]] = {"all-MiniLM-L6-v2": MiniLmEncoder, "SmolLM2-135M-Instruct": SmolLm2Encoder}
