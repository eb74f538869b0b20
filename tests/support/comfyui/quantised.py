"""Text encoders whose weights are stored quantised, as ComfyUI itself stores and computes them (not in 0.8.0 and before)."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from . import tiny  # isort: skip
import comfy.ops
import comfy.sd
import torch

# By the name a file gives them.
FORMATS = ("float8_e4m3fn", "float8_e5m2", "mxfp8", "nvfp4", "int8_tensorwise")
METADATA = {"mixed_ops": True}


def known() -> tuple[str, ...]:
    """Return the formats that this ComfyUI can store a text encoder in, and that this computer can quantise to."""
    if importlib.util.find_spec("comfy.quant_ops") is None or not hasattr(comfy.ops, "_quantized_weight_state_dict"):
        return ()
    quant_ops = importlib.import_module("comfy.quant_ops")
    return tuple(name for name in FORMATS if name in quant_ops.QUANT_ALGOS)


def quantised(plain: torch.nn.Module, stored: str) -> dict[str, torch.Tensor]:
    """Return a state dict like that of a quantised file: every linear layer in a format, everything else in half precision."""
    quant_ops = importlib.import_module("comfy.quant_ops")
    layout = quant_ops.QUANT_ALGOS[stored]["comfy_tensor_layout"]
    found = {name: weight.to(torch.bfloat16) for name, weight in plain.state_dict().items()}
    for name, layer in plain.named_modules():
        if isinstance(layer, torch.nn.Linear) and not name.endswith("shared"):
            weight = quant_ops.QuantizedTensor.from_float(layer.weight.to(torch.bfloat16), layout)
            found |= weight.state_dict(f"{name}.weight")
            told = json.dumps({"format": stored}).encode()
            found[f"{name}.comfy_quant"] = torch.frombuffer(bytearray(told), dtype=torch.uint8)
    return found


def clip(kind: str, stored: str) -> comfy.sd.CLIP:
    """Make the text encoder `tiny.clip(kind)` of quantised weights, loaded as ComfyUI loads them."""
    weights = quantised(tiny.clip(kind).cond_stage_model, stored)
    made = tiny.clip(kind, model_options={"quantization_metadata": METADATA, "dtype": torch.bfloat16}, weights=weights)
    return made


def layers(made: comfy.sd.CLIP) -> list[Any]:
    """Return the quantised weights of an encoder."""
    quant_ops = importlib.import_module("comfy.quant_ops")
    return [weight for weight in made.cond_stage_model.parameters() if isinstance(weight, quant_ops.QuantizedTensor)]
