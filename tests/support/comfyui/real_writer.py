"""A CLIP that writes text, made of ComfyUI's own classes in the size of Qwen2.5-0.5B, with that model's real weights.

ComfyUI 0.33 has no text encoder of this size: a file of these weights is taken for another model. What encodes, writes and
picks tokens is the code that Z-Image's Qwen3 runs; only sizes, and what Qwen2.5 has otherwise, are set here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from . import tiny  # isort: skip
import comfy.sd
import torch
from comfy.text_encoders import llama, z_image

from . import real_qwen, running_comfyui

KEY = "qwen3_4b"


@dataclass
class Config(llama.Qwen3_06BConfig):
    """What ComfyUI fixes for Qwen3: Qwen2.5 has biases in its attention, no norms there, and narrower heads."""

    head_dim = 64
    qkv_bias = True
    q_norm = None
    k_norm = None
    lm_head: bool = True  # the GGUF file holds the output head on its own, in another precision than the embeddings


class Transformer(llama.Qwen3_06B):
    """ComfyUI's Qwen3, which writes, with Qwen2.5's configuration."""

    def __init__(self, config: dict[str, Any], dtype: Any, device: Any, operations: Any) -> None:
        torch.nn.Module.__init__(self)
        self.num_layers, self.dtype = config["num_hidden_layers"], dtype
        self.model = llama.Llama2_(Config(**config), device=device, dtype=dtype, ops=operations)


class Encoder(z_image.Qwen3_4BModel):
    """ComfyUI's encoder around a transformer of the small size."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(device="meta", dtype=dtype, model_options=model_options)
        self.transformer = Transformer(real_qwen.SIZES, dtype, device, self.operations)
        self.freeze()


@cache
def model() -> Any:
    """Load the language model with the library, a LanguageModel."""
    library = running_comfyui.module("safety_steer.refusal.language_model")
    return library.load_language_model(real_qwen.FOLDER, "cpu", "float32")


@cache
def clip() -> comfy.sd.CLIP:
    """Make the CLIP, and load the language model's weights the way ComfyUI loads a file's."""
    target = tiny._Target(z_image.te(), z_image.ZImageTokenizer)
    options = {"dtype": torch.float32, f"{KEY}_class": Encoder, f"{KEY}_model_config": real_qwen.SIZES}
    made = comfy.sd.CLIP(target, model_options=options)
    causal = model().causal
    weights = {**causal.model.state_dict(), "lm_head.weight": causal.lm_head.weight}
    absent, unknown = made.load_sd({f"model.{name}": weight for name, weight in weights.items()})
    assert not absent, absent
    assert not unknown, unknown
    return made


def tokens(request: str, system: str = "") -> dict[str, Any]:
    """Return a CLIP's tokens of a request in the very frame that the library puts around it."""
    library = running_comfyui.module("safety_steer.refusal.language_model")
    [ids] = library.request_ids(model(), [request], system)
    return {KEY: [[(number, 1.0) for number in ids]]}


def written(clip: Any, request: str, most: int, system: str = "") -> list[int]:
    """Return the tokens that a CLIP writes, without the end of the answer, greedily."""
    found: Sequence[int] = clip.generate(tokens(request, system), do_sample=False, max_length=most)
    ends = Config.stop_tokens
    return list(found[:-1] if found[-1] in ends else found)
