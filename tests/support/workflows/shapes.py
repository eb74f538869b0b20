"""Workflows of every shape, and what has to be steered in each: by sampler, where model and CLIP come from."""

from __future__ import annotations

from typing import Any

from . import core_nodes
from .nested_shapes import nested
from .sketch import Expected, Json, loader, node, place, plain, sampler, subgraph, text, workflow

KSAMPLER = "model:MODEL<{} positive:CONDITIONING<{} negative:CONDITIONING"


def shapes() -> dict[str, tuple[Json, Expected]]:
    """Return every shape by name."""
    one, clip = ("1", 0), ("1", 1)
    two, clip_two = ("5", 0), ("5", 1)
    found: dict[str, tuple[Json, Expected]] = {
        "plain": (plain(), {"3": (one, clip)}),
        "version 1": (workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), version=1), {"3": (one, clip)}),
        "two samplers on one model": (
            workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), sampler(4, "1.0", "2.0")),
            {"3": (one, clip), "4": (one, clip)},
        ),
        "two models, one text": (
            workflow(
                node(1, "UNETLoader", "", "MODEL"),
                node(2, "UNETLoader", "", "MODEL"),
                node(3, "CLIPLoader", "", "CLIP"),
                text(4, "3.0"),
                node(
                    5,
                    "WanImageToVideo",
                    "positive:CONDITIONING<4.0 negative:CONDITIONING",
                    "positive:CONDITIONING negative:CONDITIONING LATENT",
                ),
                node(6, "KSamplerAdvanced", KSAMPLER.format("1.0", "5.0"), "LATENT"),
                node(7, "KSamplerAdvanced", KSAMPLER.format("2.0", "5.0"), "LATENT"),
            ),
            {"6": (one, ("3", 0)), "7": (("2", 0), ("3", 0))},
        ),
        "base and refiner": (
            workflow(loader(1), loader(5), text(2, "1.1"), text(6, "5.1"), sampler(3, "1.0", "2.0"), sampler(7, "5.0", "6.0")),
            {"3": (one, clip), "7": (two, clip_two)},
        ),
        "guiders": (
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                text(6, "5.1"),
                node(3, "FluxGuidance", "conditioning:CONDITIONING<2.0", "CONDITIONING"),
                node(11, "BasicGuider", "model:MODEL<1.0 conditioning:CONDITIONING<3.0", "GUIDER"),
                node(12, "CFGGuider", KSAMPLER.format("1.0", "2.0"), "GUIDER"),
                node(
                    13,
                    "DualCFGGuider",
                    "model:MODEL<1.0 cond1:CONDITIONING<2.0 cond2:CONDITIONING<6.0 negative:CONDITIONING",
                    "GUIDER",
                ),
                node(
                    14,
                    "DualModelGuider",
                    "model_negative:MODEL<5.0 model:MODEL<1.0 positive:CONDITIONING<2.0 negative:CONDITIONING<6.0",
                    "GUIDER",
                ),
                node(15, "BasicScheduler", "model:MODEL<1.0", "SIGMAS"),
            ),
            {number: (one, clip) for number in ("11", "12", "13", "14")},
        ),
        "nodes that train or detect": (
            workflow(
                loader(),
                text(2, "1.1"),
                sampler(3, "1.0", "2.0"),
                node(4, "TrainLoraNode", "model:MODEL<1.0 positive:CONDITIONING<2.0", "LORA_MODEL LOSS_MAP"),
                node(5, "SAM3_Detect", "model:MODEL<1.0 conditioning:CONDITIONING<2.0", "MASK"),
            ),
            {"3": (one, clip)},
        ),
        "reroutes": (
            workflow(
                loader(),
                node(4, "Reroute", ":*<1.0", ":MODEL"),
                node(5, "Reroute", ":*<1.1", ":CLIP"),
                text(2, "5.0"),
                text(6, "1.1"),
                node(
                    7, "ConditioningCombine", "conditioning_1:CONDITIONING<2.0 conditioning_2:CONDITIONING<6.0", "CONDITIONING"
                ),
                node(8, "Reroute", ":*<7.0", ":CONDITIONING"),
                sampler(3, "4.0", "8.0"),
            ),
            {"3": (one, clip)},
        ),
        "set and get": (
            workflow(
                loader(),
                text(2, "1.1"),
                node(4, "SetNode", "CONDITIONING:CONDITIONING<2.0", "*", widgets_values=["prompt"]),
                node(5, "GetNode", "", "CONDITIONING", widgets_values=["prompt"]),
                sampler(3, "1.0", "5.0"),
            ),
            {"3": (one, clip)},
        ),
        "positive stays with positive": (
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                text(6, "5.1"),
                node(
                    4,
                    "ControlNetApplyAdvanced",
                    "positive:CONDITIONING<2.0 negative:CONDITIONING<6.0",
                    "positive:CONDITIONING negative:CONDITIONING",
                ),
                sampler(3, "1.0", "4.0"),
            ),
            {"3": (one, clip)},
        ),
        "a switch with a muted branch": (
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                {**text(6, "5.1"), "mode": 2},
                node(
                    4,
                    "ComfySwitchNode",
                    "on_false:CONDITIONING<2.0 on_true:CONDITIONING<6.0 switch:BOOLEAN",
                    "output:CONDITIONING",
                ),
                sampler(3, "1.0", "4.0"),
            ),
            {"3": (one, clip)},
        ),
        "a prompt out of the list of a loop": (
            workflow(
                loader(1),
                text(2, "1.1"),
                text(6, "1.1"),
                node(4, "CreateList", "inputs.input0:*<2.0 inputs.input1:*<6.0", "list:*"),
                node(5, "StartLoop", "initial_iteration_value:*<4.0", "iteration_index:INT *"),
                node(7, "GetItemFromList", "list:*<5.1 index:INT<5.0", "*"),
                sampler(3, "1.0", "7.0"),
            ),
            {"3": (one, clip)},
        ),
        "a bypassed node on the prompt": (
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                node(4, "TextEncodeAgain", "conditioning:CONDITIONING<2.0 clip:CLIP<5.1", "CONDITIONING", mode=4),
                sampler(3, "1.0", "4.0"),
            ),
            {"3": (one, clip)},
        ),
        "everything muted": (
            workflow(*({**one_node, "mode": 2} for one_node in (loader(), text(2, "1.1"), sampler(3, "1.0", "2.0")))),
            {"3": (one, clip)},
        ),
    }
    return found | nested() | core_nodes.steered()


def left_alone() -> dict[str, tuple[Json, str]]:
    """Return workflows whose sampler is left alone, with a part of the reason."""
    image = node(2, "SVD_img2vid_Conditioning", "clip_vision:CLIP_VISION<1.1", "positive:CONDITIONING")
    prompted = subgraph("sample", "model:MODEL positive:CONDITIONING", "LATENT:LATENT<3.0", sampler(3, "-10.0", "-10.1"))
    inputs: tuple[Any, ...] = (
        ("no model", workflow(loader(), text(2, "1.1"), sampler(3, "", "2.0")), "model input is empty"),
        ("no prompt", workflow(loader(), sampler(3, "1.0", "")), "positive input is empty"),
        ("no text", workflow(loader(), image, sampler(3, "1.0", "2.0")), "comes from SVD_img2vid_Conditioning"),
        (
            "music that a language model wrote",
            workflow(loader(), node(2, "YuE2GenerateMusic", "clip:CLIP<1.1", "CONDITIONING"), sampler(3, "1.0", "2.0")),
            "comes from YuE2GenerateMusic",
        ),
        (
            "a prompt of two clips",
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                text(6, "5.1"),
                node(
                    7,
                    "ConditioningConcat",
                    "conditioning_to:CONDITIONING<2.0 conditioning_from:CONDITIONING<6.0",
                    "CONDITIONING",
                ),
                sampler(3, "1.0", "7.0"),
            ),
            "2 different CLIPs",
        ),
        (
            "a subgraph that is used with text and without",
            workflow(
                loader(),
                text(2, "1.1"),
                node(6, "LotusConditioning", "", "conditioning:CONDITIONING"),
                place("sample", "model:MODEL<1.0", "positive:CONDITIONING<2.0"),
                place("sample", "model:MODEL<1.0", "positive:CONDITIONING<6.0", number=11),
                subgraphs=(prompted,),
            ),
            "also used with a prompt that is not text",
        ),
        (
            "a subgraph without text",
            workflow(
                loader(),
                node(6, "LotusConditioning", "", "conditioning:CONDITIONING"),
                place("sample", "model:MODEL<1.0", "positive:CONDITIONING<6.0"),
                subgraphs=(prompted,),
            ),
            "comes from LotusConditioning",
        ),
    )
    return {name: (data, reason) for name, data, reason in inputs} | core_nodes.left_alone()
