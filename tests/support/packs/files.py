"""Files of small random models that the loaders of other packs read: of an image adapter, and of Flux in GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..comfyui import running_comfyui  # isort: skip
import comfy.ldm.flux.model
import comfy.ops
import gguf
import numpy as np
import safetensors.torch
import torch

from ..comfyui import tiny, versions

# Chosen by loaders that are replaced, or by ComfyUI's own checks of what a file's name may be.
NAMES = (
    *("checkpoints/small", "diffusion_models/small", "diffusion_models/other", "vae/small", "clip_vision/small"),
    *("text_encoders/small", "text_encoders/other"),
)
TEXT, PICTURE, TOKENS = 32, 64, 4
# The blocks of `tiny.model("sd15")` that the adapter reaches, by its numbers, and how wide they are where it is not 32.
WIDTHS = {31: 64}
VISION = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "num_channels": 3},
    **{"image_size": 224, "patch_size": 56, "projection_dim": PICTURE, "hidden_act": "quick_gelu"},
    **{"model_type": "clip_vision_model"},
}
FLUX = {
    **{"in_channels": 16, "out_channels": 16, "vec_in_dim": TEXT, "context_in_dim": TEXT, "hidden_size": 128, "num_heads": 1},
    **{"mlp_ratio": 4.0, "depth": 1, "depth_single_blocks": 1, "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2},
    **{"qkv_bias": True, "guidance_embed": False, "txt_ids_dims": []},
}


def write_all() -> None:
    """Write the files into the models' folders of the running ComfyUI."""
    models = running_comfyui.BASE / "models"
    for name in (*NAMES, "ipadapter/small"):
        (models / name).parent.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (models / f"{name}.safetensors").touch()
    safetensors.torch.save_file(dict(adapter()), models / "ipadapter/small.safetensors")
    write_flux(models / "diffusion_models/small.gguf")


def adapter() -> Mapping[str, torch.Tensor]:
    """Return the weights of an image adapter for `tiny.model("sd15")`."""
    generator = torch.Generator().manual_seed(5)
    layers = {
        f"ip_adapter.{number}.to_{side}_ip.weight": torch.randn(WIDTHS.get(number, 32), TEXT, generator=generator) * TEXT**-0.5
        for number in range(1, 33, 2)
        for side in "kv"
    }
    projection = torch.randn(TOKENS * TEXT, PICTURE, generator=generator) * PICTURE**-0.5
    norm = {"image_proj.norm.weight": torch.ones(TEXT), "image_proj.norm.bias": torch.zeros(TEXT)}
    return {"image_proj.proj.weight": projection, "image_proj.proj.bias": torch.zeros(TOKENS * TEXT), **norm, **layers}


@cache
def vision() -> Any:
    """Return a small CLIP vision, which the adapter takes the picture of."""
    made = versions.clip_vision(VISION)
    tiny.randomise(made.model, 6)
    return made


def write_flux(path: Path) -> None:
    """Write a small Flux that takes the text of `tiny.clip("flux")`, its large matrices in eight bits."""
    made = comfy.ldm.flux.model.Flux(image_model="flux", dtype=torch.float32, operations=comfy.ops.manual_cast, **FLUX)
    tiny.randomise(made, 1)
    writer = gguf.GGUFWriter(str(path), "flux")
    for name, tensor in made.state_dict().items():
        values = tensor.numpy().astype(np.float32)
        eight = gguf.GGMLQuantizationType.Q8_0
        if name.endswith("mlp.0.weight") or name.endswith("mlp.2.weight"):
            writer.add_tensor(name, gguf.quants.quantize(values, eight), raw_dtype=eight)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
