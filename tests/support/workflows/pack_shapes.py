"""Workflows with nodes of other packs: what samples in them, where Apply has to go, and what is said."""

from __future__ import annotations

from . import wire_shapes
from .pack_case import Case, start
from .sketch import Json, loader, node, sampler, subgraph, text, workflow

PAIR = "positive:CONDITIONING<2.0 negative:CONDITIONING<3.0"
BASIC = f"model:MODEL<1.0 clip:CLIP<1.1 vae:VAE<1.2 {PAIR}"
PIPE_OF_EASY = "pipe:PIPE_LINE image:IMAGE model:MODEL positive:CONDITIONING negative:CONDITIONING latent:LATENT"
CONTEXT = "CONTEXT:RGTHREE_CONTEXT MODEL:MODEL CLIP:CLIP VAE:VAE POSITIVE:CONDITIONING NEGATIVE:CONDITIONING LATENT:LATENT"
UNPACKED = "model:MODEL clip:CLIP vae:VAE positive:CONDITIONING negative:CONDITIONING"


def efficient(number: int, model: str) -> Json:
    """A sampler that passes its model on."""
    takes = f"model:MODEL<{model} {PAIR} latent_image:LATENT optional_vae:VAE script:SCRIPT"
    gives = "MODEL CONDITIONING+:CONDITIONING CONDITIONING-:CONDITIONING LATENT VAE IMAGE"
    return {**node(number, "KSampler_(Efficient)", takes, gives), "type": "KSampler (Efficient)"}


def basic_pipe(number: int = 5) -> Json:
    """A pipe of model, CLIP and prompts."""
    return node(number, "ToBasicPipe", BASIC, "basic_pipe:BASIC_PIPE")


def context(number: int, takes: str, type: str = "Context (rgthree)") -> Json:
    """A context of rgthree's."""
    return node(number, type, takes, CONTEXT)


def broadcast(*notes: Json) -> Json:
    """A sampler whose model comes from Anything Everywhere, with the notes that the pack leaves in the file."""
    data = workflow(*start(), node(5, "Anything Everywhere", "anything:*<1.0"), sampler(6, "", "2.0"))
    return {**data, "extra": {**data["extra"], "ue_links": list(notes)}}


NOTE: Json = {"downstream": 6, "downstream_slot": 0, "upstream": "1", "upstream_slot": 0, "controller": 5, "type": "MODEL"}


def steered() -> dict[str, Case]:
    """Return what is steered, by name."""
    detailer = "model:MODEL<1.0 clip:CLIP<1.1 vae:VAE<1.2 " + PAIR
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
                node(5, "ToDetailerPipe", detailer, "detailer_pipe:DETAILER_PIPE"),
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


def in_part() -> dict[str, Case]:
    """Return what is steered in part, by name."""
    couple = "model:MODEL<1.0 base_cond:CONDITIONING<2.0 cond_1:CONDITIONING<3.0"
    boxes = "conditioning_to:CONDITIONING<2.0 clip:CLIP<1.1 gligen_textbox_model:GLIGEN"
    dual = "model:MODEL<1.0 cond1:CONDITIONING<2.0 cond2:CONDITIONING<3.0 negative:CONDITIONING<3.0"
    inside = "the prompt that {} puts into the model"
    return {
        name: Case(
            workflow(*start(), *nodes),
            {5 if "refiner" in name else 4: "steer"},
            ("5.base_model" if "sampler with" in name else "4.model",),
            said,
        )
        for name, nodes, said in (
            (
                "a prompt in the model",
                (node(5, "AttentionCouplePPM", couple, "MODEL"), sampler(4, "5.0", "2.0")),
                inside.format("AttentionCouplePPM"),
            ),
            (
                "a prompt in the model, by a node nobody knows",
                (node(5, "Regions", "model:MODEL<1.0 area:CONDITIONING<3.0", "MODEL"), sampler(4, "5.0", "2.0")),
                inside.format("Regions"),
            ),
            (
                "text of boxes",
                (node(5, "GLIGENTextBoxApply", boxes, "CONDITIONING"), sampler(4, "1.0", "5.0")),
                "the texts of GLIGENTextBoxApply",
            ),
            (
                "a refiner in a pipe",
                (
                    loader(9),
                    node(4, "ToDetailerPipeSDXL", f"{BASIC} refiner_model:MODEL<9.0", "detailer_pipe:DETAILER_PIPE"),
                    node(5, "FaceDetailerPipe", "image:IMAGE detailer_pipe:DETAILER_PIPE<4.0", "image:IMAGE"),
                ),
                "its refiner_model",
            ),
            (
                "a sampler with a refiner",
                (
                    *(loader(9), text(10, "9.1")),
                    node(
                        5,
                        "SeargeSDXLSampler2",
                        "base_model:MODEL<1.0 base_positive:CONDITIONING<2.0 base_negative:CONDITIONING<3.0 "
                        "refiner_model:MODEL<9.0 refiner_positive:CONDITIONING<10.0",
                        "LATENT",
                    ),
                ),
                "its refiner_positive, refiner_model",
            ),
            (
                "a refiner's pipe beside another",
                (
                    node(4, "ToBasicPipe", BASIC, "basic_pipe:BASIC_PIPE"),
                    *(loader(9), text(10, "9.1")),
                    node(
                        11, "ToBasicPipe", "model:MODEL<9.0 clip:CLIP<9.1 positive:CONDITIONING<10.0", "basic_pipe:BASIC_PIPE"
                    ),
                    node(
                        12,
                        "BasicPipeToDetailerPipeSDXL",
                        "base_basic_pipe:BASIC_PIPE<4.0 refiner_basic_pipe:BASIC_PIPE<11.0",
                        "detailer_pipe:DETAILER_PIPE",
                    ),
                    node(5, "FaceDetailerPipe", "image:IMAGE detailer_pipe:DETAILER_PIPE<12.0", "image:IMAGE"),
                ),
                "its refiner_basic_pipe",
            ),
            ("a second prompt", (node(4, "DualCFGGuider", dual, "GUIDER"),), "its cond2"),
        )
    }


def left_alone() -> dict[str, Case]:
    """Return what is left alone, by name."""
    flow = "model:MODEL<1.0 source_cond:CONDITIONING<3.0 target_cond:CONDITIONING<2.0"
    xlabs = "model:MODEL<1.0 conditioning:CONDITIONING<2.0 neg_conditioning:CONDITIONING<3.0 latent_image:LATENT"
    wan = "model:WANVIDEOMODEL<5.0 text_embeds:WANVIDEOTEXTEMBEDS<6.0"
    grouped = workflow(*start(), node(4, "workflow>Draw", "", "LATENT"))
    grouped["extra"]["groupNodes"] = {"Draw": {"nodes": [{"type": "CheckpointLoaderSimple"}, {"type": "KSampler"}]}}
    own = "which a steered model does not reach"
    return {
        "a loop of its own": Case(workflow(*start(), node(4, "XlabsSampler", xlabs, "LATENT")), {4: "left alone"}, (), own),
        "prompts of other names": Case(
            workflow(*start(), node(4, "FlowEditGuider", flow, "GUIDER")), {4: "left alone"}, (), own
        ),
        "a prompt that is typed in": Case(
            workflow(*start(), node(4, "QwenImageIntegratedKSampler", "model:MODEL<1.0 clip:CLIP<1.1", "image:IMAGE LATENT")),
            {4: "left alone"},
            (),
            "what is typed into it is not steered",
        ),
        "a pipe that hides its model": Case(
            workflow(
                node(1, "easy a1111Loader", "", "pipe:PIPE_LINE model:MODEL vae:VAE"),
                node(4, "easy kSampler", "pipe:PIPE_LINE<1.0 model:MODEL", "pipe:PIPE_LINE image:IMAGE"),
            ),
            {4: "left alone"},
            (),
            "comes inside a pipe from easy a1111Loader, which shows no CLIP",
        ),
        "a pipe without an input for the model": Case(
            workflow(
                node(1, "easy fullLoader", "", "pipe:PIPE_LINE model:MODEL vae:VAE clip:CLIP"),
                node(4, "easy fullkSampler", "pipe:PIPE_LINE<1.0", "pipe:PIPE_LINE image:IMAGE model:MODEL"),
            ),
            {4: "left alone"},
            (),
            "comes inside a pipe from easy fullLoader",
        ),
        "a text without a CLIP": Case(
            workflow(loader(), node(2, "CLIPTextEncode", "clip:CLIP", "CONDITIONING"), sampler(4, "1.0", "2.0")),
            {4: "left alone"},
            (),
            "the CLIP input of CLIPTextEncode before it has no wire",
        ),
        "a wire that nobody notes": Case(broadcast(), {6: "left alone"}, (), "Anything Everywhere may fill it"),
        "notes that fit nothing": Case(
            broadcast({**NOTE, "upstream": "99"}, {**NOTE, "downstream_slot": 77}, {"type": 3}),
            {6: "left alone"},
            (),
            "may fill it",
        ),
        "a model of another kind": Case(
            workflow(
                node(5, "WanVideoModelLoader", "", "WANVIDEOMODEL"),
                node(6, "WanVideoTextEncode", "", "WANVIDEOTEXTEMBEDS"),
                node(4, "WanVideoSampler", wan, "LATENT"),
            ),
            {4: "left alone"},
            (),
            "Apply Safety Steer (WanVideoWrapper)",
        ),
        "a model of a pack nobody knows": Case(
            workflow(node(5, "Load", "", "NEWMODEL"), node(4, "NewSampler", "model:NEWMODEL<5.0", "SAMPLES")),
            {4: "left alone"},
            (),
            "it runs a model of its own",
        ),
        "a group node": Case(grouped, {4: "left alone"}, (), "a group node that holds KSampler"),
    }


def cases() -> dict[str, Case]:
    """Return all of them by name."""
    return steered() | in_part() | left_alone() | wire_shapes.cases()
