"""Workflows with nodes of ComfyUI's own that have not been there from the start: samplers, encoders, pairs, branches, loops."""

from __future__ import annotations

import json

from .sketch import Expected, Json, loader, node, sampler, subgraph, text, workflow

PAIRED = "positive:CONDITIONING negative:CONDITIONING"
ANY = "COMFY_MATCHTYPE_V3"
START = "initial_iteration_value:*<{}"
STARTED = "iteration_index:INT is_first:BOOLEAN is_last:BOOLEAN list_item:* current_iteration_value:*"


def switch(number: int, off: str, on: str, kind: str, taken: str | None = None) -> Json:
    """The switch that runs one of two branches alone; `taken` is the type of its inputs where that is not the output's."""
    takes = f"on_false:{taken or kind}<{off} on_true:{taken or kind}<{on} switch:BOOLEAN"
    return node(number, "ComfySwitchNode", takes, f"output:{kind}")


def prompts() -> tuple[Json, ...]:
    """Two checkpoints, 1 and 5, each with a prompt, 2 and 6."""
    return loader(1), loader(5), text(2, "1.1"), text(6, "5.1")


def steered() -> dict[str, tuple[Json, Expected]]:
    """Return workflows by name, with where the model and the CLIP of every sampler come from."""
    one, clip = ("1", 0), ("1", 1)
    guided = "model:MODEL<1.0 positive:CONDITIONING<2.0 negative:CONDITIONING<6.0"
    return {
        "branches of model, clip and prompt": (
            workflow(
                *(loader(1), loader(5), text(2, "8.0"), text(6, "8.0")),
                *(switch(7, "1.0", "5.0", "MODEL"), switch(8, "1.1", "5.1", "CLIP"), switch(9, "2.0", "6.0", "CONDITIONING")),
                sampler(3, "7.0", "9.0"),
            ),
            {"3": (("7", 0), ("8", 0))},
        ),
        "branches of a type that is not found out": (
            workflow(loader(), text(2, "1.1"), text(6, "1.1"), switch(9, "2.0", "6.0", ANY, ANY), sampler(3, "1.0", "9.0")),
            {"3": (one, clip)},
        ),
        "a branch within a branch": (
            workflow(
                *(loader(), text(2, "1.1"), text(6, "1.1"), text(7, "1.1")),
                *(switch(8, "2.0", "6.0", "CONDITIONING"), switch(9, "8.0", "7.0", "CONDITIONING")),
                sampler(3, "1.0", "9.0"),
            ),
            {"3": (one, clip)},
        ),
        "a prompt that a loop carries, within it and behind it": (
            workflow(
                *(loader(), text(2, "1.1"), node(4, "StartLoop", START.format("2.0"), STARTED), sampler(3, "1.0", "4.4")),
                node(5, "EndLoop", "output_value:*<4.4 next_iteration_value:*<4.4", "outputs:*"),
                sampler(6, "1.0", "5.0"),
            ),
            {"3": (one, clip), "6": (one, clip)},
        ),
        "prompts that a loop goes through": (
            workflow(
                *(loader(), text(2, "1.1"), text(6, "1.1")),
                node(7, "CreateList", "inputs.input0:*<2.0 inputs.input1:*<6.0", "list:*"),
                node(4, "StartLoop", "mode.list:*<7.0", STARTED),
                sampler(3, "1.0", "4.3"),
            ),
            {"3": (one, clip)},
        ),
        "guiders that came later, and nodes that only measure with a model": (
            workflow(
                *prompts(),
                node(3, "LTXVDualCFGGuider", guided, "GUIDER"),
                node(4, "PerpNegGuider", f"{guided} empty_conditioning:CONDITIONING<6.0", "GUIDER"),
                node(7, "LTXVDurationPredictor", "model:MODEL<1.0 positive:CONDITIONING<2.0", "num_frames:INT seconds:FLOAT"),
                node(8, "SAM3_VideoTrack", "images:IMAGE model:MODEL<1.0 conditioning:CONDITIONING<2.0", "SAM3_TRACK_DATA"),
            ),
            {"3": (one, clip), "4": (one, clip)},
        ),
        "model and prompts out of one node": (
            workflow(
                *prompts(),
                node(4, "LTXVReferenceAudio", guided, f"MODEL {PAIRED}"),
                sampler(3, "4.0", "4.1"),
            ),
            {"3": (("4", 0), clip)},
        ),
        "an encoder of both prompts, and one of prompt and latent": (
            workflow(
                loader(1),
                loader(5),
                node(2, "TextEncodeBooguEdit", "clip:CLIP<1.1 vae:VAE<1.2", PAIRED),
                node(6, "MiniMaxH3ImageToVideo", "clip:CLIP<5.1 vae:VAE<5.2", "positive:CONDITIONING LATENT"),
                sampler(3, "1.0", "2.0"),
                sampler(4, "5.0", "6.0"),
            ),
            {"3": (one, clip), "4": (("5", 0), ("5", 1))},
        ),
        "an encoder that adds to a prompt": (
            workflow(
                *(loader(), text(2, "1.1")),
                node(4, "CLIPTextEncodeControlnet", "clip:CLIP<1.1 conditioning:CONDITIONING<2.0", "CONDITIONING"),
                sampler(3, "1.0", "4.0"),
            ),
            {"3": (one, clip)},
        ),
        "model and clip on another device": (
            workflow(
                loader(),
                node(4, "SelectModelDevice", "model:MODEL<1.0", "MODEL"),
                node(5, "SelectCLIPDevice", "clip:CLIP<1.1", "CLIP"),
                *(text(2, "5.0"), sampler(3, "4.0", "2.0")),
            ),
            {"3": (("4", 0), ("5", 0))},
        ),
        **_on_another_device(),
        "pairs that go together": (
            workflow(
                *prompts(),
                node(7, "PairConditioningSetProperties", _pairs("positive_NEW", "negative_NEW"), PAIRED),
                node(8, "PairConditioningCombine", _pairs("positive_A", "negative_A", "positive_B", "negative_B"), PAIRED),
                *(sampler(3, "1.0", "7.0"), sampler(4, "1.0", "8.0"), sampler(9, "5.0", "8.1")),
            ),
            {"3": (one, clip), "4": (one, clip), "9": (("5", 0), ("5", 1))},
        ),
        "a pair with a negative prompt for text alone": (
            workflow(
                *prompts(),
                node(
                    7,
                    "WanPhantomSubjectToVideo",
                    _pairs("positive", "negative"),
                    "positive:CONDITIONING negative_text:CONDITIONING negative_img_text:CONDITIONING LATENT",
                ),
                *(sampler(3, "1.0", "7.0"), sampler(4, "5.0", "7.1"), sampler(9, "5.0", "7.2")),
            ),
            {"3": (one, clip), "4": (("5", 0), ("5", 1)), "9": (("5", 0), ("5", 1))},
        ),
        "a prompt for the pose": (
            workflow(
                *(*prompts(), text(8, "1.1")),
                node(7, "WanAnimate2ToVideo", f"{_pairs('positive', 'negative')} positive_pose:CONDITIONING<8.0", PAIRED),
                sampler(3, "1.0", "7.0"),
            ),
            {"3": (one, clip)},
        ),
    }


def _on_another_device() -> dict[str, tuple[Json, Expected]]:
    """A prompt of two texts, of which the second is encoded on another device: one CLIP all the same."""
    one, clip = ("1", 0), ("1", 1)
    within = (device(3, "-10.0"), text(4, "3.0"))
    elsewhere = subgraph("elsewhere", "clip:CLIP", "conditioning:CONDITIONING<4.0", *within)
    changed = (text(2, "8.0"), text(6, "5.0"))
    return {
        "one clip on two devices": (
            workflow(loader(), device(5, "1.1"), text(2, "1.1"), text(6, "5.0"), both("2.0", "6.0"), sampler(3, "1.0", "7.0")),
            {"3": (one, clip)},
        ),
        "one clip on two devices, on the other one first": (
            workflow(loader(), device(5, "1.1"), text(2, "1.1"), text(6, "5.0"), both("6.0", "2.0"), sampler(3, "1.0", "7.0")),
            {"3": (one, ("5", 0))},
        ),
        "one clip that ends earlier, on two devices": (
            workflow(loader(), earlier(8, "1.1"), device(5, "8.0"), *changed, both("2.0", "6.0"), sampler(3, "1.0", "7.0")),
            {"3": (one, ("8", 0))},
        ),
        "one clip on another device within a subgraph": (
            workflow(
                *(loader(), text(2, "1.1"), node(10, "elsewhere", "clip:CLIP<1.1", "conditioning:CONDITIONING")),
                *(both("10.0", "2.0"), sampler(3, "1.0", "7.0")),
                subgraphs=(elsewhere,),
            ),
            {"3": (one, clip)},
        ),
        "two samplers with one clip on two devices": (
            workflow(
                *(loader(), device(5, "1.1"), text(2, "1.1"), text(6, "5.0")),
                *(sampler(3, "1.0", "2.0"), sampler(4, "1.0", "6.0")),
            ),
            {"3": (one, clip), "4": (one, clip)},
        ),
    }


def device(number: int, clip: str) -> Json:
    """A CLIP on another device, which says the same there."""
    return node(number, "SelectCLIPDevice", f"clip:CLIP<{clip}", "CLIP")


def earlier(number: int, clip: str) -> Json:
    """A CLIP that ends at another layer, which says something else."""
    return node(number, "CLIPSetLastLayer", f"clip:CLIP<{clip}", "CLIP")


def both(first: str, second: str) -> Json:
    """Two prompts, 7, in one."""
    wires = f"conditioning_to:CONDITIONING<{first} conditioning_from:CONDITIONING<{second}"
    return node(7, "ConditioningConcat", wires, "CONDITIONING")


def _pairs(*names: str) -> str:
    """Wire prompt 2 into what is called positive, and prompt 6 into the others."""
    return " ".join(f"{name}:CONDITIONING<{2 if name.startswith('positive') else 6}.0" for name in names)


def not_found_out(data: Json) -> Json:
    """Write every socket and wire that takes anything with the type it has before ComfyUI has found out what it is."""
    untold: Json = json.loads(json.dumps(data).replace('"*"', f'"{ANY}"'))
    return untold


def left_alone() -> dict[str, tuple[Json, str]]:
    """Return workflows whose sampler is left alone, with a part of the reason."""
    different = "2 different CLIPs"
    more = {"WanAnimate2ToVideo": "positive_pose", "PairConditioningSetDefaultCombine": "positive_DEFAULT"}
    found = {
        f"another CLIP into {name} of {type}": workflow(
            *prompts(),
            node(7, type, f"{_pairs('positive', 'negative')} {name}:CONDITIONING<6.0", PAIRED),
            sampler(3, "1.0", "7.0"),
        )
        for type, name in more.items()
    }
    found["branches with two CLIPs"] = workflow(*prompts(), switch(9, "2.0", "6.0", "CONDITIONING"), sampler(3, "1.0", "9.0"))
    changing = {
        "CLIPSetLastLayer": (earlier(5, "1.1"), text(6, "5.0")),
        "CLIPSetLastLayer behind another device": (device(8, "1.1"), earlier(5, "8.0"), text(6, "5.0")),
        "T5TokenizerOptions": (node(5, "T5TokenizerOptions", "clip:CLIP<1.1", "CLIP"), text(6, "5.0")),
        "LoraLoader": (node(5, "LoraLoader", "model:MODEL<1.0 clip:CLIP<1.1", "MODEL CLIP"), text(6, "5.1")),
    }
    for name, other in changing.items():
        prompt = both("2.0", "6.0")
        found[f"{name} for one text of two"] = workflow(loader(), text(2, "1.1"), *other, prompt, sampler(3, "1.0", "7.0"))
    return {name: (data, different) for name, data in found.items()}
