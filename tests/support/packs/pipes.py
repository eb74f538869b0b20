"""Cases of packs whose samplers take a pipe or a context, or a loader that encodes by itself."""

from __future__ import annotations

from .case import (
    CLIP,
    DANGEROUS,
    LATENT,
    LEFT,
    MODEL,
    NEGATIVE,
    PAIR,
    PART,
    POSITIVE,
    SAMPLING,
    VAE,
    Case,
    Json,
    graph,
    loaded,
    node,
)

SAMPLE: Json = {**SAMPLING, "latent_image": LATENT}
FULL: Json = {"model": MODEL, "clip": CLIP, "vae": VAE, **PAIR}
PICTURE = node("EmptyImage", width=64, height=64, batch_size=1, color=0x336699)
MASK = node("SolidMask", value=1.0, width=64, height=64)
TYPED: Json = {"positive": DANGEROUS, "negative": "blurry", "empty_latent_width": 64, "empty_latent_height": 64}
SIZE, ASPECT = "width x height (custom)", "width x height [custom]"
QUIET: Json = {"preview_method": "none", "vae_decode": "false"}


def _efficient(model: list[object], positive: list[object], negative: list[object], latent: list[object]) -> Json:
    wires: Json = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
    return node("KSampler (Efficient)", **wires, **SAMPLING, **QUIET)


EFFICIENCY = {
    "a sampler": Case(graph({"5": _efficient(MODEL, POSITIVE, NEGATIVE, LATENT)}), ("5", 3)),
    "two samplers, the second with the model of the first": Case(
        graph(
            {
                "5": _efficient(MODEL, POSITIVE, NEGATIVE, LATENT),
                "6": _efficient(["5", 0], ["5", 1], ["5", 2], ["5", 3]),
            }
        ),
        ("6", 3),
        says="with KSampler (Efficient) (#5)",
    ),
    "a loader that encodes": Case(
        loaded(
            {
                "1": node("Efficient Loader", ckpt_name="small.safetensors", **TYPED),
                "5": _efficient(["1", 0], ["1", 1], ["1", 2], ["1", 3]),
            }
        ),
        ("5", 3),
        prompts=(("1", 1),),
    ),
    "an SDXL tuple with a refiner": Case(
        graph(
            {
                "5": node(
                    "Pack SDXL Tuple",
                    base_model=MODEL,
                    base_clip=CLIP,
                    base_positive=POSITIVE,
                    base_negative=NEGATIVE,
                    refiner_model=MODEL,
                    refiner_clip=CLIP,
                    refiner_positive=["9", 0],
                    refiner_negative=NEGATIVE,
                ),
                "6": node(
                    "KSampler SDXL (Eff.)",
                    sdxl_tuple=["5", 0],
                    latent_image=LATENT,
                    noise_seed=1,
                    steps=2,
                    refine_at_step=1,
                    cfg=7.0,
                    sampler_name="euler",
                    scheduler="simple",
                    **QUIET,
                ),
                "9": node("CLIPTextEncode", clip=CLIP, text=DANGEROUS),
            }
        ),
        ("6", 1),
        PART,
    ),
}

IMPACT = {
    "a pipe": Case(
        graph(
            {
                "5": node("ToBasicPipe", **FULL),
                "6": node("ImpactKSamplerBasicPipe", basic_pipe=["5", 0], **SAMPLE),
            }
        ),
        ("6", 1),
    ),
    "a pipe that is taken apart": Case(
        graph(
            {
                "5": node("ToBasicPipe", **FULL),
                "6": node("FromBasicPipe", basic_pipe=["5", 0]),
                "7": node("KSampler", model=["6", 0], positive=["6", 3], negative=["6", 4], **SAMPLE),
            }
        ),
        ("7", 0),
    ),
    "a detailer": Case(
        graph(
            {
                "5": PICTURE,
                "6": MASK,
                "7": node("MaskToSEGS", mask=["6", 0]),
                "8": node(
                    "DetailerForEach",
                    image=["5", 0],
                    segs=["7", 0],
                    **FULL,
                    **SAMPLING,
                    guide_size=64,
                    max_size=64,
                    wildcard="",
                ),
            }
        ),
        ("8", 0),
    ),
    "a detailer with a pipe": Case(
        graph(
            {
                "5": PICTURE,
                "6": MASK,
                "7": node("ToBasicPipe", **FULL),
                "8": node(
                    "MaskDetailerPipe",
                    image=["5", 0],
                    mask=["6", 0],
                    basic_pipe=["7", 0],
                    **SAMPLING,
                    guide_size=64,
                    max_size=64,
                ),
            }
        ),
        ("8", 0),
    ),
    "a provider": Case(
        graph(
            {
                "5": node("ToBasicPipe", **FULL),
                "6": node("KSamplerProvider", basic_pipe=["5", 0], **SAMPLING),
                "7": MASK,
                "8": node(
                    "TwoSamplersForMask", latent_image=LATENT, base_sampler=["6", 0], mask_sampler=["6", 0], mask=["7", 0]
                ),
            }
        ),
        ("8", 0),
    ),
}

# Without a GPU its noise_mode "GPU(=A1111)" draws unseeded noise.
INSPIRE = {
    "a sampler": Case(graph({"5": node("KSampler //Inspire", model=MODEL, **PAIR, **SAMPLE, noise_mode="CPU")}), ("5", 0)),
    "a pipe": Case(
        graph(
            {
                "5": node("ToBasicPipe", **FULL),
                "6": node("KSamplerPipe //Inspire", basic_pipe=["5", 0], **SAMPLE, noise_mode="CPU"),
            }
        ),
        ("6", 0),
    ),
    "a guider": Case(
        graph(
            {
                "5": node("BasicScheduler", model=MODEL, scheduler="simple", steps=2, denoise=1.0),
                "6": node("ScheduledCFGGuider //Inspire", model=MODEL, **PAIR, sigmas=["5", 0]),
                "7": node("RandomNoise", noise_seed=1),
                "8": node("KSamplerSelect", sampler_name="euler"),
                "9": node(
                    "SamplerCustomAdvanced",
                    noise=["7", 0],
                    guider=["6", 0],
                    sampler=["8", 0],
                    sigmas=["6", 1],
                    latent_image=LATENT,
                ),
            }
        ),
        ("9", 0),
    ),
}

EASY_USE = {
    "a pipe": Case(
        graph(
            {
                "5": node("easy pipeIn", model=MODEL, pos=POSITIVE, neg=NEGATIVE, latent=LATENT, vae=VAE, clip=CLIP),
                "6": node("easy preSampling", pipe=["5", 0], **SAMPLING),
                "7": node("easy kSampler", pipe=["6", 0], image_output="None"),
                "8": node("easy pipeOut", pipe=["7", 0]),
            }
        ),
        ("8", 4),
    ),
    "a loader that makes the pipe": Case(
        loaded(
            {
                "1": node("easy fullLoader", ckpt_name="small.safetensors", resolution=SIZE, **TYPED),
                "5": node("easy fullkSampler", pipe=["1", 0], **SAMPLING, image_output="None"),
            }
        ),
        ("5", 5),
        prompts=(("1", 4),),
        given={"5": {"positive": ["1", 4]}},
    ),
    "a loader that keeps its CLIP within": Case(
        loaded(
            {
                "1": node("easy a1111Loader", ckpt_name="small.safetensors", resolution=SIZE, **TYPED),
                "5": node("easy preSampling", pipe=["1", 0], **SAMPLING),
                "6": node("easy kSampler", pipe=["5", 0], image_output="None"),
                "7": node("easy pipeOut", pipe=["6", 0]),
            }
        ),
        ("7", 4),
        LEFT,
        says="comes inside a pipe from easy a1111Loader, which shows no CLIP",
    ),
}

TINYTERRA = {
    "a sampler": Case(
        graph({"5": node("ttN KSampler_v2", model=MODEL, **PAIR, latent=LATENT, vae=VAE, **SAMPLING, image_output="Disabled")}),
        ("5", 3),
    ),
    "a loader that makes the pipe": Case(
        loaded(
            {
                "1": node(
                    "ttN pipeLoader_v2", ckpt_name="small.safetensors", empty_latent_aspect=ASPECT, **TYPED, loras="", seed=1
                ),
                "5": node("ttN pipeKSampler_v2", pipe=["1", 0], **SAMPLING, image_output="Disabled"),
            }
        ),
        ("5", 4),
        prompts=(("1", 2),),
        given={"5": {"optional_positive": ["1", 2]}},
    ),
}

RGTHREE = {
    "a context": Case(
        graph(
            {
                "5": node("Context (rgthree)", **FULL, latent=LATENT),
                "6": node("KSampler", model=["5", 1], positive=["5", 4], negative=["5", 5], latent_image=["5", 6], **SAMPLING),
            }
        ),
        ("6", 0),
    ),
    "a switch of contexts": Case(
        graph(
            {
                "5": node("Context (rgthree)", **FULL, latent=LATENT),
                "6": node("Context Switch (rgthree)", ctx_02=["5", 0]),
                "7": node("KSampler", model=["6", 1], positive=["6", 4], negative=["6", 5], latent_image=["6", 6], **SAMPLING),
            }
        ),
        ("7", 0),
    ),
    "a switch of prompts": Case(
        graph(
            {
                "5": node("Any Switch (rgthree)", any_01=POSITIVE, any_02=NEGATIVE),
                "6": node("KSampler", model=MODEL, positive=["5", 0], negative=NEGATIVE, **SAMPLE),
            }
        ),
        ("6", 0),
    ),
}
