"""Workflows with nodes of other packs that are steered in part or left alone, and what is said."""

from __future__ import annotations

from .pack_case import BASIC, Case, start
from .sketch import loader, node, sampler, text, workflow
from .wire_shapes import NOTE, broadcast


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
