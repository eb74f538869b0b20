"""Workflows with nodes of other packs: what samples in them, where Apply has to go, and what is said."""

from __future__ import annotations

from . import wire_shapes
from .pack_case import BASIC, PAIR, Case, context, start
from .pack_limits import in_part, left_alone
from .sketch import Json, loader, node, sampler, subgraph, text, workflow
from .wire_shapes import NOTE, broadcast

PIPE_OF_EASY = "pipe:PIPE_LINE image:IMAGE model:MODEL positive:CONDITIONING negative:CONDITIONING latent:LATENT"
UNPACKED = "model:MODEL clip:CLIP vae:VAE positive:CONDITIONING negative:CONDITIONING"


def efficient(number: int, model: str) -> Json:
    """A sampler that passes its model on."""
    takes = f"model:MODEL<{model} {PAIR} latent_image:LATENT optional_vae:VAE script:SCRIPT"
    gives = "MODEL CONDITIONING+:CONDITIONING CONDITIONING-:CONDITIONING LATENT VAE IMAGE"
    return {**node(number, "KSampler_(Efficient)", takes, gives), "type": "KSampler (Efficient)"}


def basic_pipe(number: int = 5) -> Json:
    """A pipe of model, CLIP and prompts."""
    return node(number, "ToBasicPipe", BASIC, "basic_pipe:BASIC_PIPE")


def steered() -> dict[str, Case]:
    """Return what is steered, by name."""
    passed = subgraph(
        "passing",
        "model:MODEL positive:CONDITIONING vae:VAE",
        "LATENT:LATENT<12.0",
        node(11, "ImpactExecutionOrderController", "signal:*<-10.1 value:*<-10.2", "signal:* value:*"),
        sampler(12, "-10.0", "11.0"),
    )
    unlisted = workflow(*start(), sampler(4, "1.0", "2.0"), sampler(5, "1.0", "2.0"))
    unlisted["nodes"][0]["outputs"][0]["links"] = unlisted["nodes"][0]["outputs"][0]["links"][:1]
    bare = workflow(*start(), sampler(4, "1.0", "2.0"))
    del bare["nodes"][3]["outputs"]
    nothing = workflow(*start(), sampler(4, "1.0", "2.0"))
    nothing["nodes"][3]["outputs"] = None
    moe = f"model_high_noise:MODEL<1.0 model_low_noise:MODEL<9.0 {PAIR} latent_image:LATENT"
    loader_with_clip = node(1, "easy fullLoader", "", "pipe:PIPE_LINE model:MODEL vae:VAE clip:CLIP")
    full = "pipe:PIPE_LINE<1.0 model:MODEL positive:CONDITIONING"
    return {
        "a sampler that passes its model on": Case(workflow(*start(), efficient(4, "1.0")), {4: "steer"}, ("4.model",)),
        "two of them in a row": Case(
            workflow(*start(), efficient(4, "1.0"), efficient(5, "4.0")),
            {4: "steer", 5: "steer"},
            ("4.model",),
            "with KSampler",
        ),
        "a sampler with two models": Case(
            workflow(*start(), node(9, "UNETLoader", "", "MODEL"), node(4, "WanMoeKSampler", moe, "LATENT")),
            {4: "steer"},
            ("4.model_high_noise", "4.model_low_noise"),
        ),
        "a pipe beside a steered sampler": Case(
            workflow(
                *start(),
                sampler(4, "1.0", "2.0"),
                node(5, "ToDetailerPipe", BASIC, "detailer_pipe:DETAILER_PIPE"),
                node(6, "FaceDetailerPipe", "image:IMAGE detailer_pipe:DETAILER_PIPE<5.0", "image:IMAGE"),
            ),
            {4: "steer", 6: "steer"},
            ("4.model", "5.model"),
        ),
        "a pipe that is unpacked": Case(
            workflow(
                *start(),
                basic_pipe(),
                node(6, "FromBasicPipe", "basic_pipe:BASIC_PIPE<5.0", UNPACKED),
                sampler(7, "6.0", "6.3"),
            ),
            {7: "steer"},
            ("7.model",),
        ),
        "a pipe that is unpacked and used as it is": Case(
            workflow(
                *start(),
                basic_pipe(),
                node(6, "FromBasicPipe", "basic_pipe:BASIC_PIPE<5.0", UNPACKED),
                sampler(7, "6.0", "6.3"),
                node(8, "ImpactKSamplerBasicPipe", "basic_pipe:BASIC_PIPE<5.0 latent_image:LATENT", "BASIC_PIPE LATENT VAE"),
            ),
            {7: "steer", 8: "steer"},
            ("5.model",),
            "with ToBasicPipe (#5)",
        ),
        "a provider of samplers": Case(
            workflow(*start(), basic_pipe(), node(6, "KSamplerProvider", "basic_pipe:BASIC_PIPE<5.0", "KSAMPLER")),
            {6: "steer"},
            ("5.model",),
        ),
        "a prompt that is encoded by the CLIP out of a pipe": Case(
            workflow(
                loader(),
                node(
                    5, "ToBasicPipe", "model:MODEL<1.0 clip:CLIP<1.1 vae:VAE<1.2 positive:CONDITIONING", "basic_pipe:BASIC_PIPE"
                ),
                node(6, "FromBasicPipe", "basic_pipe:BASIC_PIPE<5.0", UNPACKED),
                *(text(2, "6.1"), text(3, "1.1")),
                node(
                    7, "ConditioningCombine", "conditioning_1:CONDITIONING<2.0 conditioning_2:CONDITIONING<3.0", "CONDITIONING"
                ),
                sampler(8, "6.0", "7.0"),
            ),
            {8: "steer"},
            ("8.model",),
        ),
        "contexts and a switch of them": Case(
            workflow(
                *start(),
                context(5, f"base_ctx:RGTHREE_CONTEXT model:MODEL<1.0 clip:CLIP<1.1 {PAIR}"),
                context(6, "ctx_01:RGTHREE_CONTEXT<5.0 ctx_02:RGTHREE_CONTEXT", "Context Switch (rgthree)"),
                sampler(7, "6.1", "6.4"),
            ),
            {7: "steer"},
            ("7.model",),
        ),
        "a loader that types the prompt and makes the pipe": Case(
            workflow(loader_with_clip, node(2, "easy fullkSampler", full, PIPE_OF_EASY)),
            {2: "steer"},
            ("2.model",),
        ),
        "a loader that encodes": Case(
            workflow(
                {
                    **node(1, "Loader", "", "MODEL CONDITIONING+:CONDITIONING CONDITIONING-:CONDITIONING LATENT VAE CLIP"),
                    "type": "Efficient Loader",
                },
                sampler(4, "1.0", "1.1"),
            ),
            {4: "steer"},
            ("4.model",),
        ),
        "samplers that take the model out of their latent": Case(
            workflow(
                *start(),
                node(4, "ClownsharKSampler_Beta", f"model:MODEL<1.0 {PAIR} latent_image:LATENT", "output:LATENT"),
                node(
                    5,
                    "ClownsharkChainsampler_Beta",
                    "model:MODEL positive:CONDITIONING latent_image:LATENT<4.0",
                    "output:LATENT",
                ),
                node(
                    6,
                    "ClownsharkChainsampler_Beta",
                    "model:MODEL positive:CONDITIONING latent_image:LATENT<5.0",
                    "output:LATENT",
                ),
            ),
            {4: "steer", 5: "steer", 6: "steer"},
            ("4.model",),
            "with ClownsharKSampler_Beta (#4)",
        ),
        "a node that is called so and samples nothing": Case(
            workflow(node(4, "LTXVLatentUpsampler", "samples:LATENT upscale_model:LATENT_UPSCALE_MODEL", "LATENT")), {}
        ),
        "a wire of Use Everywhere": Case(broadcast(NOTE), {6: "steer"}, ("6.model",)),
        "a link that its start does not list": Case(unlisted, {4: "steer", 5: "steer"}, ("4.model", "5.model")),
        "a sampler without outputs": Case(bare, {4: "steer"}, ("4.model",)),
        "a sampler whose outputs are null": Case(nothing, {4: "steer"}, ("4.model",)),
        "set and get of another pack": Case(
            workflow(
                *start(),
                node(5, "easy setNode", "CONDITIONING:CONDITIONING<2.0", "*", widgets_values=["pos"]),
                node(6, "easy getNode", "", "CONDITIONING", widgets_values=["pos"]),
                sampler(7, "1.0", "6.0"),
            ),
            {7: "steer"},
            ("7.model",),
        ),
        "what a node passes on by name in a subgraph": Case(
            workflow(
                *start(),
                node(10, "passing", "model:MODEL<1.0 positive:CONDITIONING<2.0 vae:VAE<1.2", "LATENT"),
                subgraphs=(passed,),
            ),
            {12: "steer"},
            ("10/12.model",),
        ),
    }


def cases() -> dict[str, Case]:
    """Return all of them by name."""
    return steered() | in_part() | left_alone() | wire_shapes.cases()
