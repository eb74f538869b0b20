"""Wires that other packs draw when a workflow runs, and prompts that come in by other types."""

from __future__ import annotations

from .pack_case import PAIR, Case, context, start
from .sketch import Json, loader, node, sampler, subgraph, text, workflow

NOTE: Json = {"downstream": 6, "downstream_slot": 0, "upstream": "1", "upstream_slot": 0, "controller": 5, "type": "MODEL"}


def kept(number: int, wire: str, name: str, type: str = "SetNode") -> Json:
    """A Set of a conditioning."""
    return node(number, type, f"CONDITIONING:CONDITIONING<{wire}", "*", widgets_values=[name])


def read(number: int, name: str, type: str = "GetNode") -> Json:
    """A Get of a conditioning."""
    return node(number, type, "", "CONDITIONING", widgets_values=[name])


def reading(type: str = "GetNode", *more: Json) -> Json:
    """A subgraph with a sampler 4 whose prompt a Get reads."""
    return subgraph("reading", "model:MODEL", "LATENT:LATENT<4.0", read(5, "pos", type), sampler(4, "-10.0", "5.0"), *more)


def used(number: int = 10) -> Json:
    """A node that stands for that subgraph."""
    return node(number, "reading", "model:MODEL<1.0", "LATENT")


def gets() -> dict[str, Case]:
    """Return what a Get in a subgraph reads, by name."""
    inner = subgraph("around", "model:MODEL", "LATENT:LATENT<11.0", node(11, "reading", "model:MODEL<-10.0", "LATENT"))
    other = (loader(7), text(8, "7.1"))
    return {
        "a get whose set is in the graph around": Case(
            workflow(*start(), kept(6, "2.0", "pos"), used(), subgraphs=(reading(),)), {4: "steer"}, ("10/4.model",)
        ),
        "a get whose set is two graphs up": Case(
            workflow(
                *(*start(), kept(6, "2.0", "pos"), node(12, "around", "model:MODEL<1.0", "LATENT")),
                subgraphs=(inner, reading()),
            ),
            {4: "steer"},
            ("12/11/4.model",),
        ),
        "a get with a set in its own graph and one around": Case(
            workflow(
                *(
                    *start(),
                    *other,
                    kept(6, "8.0", "pos"),
                    node(10, "reading", "model:MODEL<1.0 given:CONDITIONING<2.0", "LATENT"),
                ),
                subgraphs=(
                    subgraph(
                        *("reading", "model:MODEL given:CONDITIONING", "LATENT:LATENT<4.0"),
                        *(read(5, "pos"), sampler(4, "-10.0", "5.0"), kept(9, "-10.1", "pos")),
                    ),
                ),
            ),
            {4: "steer"},
            ("10/4.model",),
        ),
        "a get of a pack that looks in its own graph only": Case(
            workflow(*start(), kept(6, "2.0", "pos", "easy setNode"), used(), subgraphs=(reading("easy getNode"),)),
            {4: "left alone"},
            (),
            "is not in its graph",
        ),
        "a get whose set is nowhere": Case(
            workflow(*start(), kept(6, "2.0", "other"), used(), subgraphs=(reading(),)),
            {4: "left alone"},
            (),
            "is not in its graph",
        ),
    }


def broadcast(*notes: Json) -> Json:
    """A sampler whose model comes from Anything Everywhere, with the notes that the pack leaves in the file."""
    data = workflow(*start(), node(5, "Anything Everywhere", "anything:*<1.0"), sampler(6, "", "2.0"))
    return {**data, "extra": {**data["extra"], "ue_links": list(notes)}}


def merged(first: str, second: str) -> Json:
    """Two contexts, 7 and 8, merged in 9, and a sampler 10 of what comes out; a second checkpoint is 4, its prompt 5."""
    return workflow(
        *(*start(), loader(4), text(5, "4.1")),
        *(context(7, first), context(8, second)),
        context(9, "ctx_01:RGTHREE_CONTEXT<7.0 ctx_02:RGTHREE_CONTEXT<8.0 ctx_03:RGTHREE_CONTEXT", "Context Merge (rgthree)"),
        sampler(10, "9.1", "9.4"),
    )


def cases() -> dict[str, Case]:
    """Return all of them by name."""
    one, two = "model:MODEL<1.0 clip:CLIP<1.1 positive:CONDITIONING<2.0", "model:MODEL<4.0 positive:CONDITIONING<5.0"
    regions = "clip_regions:CLIPREGION<{}"
    parts = "base_clip:CLIP<1.1 refiner_clip:CLIP<9.1"
    guided = f"model:MODEL<1.0 {PAIR}"
    grouped = workflow(*start(), node(4, "workflow>Draw", "model:MODEL<1.0", "LATENT"))
    grouped["extra"]["groupNodes"] = {"Draw": {"nodes": [{"type": "CLIPTextEncode"}, {"type": "KSampler"}]}}
    loop = "model:MODEL<1.0 guider:GUIDER<4.0 latents:LATENT"
    return gets() | {
        "contexts merged, of which the last counts": Case(merged(one, two), {10: "steer"}, ("10.model",)),
        "contexts merged, of which the last has no prompt": Case(
            merged(one, "vae:VAE<4.2 clip:CLIP<4.1"), {10: "steer"}, ("10.model",)
        ),
        "a prompt with regions": Case(
            workflow(
                *(loader(), node(2, "BNK_CutoffBasePrompt", "clip:CLIP<1.1", "CLIPREGION")),
                node(3, "BNK_CutoffSetRegions", regions.format("2.0"), "CLIPREGION"),
                *(node(5, "BNK_CutoffRegionsToConditioning", regions.format("3.0"), "CONDITIONING"), sampler(4, "1.0", "5.0")),
            ),
            {4: "steer"},
            ("4.model",),
        ),
        "an encoder for a base and a refiner": Case(
            workflow(
                *(loader(), loader(9)),
                node(2, "SeargeSDXLPromptEncoder", parts, "base_positive:CONDITIONING refiner_positive:CONDITIONING"),
                sampler(4, "1.0", "2.0"),
            ),
            {4: "steer"},
            ("4.model",),
        ),
        "a sampler with a model and a guider": Case(
            workflow(*start(), node(4, "CFGGuider", guided, "GUIDER"), node(5, "LTXVLoopingSampler", loop, "LATENT")),
            {4: "steer", 5: "steer"},
            ("4.model",),
            "with CFGGuider (#4)",
        ),
        "a prompt that comes over a bend without a wire": Case(
            workflow(*start(), node(5, "Reroute", ":*", ":*"), sampler(4, "1.0", "5.0")),
            {4: "left alone"},
            (),
            "no text prompt leads to it",
        ),
        "a data stream": Case(
            workflow(node(4, "SeargePipelineTerminator", "data:SRG_DATA_STREAM")),
            {4: "left alone"},
            (),
            "inside a data stream",
        ),
        "models of its own under another name": Case(
            workflow(node(5, "LoadWanModel", "", "FunModels"), node(4, "WanT2VSampler", "funmodels:FunModels<5.0", "IMAGE")),
            {4: "left alone"},
            (),
            "a model of its own",
        ),
        "a group node that takes a model": Case(grouped, {4: "left alone"}, (), "a group node that holds KSampler"),
    }
