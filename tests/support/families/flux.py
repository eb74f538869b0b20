"""Flux and the families that follow its transformer."""

from __future__ import annotations

from typing import Any

import torch

from .rows import BOTH, HIDDEN, IMAGE, POOLED, Family, context, noise, text

PARAMS = "comfy.ldm.flux.model.FluxParams"


def flux(**more: Any) -> dict[str, Any]:
    """Return that of Flux and the models that follow it."""
    sizes = {"hidden_size": 64, "num_heads": 2, "depth": 1, "depth_single_blocks": 1, "mlp_ratio": 2.0, "patch_size": 2}
    places = {"axes_dim": [8, 12, 12], "theta": 10000, "txt_ids_dims": []}
    rest = {"in_channels": 16, "out_channels": 16, "qkv_bias": True, "vec_in_dim": None}
    return {**sizes, **places, **rest, **more}


CHROMA = flux(image_model="chroma", in_channels=64, out_channels=64, in_dim=64, out_dim=64, hidden_dim=32, n_layers=1)
FLUX2 = flux(
    image_model="flux2",
    in_channels=128,
    out_channels=128,
    patch_size=1,
    axes_dim=[8, 8, 8, 8],
    txt_ids_dims=[3],
    default_ref_method="index",
    ref_index_scale=10.0,
    qkv_bias=False,
    ops_bias=False,
    global_modulation=True,
    mlp_silu_act=True,
    guidance_embed=True,
)
KLEIN = Family(
    "Flux2",
    {**FLUX2, "guidance_embed": False},
    text(96, mask=True),
    (1, 128, 4, 4),
    context("context_in_dim"),
    extras=lambda: {"pooled_output": None, "reference_latents": [noise(1, 128, 2, 2)]},
    params=PARAMS,
    needs="comfy.text_encoders.flux.klein_te",
    besides=HIDDEN,
)
FLUX: dict[str, Family] = {
    "flux": Family(
        "Flux",
        flux(image_model="flux", guidance_embed=True),
        text(**POOLED),
        IMAGE,
        context("context_in_dim", "vec_in_dim"),
        extras=lambda: {"guidance": 3.5, "reference_latents": [noise(1, 16, 4, 4)]},
        params=PARAMS,
        spaces=BOTH,
    ),
    "chroma": Family(
        "Chroma",
        CHROMA,
        text(),
        IMAGE,
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None},
        params="comfy.ldm.chroma.model.ChromaParams",
    ),
    "ovis": Family(
        "FluxSchnell",
        flux(image_model="flux", guidance_embed=False, yak_mlp=True, txt_norm=True, txt_ids_dims=[1, 2]),
        text(),
        IMAGE,
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None},
        params=PARAMS,
        needs="comfy.text_encoders.ovis",
    ),
    "flux2": Family(
        "Flux2",
        FLUX2,
        text(mask=True),
        (1, 128, 4, 4),
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None, "guidance": 3.5, "reference_latents": [noise(1, 128, 2, 2)]},
        params=PARAMS,
        refused="the model pads the text to 512 rows",
    ),
    # The small one reads Qwen3 4B, the large one Qwen3 8B.
    "flux2_klein": KLEIN,
    "flux2_klein_8b": KLEIN,
    "flux_inpaint": Family(
        "FluxInpaint",
        flux(image_model="flux", guidance_embed=True, in_channels=96),
        text(**POOLED),
        IMAGE,
        context("context_in_dim", "vec_in_dim"),
        extras=lambda: {"concat_latent_image": noise(*IMAGE), "concat_mask": torch.ones(1, 1, 64, 64)},
        params=PARAMS,
        encoder="flux",
        spaces=BOTH,
    ),
    "chroma_radiance": Family(
        "ChromaRadiance",
        {
            **CHROMA,
            "image_model": "chroma_radiance",
            "in_channels": 3,
            "out_channels": 3,
            "patch_size": 8,
            "nerf_hidden_size": 16,
            "nerf_mlp_ratio": 2,
            "nerf_depth": 1,
            "nerf_max_freqs": 2,
            "nerf_tile_size": 0,
            "nerf_final_head_type": "conv",
            "nerf_embedder_dtype": None,
            "use_x0": False,
            "use_sequential_txt_ids": False,
        },
        text(),
        (1, 3, 32, 32),
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None},
        params="comfy.ldm.chroma_radiance.model.ChromaRadianceParams",
        encoder="chroma",
    ),
    "longcat_image": Family(
        "LongCatImage",
        flux(image_model="flux", guidance_embed=False, txt_ids_dims=[1, 2]),
        text(mask=True),
        IMAGE,
        context("context_in_dim"),
        extras=lambda: {"pooled_output": None, "reference_latents": [noise(1, 16, 4, 4)]},
        params=PARAMS,
        besides=HIDDEN,
    ),
}
