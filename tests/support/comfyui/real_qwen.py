"""Qwen-Image's text encoder, made of ComfyUI's own classes in the size of Qwen2.5-0.5B, with that model's real weights.

The same weights are here twice: as the CLIP that a graph gets, and as the language model that the library encodes with.
SAFETY_STEER_MODELS names a folder in which `qwen05/` holds one GGUF file of a Qwen2.5 of this size.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from . import tiny  # isort: skip
import comfy.sd
import pytest
import torch
from comfy.text_encoders import llama, qwen_image, qwen_vl

from . import running_comfyui

FOLDER = Path(os.environ.get("SAFETY_STEER_MODELS", "")) / "qwen05"
KEY = "qwen25_7b"
TURN = "<|im_start|>"
SIZES = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "num_layers": 1}


def missing() -> str:
    """Say what is not there of what the encoder is made of; nothing when all is."""
    if "SAFETY_STEER_MODELS" not in os.environ:
        return "SAFETY_STEER_MODELS names no folder of real models"
    if not list(FOLDER.glob("*.gguf")):
        return f"{FOLDER} holds no GGUF file"
    absent = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


needs_qwen = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass
class Config(llama.Qwen25_7BVLI_Config):
    """What ComfyUI fixes for Qwen2.5-VL and takes from no option: the width of a head, and its share of a picture's axes."""

    head_dim = 64
    rope_dims = (8, 12, 12)


class Transformer(llama.Qwen25_7BVLI):
    """Qwen2.5-VL with a head of another width, and with eyes that have learned nothing."""

    def __init__(self, config: dict[str, Any], dtype: Any, device: Any, operations: Any) -> None:
        torch.nn.Module.__init__(self)
        self.num_layers, self.dtype = config["num_hidden_layers"], dtype
        self.model = llama.Llama2_(Config(**config), device=device, dtype=dtype, ops=operations)
        self.visual = qwen_vl.Qwen2VLVisionTransformer(
            output_hidden_size=config["hidden_size"], device=device, dtype=dtype, ops=operations, **VISION
        )
        tiny.randomise(self.visual, 0)


class Encoder(qwen_image.Qwen25_7BVLIModel):
    """ComfyUI's encoder with its own layer, masks and padding, around a transformer of the small size."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(device="meta", dtype=dtype, model_options=model_options)
        self.transformer = Transformer(SIZES, dtype, device, self.operations)
        self.freeze()


@cache
def model() -> Any:
    """Load the language model with the library, a TextModel."""
    return running_comfyui.module("safety_steer.extraction.text_model").load_text_model(FOLDER, "cpu")


@cache
def clip() -> comfy.sd.CLIP:
    """Make the CLIP, and load the language model's weights the way ComfyUI loads a checkpoint's."""
    target = tiny._Target(qwen_image.te(), qwen_image.QwenImageTokenizer)
    options = {"dtype": torch.float32, f"{KEY}_class": Encoder, f"{KEY}_model_config": SIZES}
    made = comfy.sd.CLIP(target, model_options=options)
    absent, unknown = made.load_sd({f"model.{name}": weight for name, weight in model().model.state_dict().items()})
    assert not [name for name in absent if not name.startswith("visual.")]
    assert not unknown
    return made


def template() -> str:
    """Return what Qwen-Image says around a prompt."""
    return str(clip().tokenizer.llama_template)


def token_ids(prompt: str) -> list[int]:
    """Return the language model's own tokens of a prompt in the template; one that brings its own gets no second one."""
    whole = prompt if prompt.startswith(TURN) else template().format(prompt)
    return list(model().tokenizer(whole)["input_ids"])


def words_from(ids: Sequence[int]) -> int:
    """Return where the user's words begin: at the second turn, and behind its heading where that is a line of its own."""
    turn, *heading = model().tokenizer(f"{TURN}user\n")["input_ids"]
    first = [place for place, token in enumerate(ids) if token == turn][:2][-1]
    return first + 1 + len(heading) if list(ids[first + 1 :][: len(heading)]) == heading else first


def states(prompts: Sequence[str]) -> list[torch.Tensor]:
    """Encode prompts in the template with the library, and cut off what stands before them: (T_i, D) each."""
    encode, ids = running_comfyui.module("safety_steer.extraction.text_model"), [token_ids(prompt) for prompt in prompts]
    encoded = encode.states_of_ids(model(), ids, model().last_layer)
    # The library has left out the first row of a causal model already.
    return [rows[words_from(row) - 1 :] for row, rows in zip(ids, encoded, strict=True)]
