"""Cases of packs with samplers, loaders and models of their own."""

from __future__ import annotations

from .case import (
    CLIP,
    DANGEROUS,
    LATENT,
    MODEL,
    NEGATIVE,
    PAIR,
    PART,
    POSITIVE,
    SAMPLING,
    VAE,
    Case,
    Json,
    flux,
    graph,
    node,
    video,
)

SAMPLE: Json = {**SAMPLING, "latent_image": LATENT}
CLOWN: Json = {"sampler_name": "multistep/res_2m", "cfg": 7.0}

RES4LYF = {
    "a sampler": Case(
        graph({"5": node("ClownsharKSampler_Beta", model=MODEL, **PAIR, latent_image=LATENT, **CLOWN, steps=4, seed=1)}),
        ("5", 0),
    ),
    "a sampler that takes the model out of its latent": Case(
        graph(
            {
                "5": node(
                    "ClownsharKSampler_Beta",
                    model=MODEL,
                    **PAIR,
                    latent_image=LATENT,
                    **CLOWN,
                    steps=4,
                    steps_to_run=2,
                    seed=1,
                ),
                "6": node("ClownsharkChainsampler_Beta", latent_image=["5", 0], **CLOWN),
            }
        ),
        ("6", 0),
        says="with ClownsharKSampler_Beta (#5)",
    ),
}

ULTIMATE = {
    "tiles of a picture": Case(
        graph(
            {
                "5": node("EmptyImage", width=128, height=64, batch_size=1, color=0x336699),
                "6": node(
                    "UltimateSDUpscaleNoUpscale",
                    upscaled_image=["5", 0],
                    model=MODEL,
                    **PAIR,
                    vae=VAE,
                    **SAMPLING,
                    tile_width=64,
                    tile_height=64,
                    tile_padding=0,
                ),
            }
        ),
        ("6", 0),
    ),
}

MOE = {
    "two models": Case(
        video(
            {
                "5": node(
                    "WanMoeKSampler",
                    model_high_noise=MODEL,
                    model_low_noise=["9", 0],
                    **PAIR,
                    latent_image=LATENT,
                    seed=1,
                    steps=4,
                    sampler_name="euler",
                    scheduler="simple",
                )
            }
        ),
        ("5", 0),
        encoder="wan",
    ),
}

TRIPLE = {
    "three models": Case(
        video(
            {
                "5": node(
                    "TripleKSamplerWan22Lightning",
                    base_high=MODEL,
                    lightning_high=MODEL,
                    lightning_low=["9", 0],
                    **PAIR,
                    latent_image=LATENT,
                    seed=1,
                    lightning_steps=4,
                    sampler_name="euler",
                    scheduler="simple",
                )
            }
        ),
        ("5", 0),
        encoder="wan",
    ),
}

ANIMATEDIFF = {
    "a window over frames": Case(
        graph(
            {
                "4": node("EmptyLatentImage", width=64, height=64, batch_size=6),
                "5": node("ADE_StandardStaticContextOptions", context_length=4, context_overlap=2),
                "6": node("ADE_UseEvolvedSampling", model=MODEL, beta_schedule="use existing", context_options=["5", 0]),
                "7": node("KSampler", model=["6", 0], **PAIR, **SAMPLE),
            }
        ),
        ("7", 0),
    ),
}

KJNODES = {
    "negative prompts in the model": Case(
        video(
            {
                "5": node("WanVideoNAG", model=MODEL, conditioning=NEGATIVE),
                "6": node("KSampler", model=["5", 0], **PAIR, **SAMPLE),
            }
        ),
        ("6", 0),
        encoder="wan",
    ),
}

PROMPT_CONTROL = {
    "a prompt that changes at half of the steps": Case(
        graph(
            {
                "2": node("PCLazyTextEncode", clip=CLIP, text=f"[{DANGEROUS}:{DANGEROUS} in a city:0.5]"),
                "5": node("KSampler", model=MODEL, **PAIR, **SAMPLE),
            }
        ),
        ("5", 0),
    ),
}

IPADAPTER = {
    "a picture in the model": Case(
        graph(
            {
                "5": node("IPAdapterModelLoader", ipadapter_file="small.safetensors"),
                "6": node("CLIPVisionLoader", clip_name="small.safetensors"),
                "7": node("EmptyImage", width=64, height=64, batch_size=1, color=0x336699),
                "8": node("IPAdapterAdvanced", model=MODEL, ipadapter=["5", 0], image=["7", 0], clip_vision=["6", 0]),
                "9": node("KSampler", model=["8", 0], **PAIR, **SAMPLE),
            }
        ),
        ("9", 0),
    ),
}

PPM = {
    "a second prompt in the model": Case(
        graph(
            {
                "5": node("SolidMask", value=1.0, width=64, height=64),
                "6": node(
                    "AttentionCouplePPM", model=MODEL, base_cond=POSITIVE, base_mask=["5", 0], cond_1=NEGATIVE, mask_1=["5", 0]
                ),
                "7": node("KSampler", model=["6", 0], **PAIR, **SAMPLE),
            }
        ),
        ("7", 0),
        PART,
        says="the prompt that AttentionCouplePPM puts into the model",
    ),
}

GGUF = {
    "a model in eight bits": Case(
        flux(
            {
                "1": node("UnetLoaderGGUF", unet_name="small.gguf"),
                "5": node("KSampler", model=MODEL, **PAIR, **{**SAMPLE, "cfg": 1.0}),
            }
        ),
        ("5", 0),
        encoder="flux",
        # To these random encoders the prompt lies just within the limit.
        gate="off",
    ),
}
